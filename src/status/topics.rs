//! The topics' settings about the time for which they keep their records.

use serde::Serialize;

/// The time up to which a topic keeps its oldest record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryExpiry {
    /// The cluster has not answered, or cannot be asked.
    #[default]
    Unknown,
    /// The topic's settings remove nothing by age.
    ForEver,
    /// Kafka may remove the record from this moment on, in milliseconds since 1970.
    Until(i64),
    /// Kafka removes records as newer ones of the same key come.
    Compacted,
}

impl HistoryExpiry {
    /// Returns the seconds until the oldest record may be removed: 0 if it may be gone already, NaN if that is not known.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers; exact up to 2^53")]
    pub fn seconds(self, now_millis: i64) -> f64 {
        match self {
            HistoryExpiry::Unknown => f64::NAN,
            HistoryExpiry::ForEver => f64::INFINITY,
            HistoryExpiry::Until(millis) => millis.saturating_sub(now_millis).max(0) as f64 / 1000.0,
            HistoryExpiry::Compacted => 0.0,
        }
    }
}

/// The settings of a topic about the time for which its records stay, as `/status` shows them. They are `null` until the cluster
/// has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The policy as the cluster writes it: `delete`, `compact`, or both.
    pub cleanup_policy: Option<String>,
    /// The milliseconds for which records stay; -1 if they stay for ever.
    pub retention_ms: Option<i64>,
    /// Number of bytes that each partition keeps at most; -1 without a limit.
    pub retention_bytes: Option<i64>,
    /// The time at which the oldest record was written that the topic still has, RFC 3339; only known if it will be removed.
    pub oldest_record_at: Option<String>,
    /// The time from which Kafka may remove that record, RFC 3339.
    pub oldest_record_goes_at: Option<String>,
    /// The reason for which a rebuild may one day miss records of this topic, or for which that is not known.
    pub warning: Option<String>,
    /// The time up to which the topic keeps its oldest record, for the metrics.
    #[serde(skip)]
    pub expiry: HistoryExpiry,
    /// The rules by which the topic removes records, for the metrics.
    #[serde(skip)]
    pub limits: HistoryLimits,
}

/// The rules by which a topic removes records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryLimits {
    /// True if records are removed as they grow old.
    pub age: bool,
    /// True if the oldest records are removed as a partition grows.
    pub size: bool,
    /// True if records are removed as newer ones of the same key come.
    pub compaction: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_history_is_never_less_than_nothing() {
        for (left, seconds) in [
            (HistoryExpiry::ForEver, f64::INFINITY),
            (HistoryExpiry::Until(12_500), 2.5),
            (HistoryExpiry::Until(1), 0.0),
            (HistoryExpiry::Compacted, 0.0),
        ] {
            assert_eq!(left.seconds(10_000).to_bits(), seconds.to_bits(), "{left:?}");
        }
        assert!(HistoryExpiry::Unknown.seconds(10_000).is_nan());
    }
}
