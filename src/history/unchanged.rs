//! Why an event changed nothing that readers see.

use serde::Serialize;

use crate::domain::event::OptimizationChange;
use crate::domain::{Body, Optimization, Register, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchanged {
    /// The same event once more.
    Repeated,
    NotCreated,
    Deleted,
    /// It is of a job that the optimization does not link, or not yet.
    NotLinked,
    NoLongerLinked,
    /// What it sets was set by a greater version.
    Older,
    /// What it sets shows in the view as what was there before.
    Same,
}

impl Unchanged {
    /// Of an event that is no repetition, and after which the registers are these.
    pub fn why(after: &Optimization, body: &Body<'_>, version: &Version) -> Unchanged {
        if after.created.is_none() {
            return Unchanged::NotCreated;
        }
        if after.deleted.is_some() {
            return Unchanged::Deleted;
        }
        if let Body::Job { job_id, .. } | Body::Run { job_id, .. } = body
            && after.linked_job().is_none_or(|linked| **linked != **job_id)
        {
            return if after.links_job(job_id) { Unchanged::NoLongerLinked } else { Unchanged::NotLinked };
        }
        if is_superseded(after, body, version) { Unchanged::Older } else { Unchanged::Same }
    }

    pub fn explain(self) -> &'static str {
        match self {
            Unchanged::Repeated => "the same event once more",
            Unchanged::NotCreated => "nothing is shown before the creation",
            Unchanged::Deleted => "the optimization is deleted",
            Unchanged::NotLinked => "the optimization does not link this job, or not yet",
            Unchanged::NoLongerLinked => "the job is no longer linked",
            Unchanged::Older => "older than what is there",
            Unchanged::Same => "the view shows the same as before",
        }
    }
}

/// Whether everything that the event sets has a greater version by now.
fn is_superseded(after: &Optimization, body: &Body<'_>, version: &Version) -> bool {
    let created = is_later(after.created.as_ref(), version);
    match body {
        Body::Optimization { change, .. } => match change {
            OptimizationChange::Created(_) => created,
            OptimizationChange::DetailsChanged { name, description } => {
                let name = name.is_none() || is_later(after.name.as_ref(), version);
                let description = description.is_none() || is_later(after.description.as_ref(), version);
                created || (name && description)
            }
            OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name: model } => {
                let cell_name = cell_name.is_none() || is_later(after.cell_name.as_ref(), version);
                let model = model.is_none() || is_later(after.parameterized_model_name.as_ref(), version);
                created || (cell_name && model)
            }
            OptimizationChange::JobLinked { .. } => {
                after.links().first().is_some_and(|link| link.stamp.version > *version)
            }
            OptimizationChange::Deleted => false,
        },
        Body::Job { .. } => after.job.history().last().is_some_and(|last| last.stamp.version > *version),
        // A run is counted, whatever is known of it later.
        Body::Run { .. } => false,
    }
}

fn is_later<T>(register: Option<&Register<T>>, version: &Version) -> bool {
    register.is_some_and(|register| register.stamp.version > *version)
}
