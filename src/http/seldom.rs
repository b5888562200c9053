//! Keeps a log readable while something fails thousands of times a second. Drops no first occurrence.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const INTERVAL_SECONDS: u64 = 10;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One kind of message.
pub struct Seldom {
    /// Seconds since [`STARTED`], plus one; 0: never yet.
    last: AtomicU64,
}

impl Seldom {
    pub const fn new() -> Seldom {
        Seldom { last: AtomicU64::new(0) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_first_and_then_once_in_ten_seconds() {
        let seldom = Seldom::new();
        let due: Vec<u64> = (1..=32).filter(|&now| seldom.is_due_at(now)).collect();
        assert_eq!(due, [1, 11, 21, 31]);
    }
}
