//! The progress marks that a replica has read: the last one of each partition. What all of them cover is the position of the views, and
//! how old the views are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{NamedPartition, ReadPosition, Timestamp};
use crate::publication::{Mark, as_of, publisher_of};
use crate::source::views_topic::FoundRecord;

/// The last mark of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMark {
    /// The mark.
    pub mark: Mark,
    /// The id of the publisher that wrote the mark.
    pub publisher: String,
    /// The time at which everything that the topics of events held is covered, in milliseconds since 1970; `None` if that is not known.
    pub as_of_millis: Option<i64>,
}

impl PartitionMark {
    /// Reads the mark in a record; `None` if it is none that can be understood.
    pub fn of(record: &FoundRecord<'_>) -> Option<PartitionMark> {
        let as_of_millis = as_of(record).and_then(Timestamp::parse).map(Timestamp::millis);
        let mark: Mark = serde_json::from_slice(record.value?).ok()?;
        next_offsets(&mark)?;
        Some(PartitionMark { mark, publisher: publisher_of(record).unwrap_or_default().to_owned(), as_of_millis })
    }
}

/// The last marks, by the partition that they lie in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks(BTreeMap<i32, PartitionMark>);

impl Marks {
    /// Takes in the next mark of a partition. One that says no time, as that of a publisher that has just taken over, covers no less than
    /// the one before, so that its time stays.
    pub fn take(&mut self, partition: i32, mut mark: PartitionMark) {
        if mark.as_of_millis.is_none() {
            mark.as_of_millis = self.0.get(&partition).and_then(|before| before.as_of_millis);
        }
        self.0.insert(partition, mark);
    }

    /// Returns the partitions, of so many, that no mark has been read of.
    pub fn missing(&self, partitions: i32) -> Vec<i32> {
        (0..partitions).filter(|partition| !self.0.contains_key(partition)).collect()
    }

    /// Returns the position that the views have come to: what the last mark of every partition covers. Nothing is known of it before each
    /// partition has one.
    pub fn position(&self, partitions: i32) -> ReadPosition {
        if !self.missing(partitions).is_empty() {
            return ReadPosition::default();
        }
        let mut marks = self.0.values().filter_map(|held| next_offsets(&held.mark));
        let mut least = marks.next().unwrap_or_default();
        for next in marks {
            least.retain(|partition, offset| match next.get(partition) {
                Some(other) => {
                    *offset = (*offset).min(*other);
                    true
                }
                None => false,
            });
        }
        ReadPosition::new(least)
    }

    /// Returns the time at which everything that the topics of events held is in the views, in milliseconds since 1970; `None` if it is not
    /// known.
    pub fn as_of_millis(&self, partitions: i32) -> Option<i64> {
        if !self.missing(partitions).is_empty() {
            return None;
        }
        self.0.values().map(|held| held.as_of_millis).min_by_key(|time| time.unwrap_or(i64::MIN))?
    }

    /// Returns the mark that every partition has come to, which is the oldest of the last ones.
    pub fn oldest(&self) -> Option<&PartitionMark> {
        self.0.values().min_by_key(|held| held.mark.version)
    }
}

fn next_offsets(mark: &Mark) -> Option<BTreeMap<NamedPartition, i64>> {
    mark.positions.iter().map(next_offset).collect()
}

/// Reads the name of a partition, as `TOPIC/PARTITION`.
fn next_offset((name, offset): (&String, &i64)) -> Option<(NamedPartition, i64)> {
    let (topic, partition) = name.rsplit_once('/')?;
    Some((NamedPartition::new(topic, partition.parse().ok()?), *offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(version: u64, jobs: i64, as_of_millis: Option<i64>) -> PartitionMark {
        let positions = BTreeMap::from([("jobs/0".to_owned(), jobs), ("a/b/1".to_owned(), 7)]);
        let mark = Mark { positions, version, written_at: String::new() };
        PartitionMark { mark, publisher: "p".to_owned(), as_of_millis }
    }

    #[test]
    fn the_position_is_what_the_last_mark_of_every_partition_covers() {
        let mut marks = Marks::default();
        marks.take(0, mark(5, 40, Some(4_000)));
        assert_eq!(
            (marks.position(2).text(), marks.as_of_millis(2)),
            ("", None),
            "nothing is known of partition 1"
        );
        marks.take(1, mark(3, 20, Some(2_000)));
        assert_eq!(marks.position(2).text(), "a/b:1:6,jobs:0:19");
        assert_eq!(
            (marks.as_of_millis(2), marks.oldest().map(|oldest| oldest.mark.version)),
            (Some(2_000), Some(3))
        );
        let mut other = mark(6, 50, Some(5_000));
        other.mark.positions.remove("a/b/1");
        marks.take(1, other);
        assert_eq!(marks.position(2).text(), "jobs:0:39", "what one of them does not name is not covered");
    }

    #[test]
    fn a_mark_without_a_time_does_not_make_the_views_younger() {
        let mut marks = Marks::default();
        marks.take(0, mark(1, 1, None));
        assert_eq!(marks.as_of_millis(1), None);
        marks.take(0, mark(2, 2, Some(1_000)));
        marks.take(0, mark(3, 2, None));
        assert_eq!(marks.as_of_millis(1), Some(1_000));
    }
}
