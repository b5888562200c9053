//! The places of the latest records whose jobs no optimization linked when they were folded. A client that waits for a record learns
//! from them that no view shows it, as long as the job is not linked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::{Job, PartitionOffset};

/// Number of records that are remembered.
const CAPACITY: usize = 16_384;

/// Number of parked jobs that are searched for a record that is not remembered.
const JOBS_SEARCHED: usize = 10_000;

#[derive(Default)]
pub struct UnlinkedRecords(Mutex<LatestRecords>);

#[derive(Default)]
struct LatestRecords {
    jobs: HashMap<PartitionOffset, Arc<str>>,
    order: VecDeque<PartitionOffset>,
}

impl UnlinkedRecords {
    /// Notes a record that was folded into a job that no optimization links.
    pub fn note(&self, position: PartitionOffset, job_id: Arc<str>) {
        let mut latest = self.0.lock();
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

    fn job_of(&self, position: PartitionOffset) -> Option<Arc<str>> {
        self.0.lock().jobs.get(&position).cloned()
    }
}

impl Reader {
    /// Returns true if no view shows the record at this place, because no optimization links its job. Of records that were read by
    /// an earlier process only those are found that set a status, or began a job's last run.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn is_parked(&self, position: PartitionOffset) -> Result<bool, StoreError> {
        if let Some(job_id) = self.progress.unlinked_records.job_of(position) {
            return Ok(self.linking(&job_id).is_empty());
        }
        self.check_format()?;
        for key in self.trees.jobs.iter().keys().take(JOBS_SEARCHED) {
            let key = key?;
            let Some(stored) = pieces::get(&self.trees, &self.trees.jobs, &key)? else { continue };
            if is_source(&stored_record::decode_job(&stored)?, position) {
                return Ok(self.linking(&String::from_utf8_lossy(&key)).is_empty());
            }
        }
        Ok(false)
    }
}

/// Returns true if the record at this place set something of a job.
fn is_source(job: &Job, position: PartitionOffset) -> bool {
    job.history().iter().any(|status| status.stamp.source == position)
        || job.last_run().is_some_and(|run| run.stamp.source == position)
}
