//! Positions of records in Kafka.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// One of the three streams. The topics' names in a cluster are configuration; this is their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Topic {
    /// The stream of the events of optimizations, keyed by the optimization's id.
    Optimizations,
    /// The stream of the events of jobs, keyed by the job's id.
    Jobs,
    /// The stream of the events of the parallel runs inside jobs, keyed by the job's id.
    MultistartRuns,
}

impl Topic {
    /// All streams, in the order of the variants.
    pub const ALL: [Topic; 3] = [Topic::Optimizations, Topic::Jobs, Topic::MultistartRuns];

    /// Returns the topic's name if none is configured.
    pub fn default_name(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.default_name())
    }
}

/// One partition of one of the three streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The stream.
    pub topic: Topic,
    /// The number of the partition within the topic, counted from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Makes the partition of this number of a stream's topic.
    pub const fn new(topic: Topic, partition: i32) -> TopicPartition {
        TopicPartition { topic, partition }
    }

    /// Returns an offset in this partition.
    pub const fn at(self, offset: i64) -> PartitionOffset {
        PartitionOffset { topic: self.topic, partition: self.partition, offset }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopicPartition { topic, partition } = self;
        write!(f, "{topic}/{partition}")
    }
}

/// An offset in one partition: the position of a record, or of the next one to be read. Its order (topic, partition, offset)
/// only has to be total: it selects the least of several positions at which one event was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionOffset {
    /// The stream.
    pub topic: Topic,
    /// The number of the partition within the topic, counted from 0.
    pub partition: i32,
    /// The offset within the partition, as Kafka assigns it.
    pub offset: i64,
}

impl PartitionOffset {
    /// Returns the partition without the offset.
    pub const fn topic_partition(self) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: self.partition }
    }
}

impl fmt::Display for PartitionOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OffsetText { partition: self.topic_partition(), offset: self.offset }.fmt(f)
    }
}

/// A partition by the topic's name in the cluster, which is what the store, archives and messages know it by. It is stored as a
/// pair of both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamedPartition {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
}

impl NamedPartition {
    /// Makes the partition of this number of a topic.
    pub fn new(topic: impl Into<String>, partition: i32) -> NamedPartition {
        NamedPartition { topic: topic.into(), partition }
    }

    /// Formats an offset in this partition.
    pub fn at(&self, offset: i64) -> impl fmt::Display {
        OffsetText { partition: self, offset }
    }
}

impl fmt::Display for NamedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NamedPartition { topic, partition } = self;
        write!(f, "{topic}/{partition}")
    }
}

/// The text of an offset in a partition, `TOPIC/PARTITION@OFFSET`, which `--as-of` accepts.
struct OffsetText<P> {
    partition: P,
    offset: i64,
}

impl<P: fmt::Display> fmt::Display for OffsetText<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_partition_is_stored_as_the_pair_that_stores_hold() {
        let partition = NamedPartition::new("jobs", 300);
        let bytes = postcard::to_stdvec(&partition).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&("jobs", 300)).unwrap());
        assert_eq!(postcard::from_bytes::<NamedPartition>(&bytes).unwrap(), partition);
    }

    #[test]
    fn an_offset_is_written_in_one_way_by_either_name_of_its_topic() {
        let text = "multistart-runs/3@1234";
        assert_eq!(TopicPartition::new(Topic::MultistartRuns, 3).at(1234).to_string(), text);
        assert_eq!(NamedPartition::new("multistart-runs", 3).at(1234).to_string(), text);
    }
}
