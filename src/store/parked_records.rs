//! The records that no view shows, because no optimization links their jobs: who waits for a record learns of it.

use std::sync::Arc;

use super::unlinked_records::RecordJobs;
use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::{Job, PartitionOffset};

/// Number of parked jobs that are searched for the records of an earlier process.
const JOBS_SEARCHED: usize = 10_000;

impl Reader {
    /// Returns true if no view shows the record at this place, because no optimization links its job. Beside the latest records that
    /// this process has read, those are found that set a status, or began a job's last run, of the jobs that were parked at the first
    /// call. That one searches the store for them, which takes its time; the later ones take two look-ups.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn is_parked(&self, position: PartitionOffset) -> Result<bool, StoreError> {
        let records = &self.progress.unlinked_records;
        if let Some(job_id) = records.job_of(position) {
            return Ok(self.linking(&job_id).is_empty());
        }
        self.check_format()?;
        let stored = records.stored(|| self.find_parked())?;
        Ok(stored.get(&position).is_some_and(|job_id| self.linking(job_id).is_empty()))
    }

    /// Returns the places of the records of the jobs that are parked now, as far as the jobs have them.
    fn find_parked(&self) -> Result<RecordJobs, StoreError> {
        let mut found = RecordJobs::new();
        let mut searched = 0;
        for key in self.trees.jobs.iter().keys() {
            let key = key?;
            let id = String::from_utf8_lossy(&key);
            // Most jobs are earlier ones of optimizations that have another by now.
            if !self.linking(&id).is_empty() {
                continue;
            }
            let Some(stored) = pieces::get(&self.trees, &self.trees.jobs, &key)? else { continue };
            let id: Arc<str> = id.into();
            found.extend(sources(&stored_record::decode_job(&stored)?).map(|source| (source, id.clone())));
            searched += 1;
            if searched == JOBS_SEARCHED {
                break;
            }
        }
        Ok(found)
    }
}

/// Returns the places of the records that set something of a job.
fn sources(job: &Job) -> impl Iterator<Item = PartitionOffset> {
    let statuses = job.history().iter().map(|status| status.stamp.source);
    statuses.chain(job.last_run().map(|run| run.stamp.source))
}
