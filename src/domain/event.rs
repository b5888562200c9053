//! Decoded events. Texts are borrowed from the record if possible: most events change one small thing, and a fast
//! fold must not copy what it does not keep.

use std::borrow::Cow;

use bounded_static::ToStatic;
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, IntoStaticStr, VariantNames};

use super::job_status::JobStatus;
use super::position::{PartitionOffset, Topic};
use super::timestamp::Timestamp;

/// An event with the position that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    /// The event as the codec decoded it from the record.
    pub event: Event<'a>,
    /// The position of the record in Kafka.
    pub position: PartitionOffset,
    /// Kafka's timestamp of the record, in milliseconds since 1970; `None` if it has none.
    pub written_millis: Option<i64>,
    /// Number of numbers in the event's free objects that became null because JSON has no such number (`NaN`).
    pub nulled_numbers: u32,
}

/// One message of the contract on the topics, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The identity, the time and the sequence number of the event.
    pub metadata: Metadata<'a>,
    /// The subject of the event and the change of it.
    pub body: Body<'a>,
}

/// The metadata of an event: what gives it an identity, and its place among the events of the same subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata<'a> {
    /// The event's id. It is empty only for a null value on the optimizations topic, which carries no event.
    pub event_id: Cow<'a, str>,
    /// The time of the event by the producer's clock, from the payload or the record's header `ce_time`. A null
    /// value without that header has the record's own timestamp.
    pub occurred_at: Timestamp,
    /// The producer's sequence number; 0 if it has none.
    pub sequence: u64,
}

/// The subject of an event, and its change. Each variant is the message of one topic. No id of a subject is empty.
#[derive(Clone, Debug, PartialEq, ToStatic)]
pub enum Body<'a> {
    /// The message of the optimizations topic.
    Optimization {
        /// The id of the optimization.
        optimization_id: Cow<'a, str>,
        /// The change of the optimization.
        change: OptimizationChange<'a>,
    },
    /// The message of the jobs topic.
    Job {
        /// The id of the job.
        job_id: Cow<'a, str>,
        /// The id of the optimization that the job runs for; `None` if the producer does not give it. The
        /// optimization's link is authoritative, and a difference is only counted.
        optimization_id: Option<Cow<'a, str>>,
        /// The status that the job took, with its data.
        change: JobChange<'a>,
    },
    /// The message of the multistart-runs topic.
    Run {
        /// The id of the job that the run is part of.
        job_id: Cow<'a, str>,
        /// The index of the run within the job, counted from 0.
        run_index: u32,
        /// The id of the optimization that the job runs for, as in [`Body::Job`].
        optimization_id: Option<Cow<'a, str>>,
        /// The change of the run.
        change: RunChange<'a>,
    },
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

    /// Returns the id of the job that the event is of, or that it links.
    pub fn job_id(&self) -> Option<&str> {
        match self {
            Body::Optimization { change: OptimizationChange::Created(created), .. } => created.job_id.as_deref(),
            Body::Optimization { change: OptimizationChange::JobLinked { job_id }, .. } => Some(job_id),
            Body::Optimization { .. } => None,
            Body::Job { job_id, .. } | Body::Run { job_id, .. } => Some(job_id),
        }
    }

    /// Returns the kind of event as the contract on the topics names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Optimization { change, .. } => OptimizationEvent::from(change).into(),
            Body::Job { change, .. } => change.status().into(),
            Body::Run { change, .. } => RunEvent::from(change).into(),
        }
    }
}

/// A change of an optimization.
#[derive(Clone, Debug, PartialEq, EnumDiscriminants, ToStatic)]
#[strum_discriminants(
    name(OptimizationEvent),
    derive(IntoStaticStr, VariantNames),
    strum(serialize_all = "snake_case"),
    doc = "The kind of an optimization's event, by its name in the contract on the topics."
)]
pub enum OptimizationChange<'a> {
    /// A user created the optimization.
    Created(Box<OptimizationCreated<'a>>),
    /// A change of texts: `None` leaves one unchanged, and `Some("")` sets it to empty.
    DetailsChanged {
        /// The new name.
        name: Option<Cow<'a, str>>,
        /// The new description.
        description: Option<Cow<'a, str>>,
    },
    /// A change of texts: `None` leaves one unchanged, and `Some("")` sets it to empty.
    DisplayNamesChanged {
        /// The new name of the cell.
        cell_name: Option<Cow<'a, str>>,
        /// The new name of the model.
        parameterized_model_name: Option<Cow<'a, str>>,
    },
    /// A job was submitted for the optimization, and replaces the job that was linked before, if any.
    JobLinked {
        /// The id of the job that runs for the optimization from now on.
        job_id: Cow<'a, str>,
    },
    /// The optimization was deleted, for ever: later events change nothing that readers see.
    Deleted,
}

