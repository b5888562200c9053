//! A moment in UTC, to the nanosecond, in the years 1 to 9999: the range of `google.protobuf.Timestamp`.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z (negative before it) and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, as protobuf's timestamp.proto has them.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// `None` outside the years 1 to 9999, or with a second or more in `nanos`.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let known = (FIRST_SECOND..=LAST_SECOND).contains(&seconds) && nanos < 1_000_000_000;
        known.then_some(Timestamp { seconds, nanos })
    }

    /// Milliseconds since 1970, as Kafka stamps its records. `None` as for [`Timestamp::new`].
    pub fn from_millis(millis: i64) -> Option<Timestamp> {
        let nanos = u32::try_from(millis.rem_euclid(1000)).ok()? * 1_000_000;
        Timestamp::new(millis.div_euclid(1000), nanos)
    }

    /// RFC 3339 with any offset and up to nanoseconds.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let parsed = DateTime::parse_from_rfc3339(text).ok()?;
        // chrono shows a leap second (23:59:60) as a nanosecond count above 10^9; the second before it is the nearest.
        Timestamp::new(parsed.timestamp(), parsed.timestamp_subsec_nanos().min(999_999_999))
    }

    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Whole milliseconds since 1970, rounded down.
    pub fn millis(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

/// RFC 3339 in UTC with `Z`; the fraction has 0, 3, 6 or 9 digits, as few as show the whole value.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp(self.seconds, self.nanos) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{}.{:09}", self.seconds, self.nanos),
        }
    }
}
