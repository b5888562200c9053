//! The time that a turn of the projector is given, on both clocks: ages are counted by the one, and shown as times of the other.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// One moment on the monotonic and on the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The reading of the monotonic clock, by which ages are counted.
    pub instant: Instant,
    /// The reading of the wall clock, which is shown.
    pub wall: DateTime<Utc>,
}

impl Moment {
    /// Reads both clocks.
    pub fn now() -> Moment {
        Moment { instant: Instant::now(), wall: Utc::now() }
    }

    /// Returns the moment that lies `later` after this one on both clocks.
    pub fn after(self, later: Duration) -> Moment {
        Moment { instant: self.instant + later, wall: self.wall + later }
    }

    /// Returns the wall clock's time at an instant in the past.
    pub fn wall_at(self, at: Instant) -> DateTime<Utc> {
        let ago = TimeDelta::from_std(self.instant.saturating_duration_since(at)).unwrap_or(TimeDelta::MAX);
        self.wall.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Returns the instant of a record's timestamp; `None` if the timestamp lies in the future or before 1970, since such a
    /// clock proves nothing.
    pub fn instant_of(self, millis: i64) -> Option<Instant> {
        let age = u64::try_from(self.wall.timestamp_millis().checked_sub(millis)?).ok()?;
        if millis > 0 { self.instant.checked_sub(Duration::from_millis(age)) } else { None }
    }
}

/// Formats a time as `/status` shows it: RFC 3339 with milliseconds.
pub fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
