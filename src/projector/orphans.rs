//! Jobs that no optimization links: when they are looked for, and which of those found are to be dropped. Drops nothing
//! itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often they are looked for; more often where they are kept for less.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub struct Orphans {
    last_sweep: Option<Instant>,
    /// What the last sweep found and did not give.
    found: HashSet<Arc<str>>,
}

impl Orphans {
    pub fn is_sweep_due(&self, retention: Duration) -> bool {
        self.last_sweep.is_none_or(|last| last.elapsed() >= SWEEP_EVERY.min(retention))
    }

    /// Of those that a sweep has found unlinked and old, the ones that the sweep before found too. Once is not enough: a
    /// job's age is that of its events, and where those are of long ago the event that links it may be the next to be read.
    pub fn found_twice(&mut self, found: Vec<Arc<str>>) -> Vec<Arc<str>> {
        self.last_sweep = Some(Instant::now());
        let before = std::mem::take(&mut self.found);
        let (twice, once): (Vec<_>, Vec<_>) = found.into_iter().partition(|id| before.contains(id));
        self.found = once.into_iter().collect();
        twice
    }
}
