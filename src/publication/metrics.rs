//! The metrics of the publishing.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::stage::Stage;
use crate::status::PublicationReport;

/// Describes the metrics.
pub fn describe() {
    describe_gauge!(
        "optview_publication_state",
        "1 for the state that the publishing of views is in, 0 for the others"
    );
    describe_gauge!(
        "optview_publication_unpublished",
        "Number of views that are not on the topic of views as they are"
    );
    describe_gauge!(
        "optview_publication_oldest_unpublished_age",
        "Time in seconds since which some view has not been on the topic of views as it is; 0 if all are"
    );
    describe_gauge!("optview_publication_holds_checkpoints", "1 while checkpoints wait for the topic of views");
    describe_gauge!("optview_publication_failing", "1 while nothing can be put on the topic of views");
    describe_counter!(
        "optview_publication_records_total",
        "Number of views and tombstones put on the topic of views"
    );
}

/// Records a report.
pub fn record(report: &PublicationReport) {
    for stage in Stage::ALL {
        let is = report.state == stage.name();
        gauge!("optview_publication_state", "state" => stage.name()).set(if is { 1.0 } else { 0.0 });
    }
    gauge!("optview_publication_unpublished").set(report.unpublished as f64);
    gauge!("optview_publication_oldest_unpublished_age").set(report.oldest_unpublished_seconds.unwrap_or(0.0));
    gauge!("optview_publication_holds_checkpoints").set(if report.holds_checkpoints { 1.0 } else { 0.0 });
    gauge!("optview_publication_failing").set(if report.error.is_some() { 1.0 } else { 0.0 });
    counter!("optview_publication_records_total").absolute(report.published);
}