/// The data of a creation. A field is `None` if the producer does not give it; an empty text is a value.
#[derive(Clone, Debug, Default, PartialEq, ToStatic)]
pub struct OptimizationCreated<'a> {
    /// The id of the organization that owns the optimization. It is never empty.
    pub organization_id: Cow<'a, str>,
    /// The id of the project that the optimization belongs to. It is never empty.
    pub project_id: Cow<'a, str>,
    /// The name that the user gave the optimization.
    pub name: Option<Cow<'a, str>>,
    /// The user's description.
    pub description: Option<Cow<'a, str>>,
    /// The kind of optimization, for instance `optimize` or `datafit`; an open set.
    pub kind: Option<Cow<'a, str>>,
    /// Time of the creation; `None` for the event's `occurred_at`.
    pub created_at: Option<Timestamp>,
    /// The email address of the user who created the optimization.
    pub created_by_email: Option<Cow<'a, str>>,
    /// The id of the cell that is optimized.
    pub cell_spec_id: Option<Cow<'a, str>>,
    /// The cell's name at the time of the creation, copied for display.
    pub cell_name: Option<Cow<'a, str>>,
    /// The id of the model whose parameters are optimized.
    pub parameterized_model_id: Option<Cow<'a, str>>,
    /// The model's name at the time of the creation, copied for display.
    pub parameterized_model_name: Option<Cow<'a, str>>,
    /// The id of the template that the optimization was made from.
    pub optimization_template_id: Option<Cow<'a, str>>,
    /// The objectives by name.
    pub objectives: Option<JsonObject<'a>>,
    /// The id of the job that was submitted with the optimization. It links the job as
    /// [`OptimizationChange::JobLinked`] does.
    pub job_id: Option<Cow<'a, str>>,
}

/// A change of a job: the status that it took.
#[derive(Clone, Debug, PartialEq, ToStatic, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum JobChange<'a> {
    /// The job was submitted, or submitted again after it had ended.
    Pending,
    /// A worker has the job.
    Processing,
    /// A worker has the job, which waits for something, such as its children.
    Waiting,
    /// The job succeeded.
    Completed {
        /// The results by name; `None` if the event has none.
        metrics: Option<JsonObject<'a>>,
    },
    /// The job failed.
    Failed {
        /// The reason for people; `None` if the event has none.
        error: Option<Cow<'a, str>>,
        /// The reason for programs, for instance `SOLVER_ERROR`; an open set. `None` if the event has none.
        error_code: Option<Cow<'a, str>>,
    },
    /// A user or the platform canceled the job.
    Canceled,
}

impl JobChange<'_> {
    /// Returns the status that the change gives the job.
    pub fn status(&self) -> JobStatus {
        match self {
            JobChange::Pending => JobStatus::Pending,
            JobChange::Processing => JobStatus::Processing,
            JobChange::Waiting => JobStatus::Waiting,
            JobChange::Completed { .. } => JobStatus::Completed,
            JobChange::Failed { .. } => JobStatus::Failed,
            JobChange::Canceled => JobStatus::Canceled,
        }
    }
}

/// A change of a run. The view shows only the number of runs. The rest is decoded because a record that breaks the
/// contract must be noticed, and is then dropped.
#[derive(Clone, Debug, PartialEq, EnumDiscriminants, ToStatic)]
#[strum_discriminants(
    name(RunEvent),
    derive(PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr, VariantNames),
    strum(serialize_all = "snake_case"),
    doc = "The kind of a run's event, by its name in the contract on the topics."
)]
pub enum RunChange<'a> {
    /// A worker has begun the run.
    Started,
    /// The run succeeded.
    Completed {
        /// The final value of the objective; lower is better. `None` if the event has none.
        cost: Option<f64>,
        /// A JSON object's text as it was written.
        parameter_values: Option<JsonObject<'a>>,
        /// Number of steps of the optimizer; `None` if the event has none.
        iterations: Option<u64>,
        /// Number of evaluations of the model; `None` if the event has none.
        evaluations: Option<u64>,
    },
    /// The run failed. The job may go on with its other runs.
    Failed {
        /// The reason for people; `None` if the event has none.
        error: Option<Cow<'a, str>>,
    },
    /// The run was canceled, with its job or alone.
    Canceled,
}

/// The text of a JSON object: compact, valid, every number in the contract's form (an integer as written, a double
/// in its shortest form that reads back the same). Only `codec` makes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, ToStatic)]
pub struct JsonObject<'a>(pub Cow<'a, str>);
