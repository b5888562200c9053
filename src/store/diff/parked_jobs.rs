//! Compares the jobs that wait in two generations for an optimization that links them.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use super::super::{Reader, StoreError, pieces};

/// Returns true if two generations have the same of a parked job. Of a job that an optimization links, what counts is in that
/// optimization's record: a kill may have left more of it parked.
///
/// # Errors
/// Fails if a job cannot be read.
pub fn is_parked_alike(old: &Reader, new: &Reader, id: &str) -> Result<bool, StoreError> {
    if !old.linking(id).is_empty() || !new.linking(id).is_empty() {
        return Ok(true);
    }
    let parked = |reader: &Reader| pieces::get(&reader.trees, &reader.trees.jobs, id.as_bytes());
    Ok(parked(old)? == parked(new)?)
}

impl Reader {
    /// The ids of the next `most` parked jobs after one, in their order. Empty at the end.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn parked_ids_after(&self, id: Option<&str>, most: usize) -> Result<Vec<Arc<str>>, StoreError> {
        let from = id.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes()));
        let keys = self.trees.jobs.range::<&[u8], _>((from, Bound::Unbounded)).keys().take(most);
        keys.map(|key| Ok(Arc::from(String::from_utf8_lossy(&key?).as_ref()))).collect()
    }

    /// The jobs that were parked, or are parked no longer, since the last call. See [`Reader::watch_changes`].
    pub fn take_changed_jobs(&self) -> HashSet<Arc<str>> {
        self.progress.changes.take_jobs()
    }
}
