//! The view is the data that a reader gets of one optimization, a pure function of its registers.

use super::job::Outcome;
use super::optimization::Optimization;
use super::register::Register;
use super::status::Status;
use super::timestamp::Timestamp;

/// The error text of a failed job without one.
pub const NO_ERROR_TEXT: &str = "Job failed without an error message";

/// The 19 fields of the contract. `objectives` and `metrics` are the texts of JSON objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// The id of the optimization.
    pub id: &'a str,
    /// The name; `None` if it was never given.
    pub name: Option<&'a str>,
    /// The user's description; `None` if it was never given.
    pub description: Option<&'a str>,
    /// The id of the project that the optimization belongs to.
    pub project_id: &'a str,
    /// The id of the organization that owns the optimization.
    pub organization_id: &'a str,
    /// The status that follows from the linked job; `None` if no job is linked.
    pub status: Option<Status>,
    /// The kind of optimization, an open set; `None` if the creation had none.
    pub kind: Option<&'a str>,
    /// The time of the creation.
    pub created_at: Timestamp,
    /// The email address of the user who created the optimization; `None` if the creation had none.
    pub created_by_email: Option<&'a str>,
    /// The id of the cell that is optimized; `None` if the creation had none.
    pub cell_spec_id: Option<&'a str>,
    /// The id of the model whose parameters are optimized; `None` if the creation had none.
    pub parameterized_model_id: Option<&'a str>,
    /// The display name of the model; `None` if it was never given.
    pub parameterized_model_name: Option<&'a str>,
    /// The display name of the cell; `None` if it was never given.
    pub cell_name: Option<&'a str>,
    /// The id of the template that the optimization was made from; `None` if the creation had none.
    pub optimization_template_id: Option<&'a str>,
    /// The results of the linked job by name; `None` unless the job's status is completed and its event had some.
    pub metrics: Option<&'a str>,
    /// The objectives by name; `None` if the creation had none.
    pub objectives: Option<&'a str>,
    /// The reason for people; `None` unless the linked job's status is failed. A failure without a text has
    /// [`NO_ERROR_TEXT`].
    pub error: Option<&'a str>,
    /// The reason for programs; `None` unless the linked job's status is failed and its event had one.
    pub error_code: Option<&'a str>,
    /// Number of multistart runs of the linked job of which any event is known.
    pub run_count: u64,
}

impl<'a> View<'a> {
    /// Returns the view; `None` if readers must not see the optimization, because it is not created yet or was
    /// deleted.
    pub fn of(optimization: &'a Optimization) -> Option<View<'a>> {
        let created = optimization.visible_creation()?;
        let facts = &created.value;
        let latest = |change: &'a Option<Box<Register<Box<str>>>>, at_creation: &'a Option<Box<str>>| match change
        {
            Some(change) if change.stamp.version > created.stamp.version => Some(&*change.value),
            _ => at_creation.as_deref(),
        };
        let status = status_of(optimization);
        let (metrics, error, error_code) = match optimization.job.outcome() {
            Outcome::Completed { metrics } => (metrics.as_deref(), None, None),
            Outcome::Failed { error, error_code } => {
                let text = error.as_deref().filter(|text| !text.is_empty()).unwrap_or(NO_ERROR_TEXT);
                (None, Some(text), error_code.as_deref())
            }
            Outcome::None => (None, None, None),
        };
        Some(View {
            id: &optimization.id,
            name: latest(&optimization.name, &facts.name),
            description: latest(&optimization.description, &facts.description),
            project_id: &facts.project_id,
            organization_id: &facts.organization_id,
            status,
            kind: facts.kind.as_deref(),
            created_at: facts.created_at,
            created_by_email: facts.created_by_email.as_deref(),
            cell_spec_id: facts.cell_spec_id.as_deref(),
            parameterized_model_id: facts.parameterized_model_id.as_deref(),
            parameterized_model_name: latest(
                &optimization.parameterized_model_name,
                &facts.parameterized_model_name,
            ),
            cell_name: latest(&optimization.cell_name, &facts.cell_name),
            optimization_template_id: facts.optimization_template_id.as_deref(),
            metrics,
            objectives: facts.objectives.as_deref(),
            error,
            error_code,
            run_count: optimization.job.runs.len(),
        })
    }
}

/// Returns the status: none without a linked job, and queued if no event of the linked job is known.
pub fn status_of(optimization: &Optimization) -> Option<Status> {
    optimization.linked_job()?;
    Some(optimization.job.status().map_or(Status::Queued, |status| status.view_status()))
}
