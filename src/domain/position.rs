//! Where a record lies in Kafka.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The three streams. What the topics are called in a cluster is configuration; this is what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    Optimizations,
    Jobs,
    MultistartRuns,
}

impl Topic {
    pub const ALL: [Topic; 3] = [Topic::Optimizations, Topic::Jobs, Topic::MultistartRuns];

    /// The topic's name where none is configured.
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

/// One record's place. The order (topic, partition, offset) has no meaning beyond being total: it picks the least of
/// several places in which one event was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub topic: Topic,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}
