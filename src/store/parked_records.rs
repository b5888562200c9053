//! The records that no view shows, because no optimization links their jobs: who waits for a record learns of it.

use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::{Job, PartitionOffset};

/// Number of parked jobs that are searched for a record that is not remembered.
const JOBS_SEARCHED: usize = 10_000;

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
