//! The question what the topic is, which is asked again and again. What is read between a question and its answer may lie beyond that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::moment::ReplicaMoment;

/// The question that was asked last.
#[derive(Clone, Debug, Default)]
pub struct Inquiry {
    is_under_way: bool,
    /// The moment of the last question.
    asked: Option<Instant>,
    /// The moment of the last answer.
    answered: Option<Instant>,
    /// The offsets that were next when the question was asked.
    pub next_when_asked: BTreeMap<i32, i64>,
}

impl Inquiry {
    /// Returns true if it is time to ask: nothing has been asked, or the last answer came so long ago.
    pub fn is_due(&self, now: ReplicaMoment, interval: Duration) -> bool {
        !self.is_under_way && self.answered.is_none_or(|at| now.instant.duration_since(at) >= interval)
    }

    /// Takes note of a question, when these offsets are the next.
    pub fn begin(&mut self, next: &BTreeMap<i32, i64>, now: ReplicaMoment) {
        (self.is_under_way, self.asked) = (true, Some(now.instant));
        self.next_when_asked.clone_from(next);
    }

    /// Returns the moment of the last question; this one if there was none.
    pub fn asked(&self, now: ReplicaMoment) -> Instant {
        self.asked.unwrap_or(now.instant)
    }

    /// Takes note of the answer.
    pub fn end(&mut self, now: ReplicaMoment) {
        (self.is_under_way, self.answered) = (false, Some(now.instant));
    }
}
