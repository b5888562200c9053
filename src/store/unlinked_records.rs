//! The places of the records whose jobs no optimization linked when they were folded: the latest, and those of an earlier process, as far
//! as the store has them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::StoreError;
use crate::domain::PartitionOffset;

/// Number of records that are remembered.
const CAPACITY: usize = 16_384;

/// The id of the job of each record.
pub type RecordJobs = HashMap<PartitionOffset, Arc<str>>;

#[derive(Default)]
pub struct UnlinkedRecords {
    latest: Mutex<LatestRecords>,
    /// The records that the store had when somebody first asked.
    stored: Mutex<Option<Arc<RecordJobs>>>,
}

#[derive(Default)]
struct LatestRecords {
    jobs: RecordJobs,
    order: VecDeque<PartitionOffset>,
}

impl UnlinkedRecords {
    /// Notes a record that was folded into a job that no optimization links.
    pub fn note(&self, position: PartitionOffset, job_id: Arc<str>) {
        let mut latest = self.latest.lock();
        if latest.jobs.insert(position, job_id).is_some() {
            return;
        }
        latest.order.push_back(position);
        if latest.order.len() > CAPACITY
            && let Some(oldest) = latest.order.pop_front()
        {
            latest.jobs.remove(&oldest);
        }
    }

    pub fn job_of(&self, position: PartitionOffset) -> Option<Arc<str>> {
        self.latest.lock().jobs.get(&position).cloned()
    }

    /// Returns the records that the store had when this was first called. Only the first call searches it, and those that come
    /// meanwhile wait for it.
    pub fn stored(
        &self,
        search: impl FnOnce() -> Result<RecordJobs, StoreError>,
    ) -> Result<Arc<RecordJobs>, StoreError> {
        let mut stored = self.stored.lock();
        if let Some(stored) = &*stored {
            return Ok(stored.clone());
        }
        let found = Arc::new(search()?);
        *stored = Some(found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    #[test]
    fn the_store_is_searched_once_until_that_succeeds() {
        let records = UnlinkedRecords::default();
        let place = PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 7 };
        let failed = records.stored(|| Err(StoreError::TooManyToSearch { count: 1, most: 0 }));
        assert!(failed.is_err());
        let stored = records.stored(|| Ok(RecordJobs::from([(place, "job-1".into())])));
        assert_eq!(stored.unwrap().get(&place).map(|id| &**id), Some("job-1"));
        let again = records.stored(|| panic!("it is searched again"));
        assert_eq!(again.unwrap().len(), 1);
    }
}
