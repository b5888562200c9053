//! The parked jobs that no optimization links, each with the time at which it was first found. A time is a clock's reading, so it
//! is stored beside the records and never in them: the content of a record follows from the topics alone.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use sled::IVec;

use super::{StoreError, Writer};

/// A parked job that no optimization links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlinkedJob {
    /// The id of the job.
    pub id: Arc<str>,
    /// The time at which it was first found here, in milliseconds since 1970.
    pub since_millis: i64,
}

/// A cursor over the parked jobs in the order of their ids.
#[derive(Debug, Default)]
pub struct UnlinkedCursor {
    last: Option<IVec>,
    is_at_end: bool,
}

impl UnlinkedCursor {
    /// Returns true if the last call reached the last parked job.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }
}

impl Writer {
    /// Returns those of the next `most` parked jobs that are unlinked, and notes the new ones among them as found at
    /// `now_millis`. Jobs that have been linked since are forgotten.
    ///
    /// # Errors
    /// The store's.
    pub fn unlinked_jobs(
        &self,
        cursor: &mut UnlinkedCursor,
        most: usize,
        now_millis: i64,
    ) -> Result<Vec<UnlinkedJob>, StoreError> {
        let from = cursor.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.trees.jobs.range::<IVec, _>((from.clone(), Bound::Unbounded));
        let keys = range.keys().take(most).collect::<Result<Vec<IVec>, _>>()?;
        cursor.is_at_end = keys.len() < most;
        cursor.last = keys.last().cloned();
        let until = if cursor.is_at_end { None } else { cursor.last.clone() };
        let mut jobs = Vec::new();
        let mut unlinked = BTreeSet::new();
        for key in keys {
            let id = String::from_utf8_lossy(&key);
            if !self.linking(&id).is_empty() {
                continue;
            }
            let held = self.first_seen.get(&key)?;
            let since_millis = match held.as_deref().and_then(|held| held.try_into().ok()) {
                Some(millis) => i64::from_be_bytes(millis),
                None => {
                    self.first_seen.insert(&key, &now_millis.to_be_bytes())?;
                    now_millis
                }
            };
            jobs.push(UnlinkedJob { id: id.as_ref().into(), since_millis });
            unlinked.insert(key);
        }
        let until = until.map_or(Bound::Unbounded, Bound::Included);
        for key in self.first_seen.range::<IVec, _>((from, until)).keys() {
            let key = key?;
            if !unlinked.contains(&key) {
                self.first_seen.remove(&key)?;
            }
        }
        Ok(jobs)
    }
}
