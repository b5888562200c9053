//! The continuity of a partition while it is read: it must stay the one that has been read. Positions mean nothing in another topic
//! of the same name, and neither Kafka nor librdkafka reports an error where a topic was deleted and created again.

use std::time::Instant;

use super::PartitionObservation;
use crate::domain::{Gap, TopicId};

/// The number of answers in a row by which a partition counts as shorter than what was read of it. A leader that has just been
/// elected may give one such answer, until its followers have confirmed what it has.
const SHORTER_ANSWERS: u32 = 3;

/// One partition, compared with the cluster's answers about it as long as it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Continuity {
    topic_id: Option<TopicId>,
    /// The offset up to which it had been read, and the instant at which that was noted.
    noted: Option<(i64, Instant)>,
    /// The last answer that was compared.
    compared: Option<Instant>,
    shorter: u32,
}

impl Continuity {
    /// Makes the continuity of a partition of the topic that had this id when it was read, if that is known.
    pub fn new(topic_id: Option<TopicId>) -> Continuity {
        Continuity { topic_id, ..Continuity::default() }
    }

    /// The id of the topic that is read.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// Expects the topic of this id from now on, if no other is known.
    pub fn adopt(&mut self, topic_id: Option<TopicId>) {
        self.topic_id = self.topic_id.or(topic_id);
    }

    /// Compares what is known with an answer of the cluster. `position` is the offset up to which has been read by `now`; the
    /// answer to an earlier question may end before it.
    pub fn compare(&mut self, position: i64, observed: &PartitionObservation, now: Instant) -> Result<(), Gap> {
        if let Some(gap) = Gap::between_ids(self.topic_id, observed.topic_id, position) {
            return Err(gap);
        }
        let noted = self.noted.get_or_insert((position, now));
        if self.compared == Some(observed.asked_at) || observed.asked_at < noted.1 {
            return Ok(());
        }
        self.compared = Some(observed.asked_at);
        let read_before = noted.0;
        *noted = (position, now);
        if observed.high >= read_before {
            self.shorter = 0;
            return Ok(());
        }
        self.shorter += 1;
        match self.shorter {
            0..SHORTER_ANSWERS => Ok(()),
            _ => Err(Gap::Shorter { next: read_before, high: observed.high }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(number: i64) -> Option<TopicId> {
        Some(TopicId { most_significant: 7, least_significant: number })
    }

    fn observed(topic_id: Option<TopicId>, high: i64, asked_at: Instant) -> PartitionObservation {
        PartitionObservation { topic_id, low: 0, last_stable: high, high, asked_at }
    }

    #[test]
    fn another_id_is_another_topic_however_long_it_is() {
        let now = Instant::now();
        let mut continuity = Continuity::new(id(1));
        assert_eq!(continuity.compare(3, &observed(id(1), 3, now), now), Ok(()));
        assert_eq!(continuity.compare(3, &observed(None, 3, now), now), Ok(()), "the brokers have not given it");
        let found = continuity.compare(3, &observed(id(2), 500, now), now);
        let (read, found_id) = (id(1).unwrap(), id(2).unwrap());
        assert_eq!(found, Err(Gap::Recreated { read, found: found_id, next: 3 }));
    }

    #[test]
    fn the_first_id_that_is_adopted_counts() {
        let now = Instant::now();
        let mut continuity = Continuity::new(None);
        continuity.adopt(None);
        assert_eq!(continuity.compare(3, &observed(id(2), 3, now), now), Ok(()));
        continuity.adopt(id(2));
        continuity.adopt(id(3));
        assert_eq!(continuity.topic_id(), id(2));
        assert!(continuity.compare(3, &observed(id(3), 3, now), now).is_err());
    }

    #[test]
    fn an_end_before_what_was_read_counts_only_where_it_was_asked_for_afterwards_and_stays() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut continuity = Continuity::new(None);
        // What was read since the question may lie beyond the answer.
        assert_eq!(continuity.compare(10, &observed(None, 5, at(0)), at(1)), Ok(()));
        assert_eq!(continuity.compare(20, &observed(None, 10, at(2)), at(3)), Ok(()));
        // The same answer counts once, and one that is long enough again takes all back.
        for _ in 0..10 {
            assert_eq!(continuity.compare(20, &observed(None, 15, at(4)), at(5)), Ok(()));
        }
        assert_eq!(continuity.compare(20, &observed(None, 20, at(6)), at(7)), Ok(()));
        for second in [8, 10] {
            assert_eq!(continuity.compare(20, &observed(None, 5, at(second)), at(second + 1)), Ok(()));
        }
        let found = continuity.compare(20, &observed(None, 5, at(12)), at(13));
        assert_eq!(found, Err(Gap::Shorter { next: 20, high: 5 }));
    }
}
