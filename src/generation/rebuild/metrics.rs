//! The progress of a rebuild as metrics. They are NaN while none is under way, which no alert's comparison matches.

use metrics::{describe_gauge, gauge};

use crate::progress::Progress;

const PHASES: [&str; 3] = ["building", "comparing", "switching"];

/// Describes the metrics, before there is any rebuild.
pub fn begin() {
    describe_gauge!("optview_rebuild_phase", "1 for the phase that a rebuild or rollback is in, 0 for the others");
    describe_gauge!("optview_rebuild_records", "How much of its phase a rebuild or rollback has done");
    describe_gauge!("optview_rebuild_records_expected", "How much there is to be done in that phase");
    record(None);
}

/// Records the progress; `None`: no rebuild is under way.
pub fn record(progress: Option<&Progress>) {
    for phase in PHASES {
        let is = progress.is_some_and(|progress| progress.phase == phase);
        gauge!("optview_rebuild_phase", "phase" => phase).set(if is { 1.0 } else { 0.0 });
    }
    let count = |count: Option<u64>| count.map_or(f64::NAN, |count| count as f64);
    gauge!("optview_rebuild_records").set(count(progress.map(|progress| progress.records_done)));
    gauge!("optview_rebuild_records_expected").set(count(progress.and_then(|progress| progress.records_total)));
}
