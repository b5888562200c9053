//! Keeps a log readable while something fails thousands of times a second. Drops no first occurrence.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

const INTERVAL_SECONDS: u64 = 10;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One kind of message.
pub struct LogThrottle {
    /// Seconds since [`STARTED`], plus one; 0: never yet.
    last: AtomicU64,
}

impl LogThrottle {
    pub const fn new() -> LogThrottle {
        LogThrottle { last: AtomicU64::new(0) }
    }

    /// True at most once in ten seconds, whoever asks.
    pub fn is_due(&self) -> bool {
        self.is_due_at(STARTED.elapsed().as_secs() + 1)
    }

    fn is_due_at(&self, now: u64) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || now >= last + INTERVAL_SECONDS;
        due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// How many lines of one kind are logged within [`INTERVAL_SECONDS`].
const BURST: u64 = 100;

/// One kind of message of which each counts, as long as there are not very many.
pub struct LogBurst(Mutex<Burst>);

struct Burst {
    /// Seconds since [`STARTED`].
    since: u64,
    logged: u64,
    left_out: u64,
}

impl LogBurst {
    pub const fn new() -> LogBurst {
        LogBurst(Mutex::new(Burst { since: 0, logged: 0, left_out: 0 }))
    }

    /// How many were left out since the last one that was logged, if one is to be logged now.
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
        let seldom = LogThrottle::new();
        let due: Vec<u64> = (1..=32).filter(|&now| seldom.is_due_at(now)).collect();
        assert_eq!(due, [1, 11, 21, 31]);
    }
}
