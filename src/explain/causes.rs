//! The event that set each field, from the stamps that the registers keep. The rules follow
//! `domain/view.rs`: where that takes the greater of two versions, so does this.

use super::Cause;
use crate::domain::{Link, Optimization, Register, Stamp};
use crate::source::TopicNames;

/// The look-up of causes in one optimization's registers.
pub struct Causes<'a> {
    pub optimization: &'a Optimization,
    pub topics: &'a TopicNames,
}

impl Causes<'_> {
    pub fn cause(&self, event: &str, stamp: &Stamp) -> Cause {
        let Stamp { version, source, .. } = stamp;
        Cause {
            event: event.to_owned(),
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
        self.cause(if by_creation { "created" } else { "job_linked" }, &link.stamp)
    }

    /// Returns the event that set a field of the view; `None` if no event did.
    pub fn of_field(&self, field: &str) -> Option<Cause> {
        let Optimization { name, description, cell_name, parameterized_model_name, .. } = self.optimization;
        match field {
            "name" => self.latest(name.as_deref(), "details_changed"),
            "description" => self.latest(description.as_deref(), "details_changed"),
            "cell_name" => self.latest(cell_name.as_deref(), "display_names_changed"),
            "parameterized_model_name" => {
                self.latest(parameterized_model_name.as_deref(), "display_names_changed")
            }
            // If these are null, that follows from the status, too.
            "status" | "metrics" | "error" | "error_code" => self.status(),
            "run_count" => self.last_run(),
            _ => self.creation(),
        }
    }

    fn creation(&self) -> Option<Cause> {
        self.optimization.created.as_ref().map(|created| self.cause("created", &created.stamp))
    }

    fn latest(&self, change: Option<&Register<Box<str>>>, event: &str) -> Option<Cause> {
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
            Some(last) => Some(self.cause(last.event.as_str(), &last.stamp)),
            None => Some(self.link(link)),
        }
    }

    /// Returns the event of the linked job's last status, or the event that linked the job if it has none.
    fn status(&self) -> Option<Cause> {
        let link = self.optimization.links().first()?;
        match self.optimization.job.history().last() {
            Some(last) => Some(self.cause(last.status.as_str(), &last.stamp)),
            None => Some(self.link(link)),
        }
    }
}
