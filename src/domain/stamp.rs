//! The origin of a value: the version of the event that set it, and the position at which that event was read.

use std::num::NonZeroI64;

use serde::{Deserialize, Serialize};

use super::event::Metadata;
use super::position::PartitionOffset;
use super::timestamp::Timestamp;

/// The version of an event. Versions are compared field by field, in this order. Equal versions belong to the same
/// event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// The producer's sequence number; 0 if it has none.
    pub sequence: u64,
    /// The time of the event by the producer's clock. It decides between events of equal sequence.
    pub occurred_at: Timestamp,
    /// The order of a job's statuses if the fields before it are equal; 0 for other events.
    pub rank: u8,
    /// The id of the event, which decides last. It is empty only for a null value without the header `ce_id`.
    pub event_id: Box<str>,
}

/// Maximum time in milliseconds by which an event's own time may exceed that of its record and still be believed:
/// clocks differ.
const CLOCK_TOLERANCE_MILLIS: i64 = 5 * 60 * 1000;

/// The origin of a register's value: the version, and the least position at which that event was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The version of the event.
    pub version: Version,
    /// The least of the positions at which the event was seen.
    pub source: PartitionOffset,
    /// Time at which the record at `source` was written, in milliseconds since 1970. It is set only if the event's
    /// own time is later by more than [`CLOCK_TOLERANCE_MILLIS`].
    written_millis: Option<NonZeroI64>,
}

impl Stamp {
    /// Creates the stamp of an event that was read at `source`. The `rank` is that of a job's status, and 0 for
    /// other events.
    pub fn new(metadata: &Metadata<'_>, rank: u8, source: PartitionOffset) -> Stamp {
        let version = Version {
            sequence: metadata.sequence,
            occurred_at: metadata.occurred_at,
            rank,
            event_id: metadata.event_id.as_ref().into(),
        };
        Stamp { version, source, written_millis: None }
    }

    /// Returns the stamp of an event whose record has this timestamp, in milliseconds since 1970. A value of 0 or
    /// less means that the record has none.
    pub fn written_at(self, millis: Option<i64>) -> Stamp {
        let latest_believed = |millis: i64| millis.saturating_add(CLOCK_TOLERANCE_MILLIS);
        let occurred_at = self.version.occurred_at.millis();
        let millis = millis.filter(|&millis| millis > 0 && occurred_at > latest_believed(millis));
        Stamp { written_millis: millis.and_then(NonZeroI64::new), ..self }
    }

    /// Returns the time of the event: the one that it states, but at most the time at which its record was
    /// written.
    pub fn happened_at(&self) -> Timestamp {
        let written_at = self.written_millis.and_then(|millis| Timestamp::from_millis(millis.get()));
        written_at.unwrap_or(self.version.occurred_at)
    }
}
