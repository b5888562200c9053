//! The new generation's way to where a frozen one stands, and how long it may stand still on it.

use core::time::Duration;

use super::action::BuildProgress;

/// Time for which the new generation may read nothing, though nothing is wrong.
const MAY_STAND_STILL: Duration = Duration::from_secs(30);

/// The new generation on its way to where the frozen one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approach {
    /// Number of records that were read at the last look.
    read: u64,
    /// The last time at which that was another number, or something was wrong.
    moved_at: Duration,
}

impl Approach {
    pub fn begin(now: Duration) -> Approach {
        Approach { read: 0, moved_at: now }
    }

    /// Takes in how far the generation is; `None`: it has stood still for too long.
    pub fn look(self, progress: &BuildProgress, now: Duration) -> Option<Approach> {
        let has_moved = progress.records != self.read || progress.has_trouble;
        let moved_at = if has_moved { now } else { self.moved_at };
        (now.saturating_sub(moved_at) <= MAY_STAND_STILL).then_some(Approach { read: progress.records, moved_at })
    }
}
