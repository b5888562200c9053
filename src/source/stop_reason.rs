//! The reason for which a partition is not read any further: a code for programs and the run book, and a text for people.

use std::fmt;

use strum::IntoStaticStr;

use super::remedies;
use crate::domain::{Gap, NamedPartition};

/// The kinds of reasons. `/status` and the metrics give the code, by which the run book can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum StopCode {
    /// Records were removed before they were read.
    Removed,
    /// The partition ends before what was read of it.
    Shorter,
    /// Another record has the offset of one that was read.
    OtherRecord,
    /// The topic was deleted and created again, by its id.
    Recreated,
    /// The cluster has no such partition.
    Missing,
    /// The brokers are of another cluster than the one that the store was built from.
    OtherCluster,
    /// The leaders' epochs show that the log behind what was read is another one.
    Diverged,
    /// librdkafka has skipped data that it could not read.
    Unreadable,
    /// An error has lasted that only other settings or another version of this program solve.
    NeedsRestart,
    /// An archive is damaged, or is not read from its beginning to its end.
    Archive,
    /// The client could not begin to read the partition.
    Unassigned,
    /// Too many of the topic's latest records could not be understood.
    DeadLetters,
}

impl StopCode {
    /// All codes, in the order of the variants.
    pub const ALL: [StopCode; 12] = [
        StopCode::Removed,
        StopCode::Shorter,
        StopCode::OtherRecord,
        StopCode::Recreated,
        StopCode::Missing,
        StopCode::OtherCluster,
        StopCode::Diverged,
        StopCode::Unreadable,
        StopCode::NeedsRestart,
        StopCode::Archive,
        StopCode::Unassigned,
        StopCode::DeadLetters,
    ];

    /// The code of a partition that stops for a gap.
    pub const fn of_gap(gap: &Gap) -> StopCode {
        match gap {
            Gap::Removed { .. } => StopCode::Removed,
            Gap::Shorter { .. } => StopCode::Shorter,
            Gap::OtherRecord { .. } => StopCode::OtherRecord,
            Gap::Recreated { .. } => StopCode::Recreated,
            Gap::Missing { .. } => StopCode::Missing,
        }
    }

    /// The code in `/status`, in metrics and in the run book.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The reason for which one partition stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReason {
    /// The kind of the reason.
    pub code: StopCode,
    /// The cause, and what to do about it.
    pub text: String,
}

impl StopReason {
    /// Makes a reason from its code and its text.
    pub fn new(code: StopCode, text: impl Into<String>) -> StopReason {
        StopReason { code, text: text.into() }
    }

    /// Makes the reason of a gap, with what to do about it.
    pub fn of_gap(gap: &Gap, remedy: &str) -> StopReason {
        StopReason { code: StopCode::of_gap(gap), text: format!("{gap}. {remedy}") }
    }

    /// Returns the same reason with the partition's name before the text.
    pub fn named(self, partition: &NamedPartition) -> StopReason {
        StopReason { text: format!("{partition}: {}", self.text), ..self }
    }
}

impl From<Gap> for StopReason {
    /// The remedy is the one for views that were built from what was read.
    fn from(gap: Gap) -> StopReason {
        let remedy = match gap {
            Gap::Removed { .. } => remedies::REMOVED,
            Gap::Shorter { .. } | Gap::OtherRecord { .. } | Gap::Recreated { .. } | Gap::Missing { .. } => {
                remedies::CREATED_AGAIN
            }
        };
        StopReason::of_gap(&gap, remedy)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
