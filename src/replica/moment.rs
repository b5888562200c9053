//! The time as a replica is given it, and as it writes it.

use std::time::Instant;

use chrono::Utc;

use crate::data_dir;
use crate::domain::Timestamp;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaMoment {
    /// The moment by the clock that never jumps.
    pub instant: Instant,
    /// The time by the wall clock, in milliseconds since 1970.
    pub millis: i64,
}

impl ReplicaMoment {
    /// Returns this moment.
    pub fn now() -> ReplicaMoment {
        ReplicaMoment { instant: Instant::now(), millis: Utc::now().timestamp_millis() }
    }
}

/// Returns a time in milliseconds since 1970 as a text, RFC 3339.
pub fn text_of_millis(millis: i64) -> String {
    Timestamp::from_millis(millis).map_or_else(data_dir::now, |time| time.to_string())
}
