//! Positions of records in Kafka.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the three streams. The topics' names in a cluster are configuration; this is their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    Optimizations,
    Jobs,
    MultistartRuns,
}

impl Topic {
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
    pub topic: Topic,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}
