//! A point in time in UTC, to the nanosecond, in the years 1 to 9999: the range of `google.protobuf.Timestamp`.

use std::fmt;

use bounded_static::ToStatic;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z (negative before it) and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToStatic)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// The bounds 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z of protobuf's timestamp.proto.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// Creates a timestamp; `None` outside the years 1 to 9999, or if `nanos` is a second or more.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let known = (FIRST_SECOND..=LAST_SECOND).contains(&seconds) && nanos < 1_000_000_000;
        known.then_some(Timestamp { seconds, nanos })
    }

    /// Converts milliseconds since 1970, as in Kafka's records. `None` outside the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Option<Timestamp> {
        let nanos = u32::try_from(millis.rem_euclid(1000)).ok()? * 1_000_000;
        Timestamp::new(millis.div_euclid(1000), nanos)
    }

    /// Parses RFC 3339 with any offset and up to nanoseconds.
    pub fn parse(text: &str) -> Option<Timestamp> {
        parse_plain(text.as_bytes()).or_else(|| Timestamp::parse_any(text))
    }

    fn parse_any(text: &str) -> Option<Timestamp> {
        // chrono also accepts a space between date and time, which the JSON mapping does not.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) {
            return None;
        }
        let parsed = DateTime::parse_from_rfc3339(text).ok()?;
        // chrono represents a leap second (23:59:60) by more than 10^9 nanoseconds; the end of the second before
        // it is the nearest value.
        Timestamp::new(parsed.timestamp(), parsed.timestamp_subsec_nanos().min(999_999_999))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down; negative before it.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Whole milliseconds since 1970, rounded down.
    pub fn millis(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Nanoseconds after [`Timestamp::seconds`], less than 1,000,000,000.
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

/// Parses `2026-03-01T09:00:00.125Z`, the form of nearly all times: every record has one, and this takes a tenth
/// of the general parser's time. Other forms are left to chrono; a property test compares the two.
fn parse_plain(text: &[u8]) -> Option<Timestamp> {
    let (time, rest) = text.split_at_checked(19)?;
    let shape = |at: usize, byte: u8| time[at] == byte;
    if !(shape(4, b'-') && shape(7, b'-') && shape(10, b'T') && shape(13, b':') && shape(16, b':')) {
        return None;
    }
    let number = |from: usize, to: usize| digits(&time[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = match rest {
        [b'Z'] => &[],
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => fraction,
        _ => return None,
    };
    // Days from 29 on need the calendar, and a leap second more than that.
    if year == 0
        || !(1..=12).contains(&month)
        || !(1..=28).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let nanos = digits(fraction)? * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?);
    let days = days_since_1970(i64::from(year), i64::from(month), i64::from(day));
    let seconds = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Timestamp::new(seconds, nanos)
}

/// Parses at most nine digits.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

/// Counts days by eras of 400 years that begin in March, so that the leap day comes last (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn plain_times_are_what_chrono_says(
            seconds in FIRST_SECOND..=LAST_SECOND,
            nanos in prop_oneof![Just(0), Just(125_000_000), 0..1_000_000_000_u32],
        ) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            let text = time.to_string();
            prop_assert_eq!(Timestamp::parse(&text), Some(time));
            prop_assert_eq!(Timestamp::parse_any(&text), Some(time));
        }

        #[test]
        fn what_is_taken_plainly_is_what_chrono_takes(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?[Zz+]?",
        ) {
            if let Some(plain) = parse_plain(text.as_bytes()) {
                prop_assert_eq!(Some(plain), Timestamp::parse_any(&text), "{}", text);
            }
        }
    }
}
