//! What events, places and what was searched are called.

use crate::domain::event::OptimizationChange;
use crate::domain::{Body, Position, Timestamp, Topic};
use crate::source::TopicNames;

use super::scan::Scan;

/// The job that an event is of, or that it links.
pub fn job_id<'b>(body: &'b Body<'_>) -> Option<&'b str> {
    match body {
        Body::Optimization { change: OptimizationChange::Created(created), .. } => created.job_id.as_deref(),
        Body::Optimization { change: OptimizationChange::JobLinked { job_id }, .. } => Some(job_id),
        Body::Optimization { .. } => None,
        Body::Job { job_id, .. } | Body::Run { job_id, .. } => Some(job_id),
    }
}

pub fn run_index(body: &Body<'_>) -> Option<u32> {
    match body {
        Body::Run { run_index, .. } => Some(*run_index),
        Body::Optimization { .. } | Body::Job { .. } => None,
    }
}

/// A record's place, as `--as-of` takes it.
pub fn place(position: Position, names: &TopicNames) -> String {
    let Position { topic, partition, offset } = position;
    format!("{}/{partition}@{offset}", names.get(topic))
}

/// Milliseconds since 1970 as a time.
pub fn time(millis: Option<i64>) -> Option<String> {
    millis.and_then(Timestamp::from_millis).map(|time| time.to_string())
}

/// One for each partition whose beginning is gone.
pub fn warnings(scan: &Scan, names: &TopicNames) -> Vec<String> {
    let cut = scan.partitions.iter().filter(|(_, partition)| partition.watermarks.low > 0);
    let warning = |(&(topic, number), partition): (&(Topic, i32), &super::scan::Partition)| {
        let begin = time(partition.begin_millis).map_or(String::new(), |time| format!(", written at {time}"));
        let low = partition.watermarks.low;
        format!("the log of {}/{number} begins at {low}{begin}; earlier events are gone", names.get(topic))
    };
    cut.map(warning).collect()
}

/// How much was looked at.
pub fn searched(scan: &Scan, names: &TopicNames) -> String {
    let topics = Topic::ALL.map(|topic| names.get(topic)).join(", ");
    format!("the {} records of the topics {topics}", scan.records())
}
