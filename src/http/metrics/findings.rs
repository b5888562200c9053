//! The gauges of the projector's findings in the records. Findings that are counted event by event have counters in the
//! projector.

use metrics::{describe_gauge, gauge};

use super::gauge_values::of_count;
use crate::status::Findings;

pub fn describe() {
    describe_gauge!(
        "optview_orphan_jobs",
        "Jobs that no optimization has linked for longer than --orphan-retention"
    );
    describe_gauge!(
        "optview_stream_not_understood",
        "1 while a quarter or more of the latest records of a topic are no events of its stream"
    );
}

pub fn record(findings: &Findings) {
    if let Some(orphans) = &findings.orphan_jobs {
        gauge!("optview_orphan_jobs").set(of_count(orphans.count));
    }
    for stream in &findings.streams {
        let has_problem = if stream.problem.is_some() { 1.0 } else { 0.0 };
        gauge!("optview_stream_not_understood", "stream" => stream.stream).set(has_problem);
    }
}
