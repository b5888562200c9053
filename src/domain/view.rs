//! The view is the data that a reader gets of one optimization, a pure function of its registers.

use serde::{Deserialize, Serialize};

use super::job::Outcome;
use super::optimization::Optimization;
use super::register::Register;
use super::timestamp::Timestamp;

/// The error text of a failed job without one.
pub const NO_ERROR_TEXT: &str = "Job failed without an error message";

/// An optimization's status in the reader's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl Status {
    pub const ALL: [Status; 5] =
        [Status::Queued, Status::Running, Status::Succeeded, Status::Failed, Status::Canceled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
        }
    }
}

/// The 19 fields of the contract. `objectives` and `metrics` are the texts of JSON objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    pub project_id: &'a str,
    pub organization_id: &'a str,
    pub status: Option<Status>,
    pub kind: Option<&'a str>,
    pub created_at: Timestamp,
    pub created_by_email: Option<&'a str>,
    pub cell_spec_id: Option<&'a str>,
    pub parameterized_model_id: Option<&'a str>,
    pub parameterized_model_name: Option<&'a str>,
    pub cell_name: Option<&'a str>,
    pub optimization_template_id: Option<&'a str>,
    pub metrics: Option<&'a str>,
    pub objectives: Option<&'a str>,
    pub error: Option<&'a str>,
    pub error_code: Option<&'a str>,
    pub run_count: u64,
}

impl<'a> View<'a> {
    /// Returns the view; `None` if readers must not see the optimization, because it is not created yet or was
    /// deleted.
    pub fn of(optimization: &'a Optimization) -> Option<View<'a>> {
        let created = optimization.visible_creation()?;
        let facts = &created.value;
        let latest = |change: &'a Option<Register<Box<str>>>, at_creation: &'a Option<Box<str>>| match change {
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
