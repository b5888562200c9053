//! Positions of records in Kafka.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the three streams. The topics' names in a cluster are configuration; this is their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    pub const fn default_name(self) -> &'static str {
        match self {
            Topic::Optimizations => "optimizations",
            Topic::Jobs => "jobs",
            Topic::MultistartRuns => "multistart-runs",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.default_name())
    }
}

/// The position of one record. Its order (topic, partition, offset) only has to be total: it selects the least of
/// several positions at which one event was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The stream.
    pub topic: Topic,
    /// The number of the partition within the topic, counted from 0.
    pub partition: i32,
    /// The offset of the record within the partition, as Kafka assigned it.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}
