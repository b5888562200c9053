//! The view is the data that a reader gets of one optimization, a pure function of its registers.

use super::job::Outcome;
use super::optimization::{CreationFacts, Optimization};
use super::register::Register;
use super::status::Status;
use super::timestamp::Timestamp;

/// The error text of a failed job without one.
pub const NO_ERROR_TEXT: &str = "Job failed without an error message";

/// The 19 fields of the contract. `objectives` and `metrics` are the texts of JSON objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        let latest = |change: &'a Option<Box<Register<Box<str>>>>, at_creation: &'a Option<Box<str>>| {
            latest_of(created, change, at_creation)
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

    /// Returns the fields in the contract's order. This is the only list of them: what is stored, explained and compared follows it.
    pub fn fields(&self) -> [ViewField<'a>; 19] {
        let View {
            id,
            name,
            description,
            project_id,
            organization_id,
            status,
            kind,
            created_at,
            created_by_email,
            cell_spec_id,
            parameterized_model_id,
            parameterized_model_name,
            cell_name,
            optimization_template_id,
            metrics,
            objectives,
            error,
            error_code,
            run_count,
        } = *self;
        [
            field("id", FieldOrigin::Creation, id),
            field("name", FieldOrigin::Name, name),
            field("description", FieldOrigin::Description, description),
            field("project_id", FieldOrigin::Creation, project_id),
            field("organization_id", FieldOrigin::Creation, organization_id),
            field("status", FieldOrigin::JobStatus, status.map(Status::as_str)),
            field("kind", FieldOrigin::Creation, kind),
            field("created_at", FieldOrigin::Creation, FieldValue::Time(created_at)),
            field("created_by_email", FieldOrigin::Creation, created_by_email),
            field("cell_spec_id", FieldOrigin::Creation, cell_spec_id),
            field("parameterized_model_id", FieldOrigin::Creation, parameterized_model_id),
            field("parameterized_model_name", FieldOrigin::ModelName, parameterized_model_name),
            field("cell_name", FieldOrigin::CellName, cell_name),
            field("optimization_template_id", FieldOrigin::Creation, optimization_template_id),
            field("metrics", FieldOrigin::JobStatus, metrics.map_or(FieldValue::Null, FieldValue::Object)),
            field("objectives", FieldOrigin::Creation, objectives.map_or(FieldValue::Null, FieldValue::Object)),
            field("error", FieldOrigin::JobStatus, error),
            field("error_code", FieldOrigin::JobStatus, error_code),
            field("run_count", FieldOrigin::JobRuns, FieldValue::Number(run_count)),
        ]
    }

    /// Returns the fields of an optimization that readers do not see: all are null.
    pub fn hidden_fields() -> [ViewField<'a>; 19] {
        View::default().fields().map(|field| ViewField { value: FieldValue::Null, ..field })
    }
}

/// A field of the view by its name in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewField<'a> {
    /// The key of the field in answers.
    pub name: &'static str,
    /// The part of the optimization that the value follows from.
    pub origin: FieldOrigin,
    /// The value that readers see.
    pub value: FieldValue<'a>,
}

/// The part of an optimization that gives a field of the view its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOrigin {
    /// The creation alone.
    Creation,
    /// The creation, or a later change of the name.
    Name,
    /// The creation, or a later change of the description.
    Description,
    /// The creation, or a later change of the cell's display name.
    CellName,
    /// The creation, or a later change of the model's display name.
    ModelName,
    /// The status of the linked job. A null follows from it, too.
    JobStatus,
    /// The runs of the linked job.
    JobRuns,
}

/// The value of a field of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// The field has no value.
    Null,
    /// A text of the producer's, or a word of the contract.
    Text(&'a str),
    /// A time, shown as RFC 3339.
    Time(Timestamp),
    /// A count.
    Number(u64),
    /// The text of a JSON object.
    Object(&'a str),
}

impl<'a> From<&'a str> for FieldValue<'a> {
    fn from(text: &'a str) -> FieldValue<'a> {
        FieldValue::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for FieldValue<'a> {
    fn from(text: Option<&'a str>) -> FieldValue<'a> {
        text.map_or(FieldValue::Null, FieldValue::Text)
    }
}

fn field<'a>(name: &'static str, origin: FieldOrigin, value: impl Into<FieldValue<'a>>) -> ViewField<'a> {
    ViewField { name, origin, value: value.into() }
}

/// Returns the value of a text that a creation sets, and later changes: the one of the greater version.
fn latest_of<'a>(
    created: &Register<CreationFacts>,
    change: &'a Option<Box<Register<Box<str>>>>,
    at_creation: &'a Option<Box<str>>,
) -> Option<&'a str> {
    match change {
        Some(change) if change.stamp.version > created.stamp.version => Some(&change.value),
        _ => at_creation.as_deref(),
    }
}

/// Returns the name that readers see; `None` if it was never given, or if they must not see the optimization.
pub fn name_of(optimization: &Optimization) -> Option<&str> {
    let created = optimization.visible_creation()?;
    latest_of(created, &optimization.name, &created.value.name)
}

/// Returns the time at which the status came about: that of the linked job's latest status, or of the link if it is later, or of
/// the creation if no job is linked. `None` if readers must not see the optimization.
pub fn status_updated_at(optimization: &Optimization) -> Option<Timestamp> {
    let created = optimization.visible_creation()?;
    let linked_at = optimization.links().first().map(|link| link.stamp.happened_at());
    let of_job = optimization.job.history().last().map(|transition| transition.stamp.happened_at());
    // The state is that of the linked job only, so that without a link there is none.
    Some(linked_at.max(of_job).unwrap_or(created.value.created_at))
}

/// Returns the status: none without a linked job, and queued if no event of the linked job is known.
pub fn status_of(optimization: &Optimization) -> Option<Status> {
    optimization.linked_job()?;
    Some(optimization.job.status().map_or(Status::Queued, |status| status.view_status()))
}
