//! Decoded events. Texts are borrowed from the record if possible: most events change one small thing, and a fast
//! fold must not copy what it does not keep.

use std::borrow::Cow;

use super::position::{PartitionOffset, Topic};
use super::timestamp::Timestamp;

/// An event with the position that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    pub event: Event<'a>,
    pub position: PartitionOffset,
    /// Kafka's timestamp of the record, in milliseconds since 1970; `None` if it has none.
    pub written_millis: Option<i64>,
    /// Number of numbers in the event's free objects that became null because JSON has no such number (`NaN`).
    pub nulled_numbers: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub metadata: Metadata<'a>,
    pub body: Body<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Metadata<'a> {
    /// The event's id. It is empty only for a null value on the optimizations topic, which carries no event.
    pub event_id: Cow<'a, str>,
    pub occurred_at: Timestamp,
    /// The producer's sequence number; 0 if it has none.
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    Optimization { optimization_id: Cow<'a, str>, change: OptimizationChange<'a> },
    Job { job_id: Cow<'a, str>, optimization_id: Option<Cow<'a, str>>, change: JobChange<'a> },
    Run { job_id: Cow<'a, str>, run_index: u32, optimization_id: Option<Cow<'a, str>>, change: RunChange<'a> },
}

impl Body<'_> {
    /// Returns the topic of this kind of message.
    pub fn topic(&self) -> Topic {
        match self {
            Body::Optimization { .. } => Topic::Optimizations,
            Body::Job { .. } => Topic::Jobs,
            Body::Run { .. } => Topic::MultistartRuns,
        }
    }

    /// Returns the kind of event as the contract on the topics names it.
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
    /// A change of texts: `None` leaves one unchanged, and `Some("")` sets it to empty.
    DetailsChanged {
        name: Option<Cow<'a, str>>,
        description: Option<Cow<'a, str>>,
    },
    /// A change of texts: `None` leaves one unchanged, and `Some("")` sets it to empty.
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
    /// Time of the creation; `None` for the event's `occurred_at`.
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

/// A change of a run. The view shows only the number of runs. The rest is decoded because a record that breaks the
/// contract must be noticed, and is then dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum RunChange<'a> {
    Started,
    Completed {
        cost: Option<f64>,
        /// A JSON object's text as it was written.
        parameter_values: Option<JsonObject<'a>>,
        iterations: Option<u64>,
        evaluations: Option<u64>,
    },
    Failed {
        error: Option<Cow<'a, str>>,
    },
    Canceled,
}

/// The text of a JSON object: compact, valid, every number in the contract's form (an integer as written, a double
/// in its shortest form that reads back the same). Only `codec` makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonObject<'a>(pub Cow<'a, str>);
