//! The loss of the right to publish. librdkafka reports the same where another publisher has taken the topic over, and where the brokers
//! have ended a transaction that was open for too long. The topic shows which it was: whoever takes it over writes a mark in each
//! partition before anything else.

use std::time::{Duration, Instant};

use super::records::Mark;
use crate::source::views_topic::ViewsTopicError;

/// A fence whose cause is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    since: Instant,
    /// The error by which it showed.
    error: String,
    /// Number of partitions of the topic.
    pub partitions: i32,
}

impl Fence {
    pub fn new(since: Instant, error: String, partitions: i32) -> Fence {
        Fence { since, error, partitions }
    }

    /// Returns nothing once it is certain enough that no other publisher is there: then the topic may be taken over again. `has_others`
    /// states whether the topic has marks of one.
    ///
    /// # Errors
    /// [`ViewsTopicError::Fenced`] if another publisher is there, and [`ViewsTopicError::Unavailable`] as long as one may still come.
    pub fn check(&self, has_others: bool, now: Instant, takeover_time: Duration) -> Result<(), ViewsTopicError> {
        if has_others {
            return Err(ViewsTopicError::Fenced(self.error.clone()));
        }
        match now.saturating_duration_since(self.since) >= takeover_time {
            true => Ok(()),
            false => Err(self.doubt(takeover_time)),
        }
    }

    /// Returns the error that is reported as long as the cause is not known.
    pub fn doubt(&self, takeover_time: Duration) -> ViewsTopicError {
        ViewsTopicError::Unavailable(format!(
            "the brokers take nothing more from this publisher, either because a transaction was open for too long (they were away, or this \
             process stood still), or because another publisher takes the topic over; unless that shows within {} s, this one goes on: {}",
            takeover_time.as_secs(),
            self.error
        ))
    }
}

/// The marks of this publisher since it last took the topic over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnMarks {
    /// The greatest version that was found on the topic. Whoever takes it over later has greater ones.
    found_version: u64,
    /// The last mark that was committed.
    committed: Option<Mark>,
    /// The mark that was to be written last: nobody may have learned whether it was committed.
    written: Option<Mark>,
}

impl OwnMarks {
    /// Begins anew on a topic whose greatest version this is.
    pub fn after(found_version: u64) -> OwnMarks {
        OwnMarks { found_version, committed: None, written: None }
    }

    /// Takes note that a mark is about to be written.
    pub fn note_written(&mut self, mark: &Mark) {
        self.written = Some(mark.clone());
    }

    /// Takes note that the last mark was committed.
    pub fn note_committed(&mut self) {
        self.committed.clone_from(&self.written);
    }

    /// Returns true if a mark that is found is of another publisher that has come since. The id of the publisher does not show it, for a
    /// copy of the store has the same.
    pub fn is_foreign(&self, mark: &Mark) -> bool {
        let is_own = [&self.committed, &self.written].into_iter().flatten().any(|own| own == mark);
        !is_own && mark.version > self.found_version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(version: u64, written_at: &str) -> Mark {
        Mark { positions: Default::default(), version, written_at: written_at.to_owned() }
    }

    #[test]
    fn a_mark_is_of_another_publisher_if_it_is_newer_than_the_take_over_and_none_of_ours() {
        let mut own = OwnMarks::after(10);
        assert!(!own.is_foreign(&mark(10, "before")) && own.is_foreign(&mark(11, "first")));
        own.note_written(&mark(11, "first"));
        assert!(!own.is_foreign(&mark(11, "first")), "it may be on the topic");
        own.note_committed();
        own.note_written(&mark(20, "second"));
        assert!(!own.is_foreign(&mark(11, "first")), "the second may not have been committed");
        assert!(!own.is_foreign(&mark(20, "second")));
        // A copy of the store gives the same versions.
        assert!(own.is_foreign(&mark(20, "at another time")) && own.is_foreign(&mark(12, "first")));
        own.note_committed();
        own.note_written(&mark(30, "third"));
        assert!(own.is_foreign(&mark(11, "first")), "it would not be the last any more");
    }
}
