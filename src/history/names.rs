//! The names that answers of `history` give to events, places and searched partitions.

use crate::domain::{Body, Timestamp, Topic};
use crate::source::TopicNames;

use super::scan::Scan;

/// Returns the index of the run that an event belongs to.
pub fn run_index(body: &Body<'_>) -> Option<u32> {
    match body {
        Body::Run { run_index, .. } => Some(*run_index),
        Body::Optimization { .. } | Body::Job { .. } => None,
    }
}

/// Formats milliseconds since 1970 as an RFC 3339 time.
pub fn time(millis: Option<i64>) -> Option<String> {
    millis.and_then(Timestamp::from_millis).map(|time| time.to_string())
}

/// Returns one warning for each partition whose beginning is gone.
pub fn warnings(scan: &Scan, names: &TopicNames) -> Vec<String> {
    (scan.partitions.iter())
        .filter(|(_, partition)| partition.watermarks.low > 0)
        .map(|(key, partition)| {
            let begin = time(partition.begin_millis).map_or(String::new(), |time| format!(", written at {time}"));
            let low = partition.watermarks.low;
            format!("the log of {} begins at {low}{begin}; earlier events are gone", names.partition(*key))
        })
        .collect()
}

/// Describes what was searched, for messages.
pub fn searched(scan: &Scan, names: &TopicNames) -> String {
    let topics = Topic::ALL.map(|topic| names.get(topic)).join(", ");
    format!("the {} records of the topics {topics}", scan.records())
}
