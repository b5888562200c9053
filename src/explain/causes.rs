//! The event that set each field, from the stamps that the registers keep. The rules follow
//! `domain/view.rs`: where that takes the greater of two versions, so does this.

use serde::{Deserialize, Serialize};

use crate::domain::{FieldOrigin, Link, NamedPartition, Optimization, OptimizationEvent, Register, Stamp};
use crate::source::TopicNames;

/// An event that set a value, and the position of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The kind of the event, as the contract on the topics names it.
    pub event: String,
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The record's offset; the least one if the same event was read from several records.
    pub offset: i64,
    /// The time that the event states, RFC 3339.
    pub occurred_at: String,
    /// `None` for a record with a null value, which carries none.
    pub event_id: Option<String>,
    /// The producer's sequence number; 0 if the producer has none.
    pub sequence: u64,
}

impl Cause {
    /// Formats the position of the event's record, as in `jobs/3@1234`.
    pub fn place(&self) -> String {
        NamedPartition::new(self.topic.as_str(), self.partition).at(self.offset).to_string()
    }
}

/// The look-up of causes in one optimization's registers.
pub struct Causes<'a> {
    pub optimization: &'a Optimization,
    pub topics: &'a TopicNames,
}

impl Causes<'_> {
    pub fn cause(&self, event: impl Into<&'static str>, stamp: &Stamp) -> Cause {
        let Stamp { version, source, .. } = stamp;
        Cause {
            event: event.into().to_owned(),
            topic: self.topics.get(source.topic).to_owned(),
            partition: source.partition,
            offset: source.offset,
            occurred_at: version.occurred_at.to_string(),
            event_id: Some(&*version.event_id).filter(|id| !id.is_empty()).map(str::to_owned),
            sequence: version.sequence,
        }
    }

    /// Returns the event that linked a job, which may also be the creation.
    pub fn link(&self, link: &Link) -> Cause {
        let created = self.optimization.created.as_ref();
        let by_creation = created.is_some_and(|created| created.stamp.version == link.stamp.version);
        self.cause(
            if by_creation { OptimizationEvent::Created } else { OptimizationEvent::JobLinked },
            &link.stamp,
        )
    }

    /// Returns the event that set a field of the view, by its origin; `None` if no event did.
    pub fn of_field(&self, origin: FieldOrigin) -> Option<Cause> {
        let Optimization { name, description, cell_name, parameterized_model_name, .. } = self.optimization;
        match origin {
            FieldOrigin::Creation => self.creation(),
            FieldOrigin::Name => self.latest(name.as_deref(), OptimizationEvent::DetailsChanged),
            FieldOrigin::Description => self.latest(description.as_deref(), OptimizationEvent::DetailsChanged),
            FieldOrigin::CellName => self.latest(cell_name.as_deref(), OptimizationEvent::DisplayNamesChanged),
            FieldOrigin::ModelName => {
                self.latest(parameterized_model_name.as_deref(), OptimizationEvent::DisplayNamesChanged)
            }
            FieldOrigin::JobStatus => self.status(),
            FieldOrigin::JobRuns => self.last_run(),
        }
    }

    fn creation(&self) -> Option<Cause> {
        self.optimization.created.as_ref().map(|created| self.cause(OptimizationEvent::Created, &created.stamp))
    }

    fn latest(&self, change: Option<&Register<Box<str>>>, event: OptimizationEvent) -> Option<Cause> {
        let created = self.optimization.created.as_ref().map(|created| &created.stamp.version);
        match change {
            Some(change) if Some(&change.stamp.version) > created => Some(self.cause(event, &change.stamp)),
            _ => self.creation(),
        }
    }

    /// Returns the event of the linked job's last run, or the event that linked the job if it has no run.
    fn last_run(&self) -> Option<Cause> {
        let link = self.optimization.links().first()?;
        match self.optimization.job.last_run() {
            Some(last) => Some(self.cause(last.event, &last.stamp)),
            None => Some(self.link(link)),
        }
    }

    /// Returns the event of the linked job's last status, or the event that linked the job if it has none.
    fn status(&self) -> Option<Cause> {
        let link = self.optimization.links().first()?;
        match self.optimization.job.history().last() {
            Some(last) => Some(self.cause(last.status, &last.stamp)),
            None => Some(self.link(link)),
        }
    }
}
