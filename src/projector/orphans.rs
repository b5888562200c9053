//! Jobs that no optimization ever linked: dropped once they are old, and counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Projector;
use crate::domain::Commit;
use crate::store::StoreError;

/// How often orphans are looked for, once live; more often where they are kept for less.
const SWEEP_ORPHANS_EVERY: Duration = Duration::from_secs(3600);

impl Projector {
    /// Drops the jobs that two sweeps in a row found unlinked and old. One is not enough: a job's age is that of its
    /// events, and where those are of long ago the event that links it may be the next to be read.
    pub(super) fn sweep_orphans(&mut self) -> Result<(), StoreError> {
        let every = SWEEP_ORPHANS_EVERY.min(self.settings.orphan_retention);
        let due = self.last_orphan_sweep.is_none_or(|last| last.elapsed() >= every);
        // A link may lie in what a stopped partition has not read.
        if !self.live || !due || self.partitions.stopped_reason().is_some() {
            return Ok(());
        }
        self.last_orphan_sweep = Some(Instant::now());
        let retention = i64::try_from(self.settings.orphan_retention.as_millis()).unwrap_or(i64::MAX);
        let before = chrono::Utc::now().timestamp_millis().saturating_sub(retention);
        let found: HashSet<Arc<str>> = self.writer.orphans(before)?.into_iter().collect();
        let found_before = std::mem::take(&mut self.orphans);
        let mut commit = Commit::default();
        for id in found {
            if !found_before.contains(&id) {
                self.orphans.insert(id);
            } else if self.working.forget_job(&id, before) {
                commit.jobs.push((id, None));
            }
        }
        if !commit.is_empty() {
            tracing::warn!(jobs = commit.jobs.len(), "dropped jobs that no optimization ever linked");
            self.counters.orphans.increment(commit.jobs.len() as u64);
        }
        self.commit(commit)
    }
}
