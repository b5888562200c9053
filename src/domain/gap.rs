//! The gap between what was read of a partition and what the cluster has of it: the one answer to the question whether the
//! partition can be read on from there. Readers, archives and the check of a store give it in the same words.

use std::fmt;

use super::TopicId;

/// The bounds of one partition in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionBounds {
    /// The oldest offset.
    pub low: i64,
    /// One past the newest offset.
    pub high: i64,
    /// The id of its topic; `None` if that is not known.
    pub topic_id: Option<TopicId>,
}

/// A reason for which a partition cannot be read on. `next` is the offset that was to be read next. No text names the
/// partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Records were removed before they were read.
    Removed {
        /// The offset that was to be read next.
        next: i64,
        /// The oldest offset that the partition still has.
        low: i64,
    },
    /// The partition ends before what was read of it.
    Shorter {
        /// The offset that was to be read next.
        next: i64,
        /// One past the newest offset that the partition has.
        high: i64,
    },
    /// Another record has the offset of one that was read.
    OtherRecord {
        /// The offset of the record that differs. It is one that was read already.
        offset: i64,
    },
    /// The topic was deleted and created again, by its id.
    Recreated {
        /// The id of the topic that was read.
        read: TopicId,
        /// The id of the topic that the cluster has now.
        found: TopicId,
        /// The offset that was to be read next.
        next: i64,
    },
    /// The cluster has no such partition.
    Missing {
        /// The offset that was to be read next.
        next: i64,
    },
}

impl Gap {
    /// Returns the gap of a partition that was read up to `next` in the topic with the id `read`, if there is one.
    pub fn find(next: i64, read: Option<TopicId>, found: Option<PartitionBounds>) -> Option<Gap> {
        let Some(PartitionBounds { low, high, topic_id }) = found else { return Some(Gap::Missing { next }) };
        Gap::between_ids(read, topic_id, next).or_else(|| Gap::between_offsets(next, low, high))
    }

    /// Returns the gap between the next offset to be read and the bounds of the partition.
    pub fn between_offsets(next: i64, low: i64, high: i64) -> Option<Gap> {
        if next < low {
            Some(Gap::Removed { next, low })
        } else if next > high {
            Some(Gap::Shorter { next, high })
        } else {
            None
        }
    }

    /// Returns the gap between two topics of one name. An id that is not known proves nothing.
    pub fn between_ids(read: Option<TopicId>, found: Option<TopicId>, next: i64) -> Option<Gap> {
        let (read, found) = (read?, found?);
        (read != found).then_some(Gap::Recreated { read, found, next })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Removed { next, low } => {
                write!(f, "the records from {next} to {low} were removed before they were read")
            }
            Gap::Shorter { next, high } => write!(
                f,
                "it was read up to {next}, and ends at {high} now: it was truncated, as by the election of a leader that did \
                 not have all records, or created again"
            ),
            Gap::OtherRecord { offset } => write!(
                f,
                "the record at {offset} is not the one that was read there before: the topic was created again"
            ),
            Gap::Recreated { read, found, next } => write!(
                f,
                "the topic was deleted and created again: its id was {read} when it was read up to {next}, and is {found} now, \
                 so that other records have the offsets of those that were read"
            ),
            Gap::Missing { next } => write!(
                f,
                "it was read up to {next}, and the cluster has no such partition now: the topic was deleted, or created again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> Option<TopicId> {
        Some(TopicId { most_significant: 7, least_significant: number })
    }

    #[test]
    fn a_partition_is_read_on_only_between_its_ends_and_in_the_same_topic() {
        let found = |low, high, topic_id| Some(PartitionBounds { low, high, topic_id });
        for (next, read, found, expected) in [
            (5, None, found(5, 5, id(1)), None),
            (5, id(1), found(0, 9, None), None),
            (5, id(1), found(0, 5, id(1)), None),
            (5, None, found(6, 9, None), Some(Gap::Removed { next: 5, low: 6 })),
            (5, None, found(0, 4, None), Some(Gap::Shorter { next: 5, high: 4 })),
            (5, id(1), None, Some(Gap::Missing { next: 5 })),
            // The id decides, whatever the offsets are.
            (5, id(1), found(6, 9, id(2)), Gap::between_ids(id(1), id(2), 5)),
        ] {
            assert_eq!(Gap::find(next, read, found), expected);
        }
        assert!(Gap::between_ids(id(1), id(2), 5).is_some());
    }
}
