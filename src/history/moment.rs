//! Which records had been written at a moment.

use crate::domain::{Position, Timestamp};

/// A moment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All records whose timestamp is before this.
    Before(Timestamp),
    /// Of its partition all records up to this one; of the others, all whose timestamp is not after this record's.
    After { position: Position, timestamp_millis: Option<i64> },
}

impl Moment {
    /// A record without a timestamp was written before all that have one.
    pub fn is_after(&self, position: Position, timestamp_millis: Option<i64>) -> bool {
        match *self {
            Moment::Before(time) => timestamp_millis.and_then(Timestamp::from_millis) < Some(time),
            Moment::After { position: last, .. } if is_one_partition(position, last) => {
                position.offset <= last.offset
            }
            Moment::After { timestamp_millis: last, .. } => timestamp_millis <= last,
        }
    }
}

fn is_one_partition(one: Position, other: Position) -> bool {
    (one.topic, one.partition) == (other.topic, other.partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    #[test]
    fn a_position_is_the_end_of_its_partition_and_a_time_for_the_others() {
        let at = |partition, offset| Position { topic: Topic::Jobs, partition, offset };
        let moment = Moment::After { position: at(0, 5), timestamp_millis: Some(1000) };
        for (position, timestamp, expected) in [
            (at(0, 5), 9999, true),
            (at(0, 6), 0, false),
            (at(1, 99), 1000, true),
            (at(1, 0), 1001, false),
            (Position { topic: Topic::MultistartRuns, ..at(0, 9) }, 1000, true),
        ] {
            assert_eq!(moment.is_after(position, Some(timestamp)), expected, "{position} at {timestamp}");
        }
        assert!(moment.is_after(at(1, 0), None));
    }

    #[test]
    fn a_time_is_the_end_of_all_and_is_not_itself_in() {
        let position = Position { topic: Topic::Jobs, partition: 0, offset: 0 };
        let before = Moment::Before(Timestamp::parse("1970-01-01T00:00:01.0000001Z").unwrap());
        assert!(before.is_after(position, Some(1000)) && !before.is_after(position, Some(1001)));
        let before = Moment::Before(Timestamp::parse("1970-01-01T00:00:01Z").unwrap());
        assert!(before.is_after(position, Some(999)) && !before.is_after(position, Some(1000)));
        assert!(before.is_after(position, None));
    }
}
