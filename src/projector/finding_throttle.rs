//! A throttle of log lines that keeps the log readable while the same is found thousands of times: the first is logged, then one a
//! minute at the most.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// The throttle of one kind of message.
#[derive(Debug, Default)]
pub struct FindingThrottle {
    last: Option<Instant>,
    left_out: u64,
}

impl FindingThrottle {
    /// Returns the number of lines that were left out since the last one that was logged, if one is to be logged now.
    pub fn is_due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_and_then_one_a_minute_with_how_many_were_left_out() {
        let (begin, mut throttle) = (Instant::now(), FindingThrottle::default());
        let due: Vec<Option<u64>> =
            (0..5).map(|at| throttle.is_due(begin + Duration::from_secs(at * 25))).collect();
        assert_eq!(due, [Some(0), None, None, Some(2), None]);
    }
}
