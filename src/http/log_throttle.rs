//! Limits for log messages that may come thousands of times a second. A first occurrence is never dropped.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

const INTERVAL_SECONDS: u64 = 10;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The limit of one kind of message to one line in [`INTERVAL_SECONDS`].
pub struct LogThrottle {
    /// The time of the last line in seconds since [`STARTED`], plus one; 0 before the first line.
    last: AtomicU64,
}

impl LogThrottle {
    pub const fn new() -> LogThrottle {
        LogThrottle { last: AtomicU64::new(0) }
    }

    /// Returns true at most once in ten seconds, over all callers.
    pub fn is_due(&self) -> bool {
        self.is_due_at(STARTED.elapsed().as_secs() + 1)
    }

    fn is_due_at(&self, now: u64) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || now >= last + INTERVAL_SECONDS;
        due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Number of lines of one kind that are logged within [`INTERVAL_SECONDS`].
const BURST: u64 = 100;

/// The limit of one kind of message to [`BURST`] lines in [`INTERVAL_SECONDS`].
pub struct LogBurst(Mutex<Burst>);

struct Burst {
    /// The begin of the interval, in seconds since [`STARTED`].
    since: u64,
    logged: u64,
    left_out: u64,
}

impl LogBurst {
    pub const fn new() -> LogBurst {
        LogBurst(Mutex::new(Burst { since: 0, logged: 0, left_out: 0 }))
    }

    /// Returns the number of lines that were left out since the last logged one, if a line may be logged now.
    pub fn is_due(&self) -> Option<u64> {
        self.is_due_at(STARTED.elapsed().as_secs())
    }

    fn is_due_at(&self, now: u64) -> Option<u64> {
        let mut burst = self.0.lock();
        if now >= burst.since + INTERVAL_SECONDS {
            (burst.since, burst.logged) = (now, 0);
        }
        if burst.logged == BURST {
            burst.left_out += 1;
            return None;
        }
        burst.logged += 1;
        Some(std::mem::take(&mut burst.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_a_hundred_lines_is_logged_and_what_is_left_out_is_counted() {
        let burst = LogBurst::new();
        let due = |now| (0..150).filter_map(|_| burst.is_due_at(now)).collect::<Vec<u64>>();
        assert_eq!(due(3), vec![0; 100]);
        assert_eq!(due(12), {
            let mut counts = vec![0; 100];
            counts[0] = 50;
            counts
        });
    }

    #[test]
    fn it_is_due_at_first_and_then_once_in_ten_seconds() {
        let throttle = LogThrottle::new();
        let due: Vec<u64> = (1..=32).filter(|&now| throttle.is_due_at(now)).collect();
        assert_eq!(due, [1, 11, 21, 31]);
    }
}
