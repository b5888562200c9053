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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_letters_a_second_are_tried_at_the_most() {
        let (mut pace, begin) = (RetryPace::default(), Instant::now());
        let (mut letters, mut now) = (0, begin);
        while now < begin + Duration::from_secs(5) {
            if pace.is_free(now) {
                pace.note(now, 50);
                letters += 50;
            }
            now += Duration::from_millis(1);
        }
        assert_eq!(letters, 5_000);
    }
}
