//! The pace of watchers while the fold is behind. A view that is folded then is as a rule not the newest, and whoever sends each of them to
//! each watcher takes the time from the fold, and so delays them all. So all watchers together have so many turns a second, and each of them
//! rests between two of its own. The end of the backlog ends every rest. The time is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::signal::{SignalSet, SignalSetWatch};

/// The least time between two turns of one watcher.
const REST: Duration = Duration::from_secs(1);

/// The time between two turns of any watchers. A turn takes about 0.04 ms of processor time.
const TURN_EVERY: Duration = Duration::from_micros(500);

/// The pace of all watchers of one registry.
#[derive(Default)]
pub struct WatcherPace {
    is_slowed: AtomicBool,
    /// The first turn that nobody has; `None` if nobody has taken one since the fold fell behind.
    next_turn: Mutex<Option<Instant>>,
    rests: Arc<SignalSet>,
}

impl WatcherPace {
    /// Takes note whether the fold is behind. Once it is not, every rest ends.
    pub fn set_slowed(&self, is_slowed: bool) {
        if self.is_slowed.load(Ordering::SeqCst) == is_slowed {
            return;
        }
        *self.next_turn.lock() = None;
        self.is_slowed.store(is_slowed, Ordering::SeqCst);
        if !is_slowed {
            self.rests.set_all();
        }
    }

    pub fn watch_rests(&self, is_closed: &Arc<AtomicBool>) -> SignalSetWatch {
        SignalSet::watch(&self.rests, is_closed)
    }

    /// Returns true while watchers are to take turns.
    pub fn is_slowed(&self) -> bool {
        self.is_slowed.load(Ordering::SeqCst)
    }

    /// Takes the next turn for a watcher whose last one was at `last`. Returns the time at which it comes; `None` if nobody needs one,
    /// because the fold is not behind.
    pub fn take_turn(&self, now: Instant, last: Option<Instant>) -> Option<Instant> {
        if !self.is_slowed() {
            return None;
        }
        let mut next = self.next_turn.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + TURN_EVERY);
        Some(last.map_or(turn, |last| turn.max(last + REST)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_takes_turns_while_the_fold_keeps_up() {
        let (pace, now) = (WatcherPace::default(), Instant::now());
        assert_eq!(pace.take_turn(now, Some(now)), None);
        pace.set_slowed(true);
        assert_eq!(pace.take_turn(now, None), Some(now), "the first turn costs nothing");
        assert_eq!(pace.take_turn(now, Some(now)), Some(now + REST));
        pace.set_slowed(false);
        assert_eq!(pace.take_turn(now, Some(now)), None);
    }

    /// Turns that were taken in one backlog delay nobody in the next.
    #[test]
    fn each_backlog_begins_with_a_free_turn() {
        let (pace, now) = (WatcherPace::default(), Instant::now());
        pace.set_slowed(true);
        for _ in 0..10_000 {
            pace.take_turn(now, None);
        }
        assert!(pace.take_turn(now, None) > Some(now + Duration::from_secs(4)));
        pace.set_slowed(false);
        pace.set_slowed(true);
        assert_eq!(pace.take_turn(now, None), Some(now));
    }

    proptest! {
        /// Whoever asks when, no watcher has two turns within a rest, and the turns of all leave the fold its time.
        #[test]
        fn the_more_watchers_there_are_the_longer_each_rests(asked in proptest::collection::vec((0..40_usize, 0..3_000_u64), 1..400)) {
            let (pace, begin) = (WatcherPace::default(), Instant::now());
            pace.set_slowed(true);
            let (mut now, mut last, mut free) = (begin, [None::<Instant>; 40], 0);
            for (watcher, micros) in asked {
                now = last[watcher].map_or(now, |last: Instant| last.max(now)) + Duration::from_micros(micros);
                let turn = pace.take_turn(now, last[watcher]).unwrap();
                prop_assert!(turn >= now);
                prop_assert!(last[watcher].is_none_or(|last| turn >= last + REST));
                free += 1;
                let taken = TURN_EVERY * free;
                prop_assert!(pace.next_turn.lock().unwrap() >= begin + taken, "{} turns are in less than their time", free);
                last[watcher] = Some(turn);
            }
        }
    }
}
