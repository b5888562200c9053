//! The point in the log up to which `history --as-of` counts records.

use crate::domain::{PartitionOffset, Timestamp};

/// A point in the log that divides the records into those that count and those that come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCutoff {
    /// Records with an earlier timestamp count.
    Before(Timestamp),
    /// Records of the same partition up to and including this one count; of other partitions, those with a timestamp that is
    /// not later.
    After { position: PartitionOffset, timestamp_millis: Option<i64> },
}

impl LogCutoff {
    /// Returns true if a record counts. A record without a timestamp counts as written before all that have one.
    pub fn includes(&self, position: PartitionOffset, timestamp_millis: Option<i64>) -> bool {
        match *self {
            LogCutoff::Before(time) => timestamp_millis.and_then(Timestamp::from_millis) < Some(time),
            LogCutoff::After { position: last, .. } if is_one_partition(position, last) => {
                position.offset <= last.offset
            }
            LogCutoff::After { timestamp_millis: last, .. } => timestamp_millis <= last,
        }
    }
}

fn is_one_partition(one: PartitionOffset, other: PartitionOffset) -> bool {
    (one.topic, one.partition) == (other.topic, other.partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    #[test]
    fn a_position_is_the_end_of_its_partition_and_a_time_for_the_others() {
        let at = |partition, offset| PartitionOffset { topic: Topic::Jobs, partition, offset };
        let cutoff = LogCutoff::After { position: at(0, 5), timestamp_millis: Some(1000) };
        for (position, timestamp, expected) in [
            (at(0, 5), 9999, true),
            (at(0, 6), 0, false),
            (at(1, 99), 1000, true),
            (at(1, 0), 1001, false),
            (PartitionOffset { topic: Topic::MultistartRuns, ..at(0, 9) }, 1000, true),
        ] {
            assert_eq!(cutoff.includes(position, Some(timestamp)), expected, "{position} at {timestamp}");
        }
        assert!(cutoff.includes(at(1, 0), None));
    }

    #[test]
    fn a_time_is_the_end_of_all_and_is_not_itself_in() {
        let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 0 };
        let before = LogCutoff::Before(Timestamp::parse("1970-01-01T00:00:01.0000001Z").unwrap());
        assert!(before.includes(position, Some(1000)) && !before.includes(position, Some(1001)));
        let before = LogCutoff::Before(Timestamp::parse("1970-01-01T00:00:01Z").unwrap());
        assert!(before.includes(position, Some(999)) && !before.includes(position, Some(1000)));
        assert!(before.includes(position, None));
    }
}
