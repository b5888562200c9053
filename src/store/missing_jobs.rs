//! The jobs that wait for an optimization: which of them one generation has, and another has not.

use super::{Reader, StoreError};
use crate::domain::{Job, Shortfall};

impl Reader {
    /// Returns all that is known of a job: what is parked, and what the optimizations have that link it now.
    fn job(&self, id: &str) -> Result<Job, StoreError> {
        let mut job = self.parked_job(id)?.unwrap_or_default();
        for optimization_id in self.linking(id) {
            let Some(kept) = self.stored_record(&optimization_id)? else { continue };
            if kept.optimization.linked_job().is_some_and(|linked| **linked == *id) {
                job.join(&kept.optimization.job);
            }
        }
        Ok(job)
    }
}

/// Returns true if `old` has parked a job of which `new` does not know all that `old` knows.
///
/// # Errors
/// Fails if the new one cannot be read, or if the old one fails by anything but damage.
pub fn is_missing_job(old: &Reader, new: &Reader, id: &str) -> Result<bool, StoreError> {
    let held = match old.parked_job(id) {
        // It is the new one that must be sound.
        Err(error) if error.is_damage() => None,
        held => held?,
    };
    let Some(held) = held else { return Ok(false) };
    Ok(!Shortfall::of_job(&held, &new.job(id)?).is_empty())
}
