//! The pace at which dead letters are tried again, so that many of them do not hold up what is read meanwhile.

use std::time::{Duration, Instant};

/// The most letters that are tried again in a second.
const RETRIES_A_SECOND: u32 = 1_000;

/// The pace, by the instant from which on the next letters may be tried.
#[derive(Default)]
pub struct RetryPace {
    next: Option<Instant>,
}

impl RetryPace {
    /// Returns true if letters may be tried.
    pub fn is_free(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Takes note that so many letters were tried.
    pub fn note(&mut self, now: Instant, letters: u32) {
        self.next = Some(now + Duration::from_secs(1) / RETRIES_A_SECOND * letters);
    }
}
