//! The events, decoded. Texts are borrowed from the record where they can be: most events change one small thing, and
//! copying what is not kept is what a fast fold must not do.

use std::borrow::Cow;

use super::position::{Position, Topic};
use super::timestamp::Timestamp;

/// An event with the place it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    pub event: Event<'a>,
    pub position: Position,
    /// Kafka's time of the record, in milliseconds since 1970; `None` if it has none.
    pub written_millis: Option<i64>,
    /// How many numbers of the event's free objects are null, since no number of JSON's is what was written (`NaN`).
    pub nulled_numbers: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub metadata: Metadata<'a>,
    pub body: Body<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Metadata<'a> {
    /// Empty only for a null value on the optimizations topic, which carries no event.
    pub event_id: Cow<'a, str>,
    pub occurred_at: Timestamp,
    /// 0: the producer has none.
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    Optimization { optimization_id: Cow<'a, str>, change: OptimizationChange<'a> },
    Job { job_id: Cow<'a, str>, optimization_id: Option<Cow<'a, str>>, change: JobChange<'a> },
    Run { job_id: Cow<'a, str>, run_index: u32, optimization_id: Option<Cow<'a, str>>, change: RunChange<'a> },
}

impl Body<'_> {
    /// The topic whose message this is.
    pub fn topic(&self) -> Topic {
        match self {
            Body::Optimization { .. } => Topic::Optimizations,
            Body::Job { .. } => Topic::Jobs,
            Body::Run { .. } => Topic::MultistartRuns,
        }
    }

    /// The kind of event, as the contract on the topics names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Optimization { change, .. } => match change {
                OptimizationChange::Created(_) => "created",
                OptimizationChange::DetailsChanged { .. } => "details_changed",
                OptimizationChange::DisplayNamesChanged { .. } => "display_names_changed",
                OptimizationChange::JobLinked { .. } => "job_linked",
                OptimizationChange::Deleted => "deleted",
            },
            Body::Job { change, .. } => match change {
                JobChange::Pending => "pending",
                JobChange::Processing => "processing",
                JobChange::Waiting => "waiting",
                JobChange::Completed { .. } => "completed",
                JobChange::Failed { .. } => "failed",
                JobChange::Canceled => "canceled",
            },
            Body::Run { change, .. } => match change {
                RunChange::Started => "started",
                RunChange::Completed { .. } => "completed",
                RunChange::Failed { .. } => "failed",
                RunChange::Canceled => "canceled",
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum OptimizationChange<'a> {
    Created(Box<OptimizationCreated<'a>>),
    /// `None`: unchanged. `Some("")`: set to empty.
    DetailsChanged {
        name: Option<Cow<'a, str>>,
        description: Option<Cow<'a, str>>,
    },
    /// `None`: unchanged. `Some("")`: set to empty.
    DisplayNamesChanged {
        cell_name: Option<Cow<'a, str>>,
        parameterized_model_name: Option<Cow<'a, str>>,
    },
    JobLinked {
        job_id: Cow<'a, str>,
    },
    Deleted,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizationCreated<'a> {
    pub organization_id: Cow<'a, str>,
    pub project_id: Cow<'a, str>,
    pub name: Option<Cow<'a, str>>,
    pub description: Option<Cow<'a, str>>,
    pub kind: Option<Cow<'a, str>>,
    /// `None`: the event's `occurred_at`.
    pub created_at: Option<Timestamp>,
    pub created_by_email: Option<Cow<'a, str>>,
    pub cell_spec_id: Option<Cow<'a, str>>,
    pub cell_name: Option<Cow<'a, str>>,
    pub parameterized_model_id: Option<Cow<'a, str>>,
    pub parameterized_model_name: Option<Cow<'a, str>>,
    pub optimization_template_id: Option<Cow<'a, str>>,
    pub objectives: Option<JsonObject<'a>>,
    pub job_id: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum JobChange<'a> {
    Pending,
    Processing,
    Waiting,
    Completed { metrics: Option<JsonObject<'a>> },
    Failed { error: Option<Cow<'a, str>>, error_code: Option<Cow<'a, str>> },
    Canceled,
}

/// What a run did. The view shows how many runs there are and no more; the rest is decoded because a record that
/// breaks the contract must be seen, and is then let go.
#[derive(Clone, Debug, PartialEq)]
pub enum RunChange<'a> {
    Started,
    Completed {
        cost: Option<f64>,
        /// A JSON object's text, as it was written.
        parameter_values: Option<JsonObject<'a>>,
        iterations: Option<u64>,
        evaluations: Option<u64>,
    },
    Failed {
        error: Option<Cow<'a, str>>,
    },
    Canceled,
}

/// The text of a JSON object: compact, valid, every number as the contract wants it (an integer as written, a double
/// in its shortest form that reads back the same). Made by `codec` only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonObject<'a>(pub Cow<'a, str>);
