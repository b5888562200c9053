//! The watch over what the writer writes, which the comparison of two generations asks what to look at again.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::{Job, Optimization};

/// The ids of what was written since somebody began to watch. Empty, and free, while nobody does.
#[derive(Default)]
pub struct ChangeWatch(Mutex<Option<ChangedIds>>);

#[derive(Default)]
struct ChangedIds {
    optimizations: HashSet<Arc<str>>,
    /// The jobs that were parked, or are parked no longer.
    jobs: HashSet<Arc<str>>,
}

impl ChangeWatch {
    /// Called when these are there for readers to see: whoever read before that will look again.
    pub fn note<'a>(&self, written: impl Iterator<Item = &'a Arc<Optimization>>) {
        if let Some(changed) = &mut *self.0.lock() {
            changed.optimizations.extend(written.map(|optimization| optimization.id.clone()));
        }
    }

    /// Called when these are parked, or parked no longer.
    pub fn note_jobs(&self, written: &[(Arc<str>, Option<Arc<Job>>)]) {
        if let Some(changed) = &mut *self.0.lock() {
            changed.jobs.extend(written.iter().map(|(id, _)| id.clone()));
        }
    }

    /// Remembers what is written from now on.
    pub fn begin(&self) {
        *self.0.lock() = Some(ChangedIds::default());
    }

    /// Returns the ids of the optimizations that were written since the last call.
    pub fn take_optimizations(&self) -> HashSet<Arc<str>> {
        self.0.lock().as_mut().map(|changed| std::mem::take(&mut changed.optimizations)).unwrap_or_default()
    }

    /// Returns the ids of the jobs that were parked since the last call, or are parked no longer.
    pub fn take_jobs(&self) -> HashSet<Arc<str>> {
        self.0.lock().as_mut().map(|changed| std::mem::take(&mut changed.jobs)).unwrap_or_default()
    }

    /// Remembers nothing any more.
    pub fn end(&self) {
        *self.0.lock() = None;
    }
}
