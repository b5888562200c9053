//! The sweep over jobs that no optimization has linked for long. Nothing is dropped: what a store holds follows from the topics
//! alone, and a link may come late. Such jobs are counted, by how long ago this store first found them.

use std::time::{Duration, Instant};

use super::Moment;
use crate::domain::Timestamp;
use crate::status::{OrphanJob, OrphanJobs};
use crate::store::{StoreError, UnlinkedCursor, UnlinkedJob, Writer};

/// The longest interval between two sweeps. A shorter retention shortens it.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// The most parked jobs that one turn looks at, so that no turn takes long.
const JOBS_A_TURN: usize = 1_000;

/// The sweep that is under way, and when the next begins.
pub struct OrphanSweep {
    retention: Duration,
    last_begin: Option<Instant>,
    under_way: Option<SweepCounts>,
    /// The count of orphans of the sweep before.
    last_count: u64,
}

#[derive(Default)]
struct SweepCounts {
    cursor: UnlinkedCursor,
    waiting: u64,
    orphans: u64,
    longest: Option<UnlinkedJob>,
}

impl SweepCounts {
    fn add(&mut self, job: UnlinkedJob, orphan_before_millis: i64) {
        self.waiting += 1;
        if job.since_millis > orphan_before_millis {
            return;
        }
        self.orphans += 1;
        if self.longest.as_ref().is_none_or(|longest| job.since_millis < longest.since_millis) {
            self.longest = Some(job);
        }
    }
}

impl OrphanSweep {
    pub fn new(retention: Duration) -> OrphanSweep {
        OrphanSweep { retention, last_begin: None, under_way: None, last_count: 0 }
    }

    /// Forgets what was counted, and begins anew.
    pub fn restart(&mut self) {
        *self = OrphanSweep::new(self.retention);
    }

    /// Goes on with the sweep by one slice, or begins one if it is due. Returns the counts of a sweep that has ended, and logs
    /// them if there are more orphans than before, unless `is_quiet`.
    pub fn advance(
        &mut self,
        now: Moment,
        writer: &Writer,
        is_quiet: bool,
    ) -> Result<Option<OrphanJobs>, StoreError> {
        let is_due = |last| now.instant.saturating_duration_since(last) >= SWEEP_EVERY.min(self.retention);
        if self.under_way.is_none() && self.last_begin.is_none_or(is_due) {
            (self.last_begin, self.under_way) = (Some(now.instant), Some(SweepCounts::default()));
        }
        let Some(counts) = &mut self.under_way else { return Ok(None) };
        let now_millis = now.wall.timestamp_millis();
        let retention_millis = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        for job in writer.unlinked_jobs(&mut counts.cursor, JOBS_A_TURN, now_millis)? {
            counts.add(job, now_millis.saturating_sub(retention_millis));
        }
        if !counts.cursor.is_at_end() {
            return Ok(None);
        }
        let Some(SweepCounts { waiting, orphans, longest, .. }) = self.under_way.take() else { return Ok(None) };
        let longest = longest.map(|job| OrphanJob {
            job_id: job.id.to_string(),
            first_found_at: Timestamp::from_millis(job.since_millis).unwrap_or_default().to_string(),
        });
        if let Some(OrphanJob { job_id, first_found_at }) = &longest
            && orphans > self.last_count
            && !is_quiet
        {
            tracing::warn!(
                jobs = orphans,
                job_id,
                first_found_at,
                "jobs have waited for longer than --orphan-retention for an optimization that links them; they are kept, and \
                 count when a link comes"
            );
        }
        self.last_count = orphans;
        Ok(Some(OrphanJobs { count: orphans, waiting, longest }))
    }
}
