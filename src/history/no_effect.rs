//! The reasons for which an event changed nothing that readers see.

use serde::Serialize;

use crate::domain::event::OptimizationChange;
use crate::domain::{Body, Optimization, Register, Version};

/// The reason for which an event changed nothing in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoEffect {
    /// The same event was read before.
    Repeated,
    NotCreated,
    Deleted,
    /// The event belongs to a job that the optimization does not link, or does not link yet.
    NotLinked,
    NoLongerLinked,
    /// An event of a greater version has set everything that this one sets.
    Older,
    /// The view shows the values that the event sets as it did before.
    Same,
}

impl NoEffect {
    /// Returns the reason for an event of `version` that has not been read before. `after` is the optimization after the
    /// event.
    pub fn of(after: &Optimization, body: &Body<'_>, version: &Version) -> NoEffect {
        if after.created.is_none() {
            return NoEffect::NotCreated;
        }
        if after.deleted.is_some() {
            return NoEffect::Deleted;
        }
        if let Body::Job { job_id, .. } | Body::Run { job_id, .. } = body
            && after.linked_job().is_none_or(|linked| **linked != **job_id)
        {
            return if after.links_job(job_id) { NoEffect::NoLongerLinked } else { NoEffect::NotLinked };
        }
        if is_superseded(after, body, version) { NoEffect::Older } else { NoEffect::Same }
    }

    /// The reason as people read it.
    pub fn text(self) -> &'static str {
        match self {
            NoEffect::Repeated => "the same event once more",
            NoEffect::NotCreated => "nothing is shown before the creation",
            NoEffect::Deleted => "the optimization is deleted",
            NoEffect::NotLinked => "the optimization does not link this job, or not yet",
            NoEffect::NoLongerLinked => "the job is no longer linked",
            NoEffect::Older => "older than what is there",
            NoEffect::Same => "the view shows the same as before",
        }
    }
}

/// Returns true if every register that the event sets has a greater version by now.
fn is_superseded(after: &Optimization, body: &Body<'_>, version: &Version) -> bool {
    let created = is_later(after.created.as_ref(), version);
    match body {
        Body::Optimization { change, .. } => match change {
            OptimizationChange::Created(_) => created,
            OptimizationChange::DetailsChanged { name, description } => {
                let name = name.is_none() || is_later(after.name.as_deref(), version);
                let description = description.is_none() || is_later(after.description.as_deref(), version);
                created || (name && description)
            }
            OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name: model } => {
                let cell_name = cell_name.is_none() || is_later(after.cell_name.as_deref(), version);
                let model = model.is_none() || is_later(after.parameterized_model_name.as_deref(), version);
                created || (cell_name && model)
            }
            OptimizationChange::JobLinked { .. } => {
                after.links().first().is_some_and(|link| link.stamp.version > *version)
            }
            OptimizationChange::Deleted => false,
        },
        Body::Job { .. } => after.job.history().last().is_some_and(|last| last.stamp.version > *version),
        // A run stays counted, whichever of its events comes later.
        Body::Run { .. } => false,
    }
}

fn is_later<T>(register: Option<&Register<T>>, version: &Version) -> bool {
    register.is_some_and(|register| register.stamp.version > *version)
}
