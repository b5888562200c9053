//! Jobs that no optimization has linked for long. Nothing is dropped: what a store holds follows from the topics alone, and
//! a link may come late. They are counted and told of, by how long ago they were first found here.

use std::time::{Duration, Instant};

use super::Projector;
use crate::domain::Timestamp;
use crate::status::{OrphanJob, OrphanJobs};
use crate::store::{StoreError, UnlinkedCursor, UnlinkedJob};

/// How often they are counted; more often where they are told of sooner.
const COUNT_EVERY: Duration = Duration::from_secs(3600);
/// How many parked jobs are looked at in one turn, so that none takes long.
const JOBS_A_TURN: usize = 1_000;

/// How far the counting of unlinked jobs is.
#[derive(Default)]
pub struct OrphanSweep {
    last_begin: Option<Instant>,
    under_way: Option<SweepCounts>,
    /// How many were told of last.
    told: u64,
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

impl Projector {
    /// Goes on counting, a slice at a time. Only while live, and with nothing stopped: a link may lie in what has not been
    /// read.
    pub(super) fn count_orphans(&mut self) -> Result<(), StoreError> {
        if !self.live || self.partitions.stopped_reason().is_some() {
            return Ok(());
        }
        let every = COUNT_EVERY.min(self.settings.orphan_retention);
        let held = &mut self.orphans;
        if held.under_way.is_none() && held.last_begin.is_none_or(|last| last.elapsed() >= every) {
            (held.last_begin, held.under_way) = (Some(Instant::now()), Some(SweepCounts::default()));
        }
        let Some(count) = &mut held.under_way else { return Ok(()) };
        let now = chrono::Utc::now().timestamp_millis();
        let retention = i64::try_from(self.settings.orphan_retention.as_millis()).unwrap_or(i64::MAX);
        for job in self.writer.unlinked_jobs(&mut count.cursor, JOBS_A_TURN, now)? {
            count.add(job, now.saturating_sub(retention));
        }
        if count.cursor.is_at_end() {
            self.tell_orphans();
        }
        Ok(())
    }

    fn tell_orphans(&mut self) {
        let Some(SweepCounts { waiting, orphans, longest, .. }) = self.orphans.under_way.take() else { return };
        let longest = longest.map(|job| OrphanJob {
            job_id: job.id.to_string(),
            first_found_at: Timestamp::from_millis(job.since_millis).unwrap_or_default().to_string(),
        });
        if let Some(OrphanJob { job_id, first_found_at }) = &longest
            && orphans > self.orphans.told
            && !self.is_quiet()
        {
            tracing::warn!(
                jobs = orphans,
                job_id,
                first_found_at,
                "jobs have waited for longer than --orphan-retention for an optimization that links them; they are kept, and \
                 count when a link comes"
            );
        }
        self.orphans.told = orphans;
        let counted = OrphanJobs { count: orphans, waiting, longest };
        self.change_findings(|findings| findings.orphan_jobs = Some(counted));
    }
}
