//! The status of a generation that is shown as it was left, as far as another generation or nobody keeps it.

use crate::status::{PartitionFreshness, PartitionInstants, PartitionReport, Report, Status};
use crate::store::FORMAT;

/// Takes over from the generation that is being built how far the topics go, and what is wrong with them.
pub fn follow(status: &Status, built: &Report) {
    let mut report = status.report();
    for held in &mut report.partitions {
        let is_same = |other: &&PartitionReport| (&other.topic, other.partition) == (&held.topic, held.partition);
        let Some(other) = built.partitions.iter().find(is_same) else { continue };
        (held.low, held.high) = (other.low, other.high);
        // What the other one has read and confirmed proves nothing of this one's views.
        let instants = PartitionInstants { confirmed: None, oldest_unread: None, ..other.freshness.instants };
        held.freshness = PartitionFreshness { confirmed_at: None, instants, ..other.freshness.clone() };
        held.lag_records = other.freshness.last_stable.map(|end| (end - held.position).max(0));
    }
    status.set_kafka(built.kafka.clone());
    status.set_progress(report.partitions, report.views, report.dead_letters);
    if report.frozen_at.is_none_or(|at| at.asked_at.is_none()) {
        status.set_error(built.last_error.clone());
    }
}

/// Returns the error for a generation of another format that is not to be shown.
pub fn refusal(generation: u64, format: u8) -> anyhow::Error {
    anyhow::anyhow!(
        "generation {generation:06} has the fold format {format}, and this version's is {FORMAT}; with \
         --on-format-change refuse it is not served. `optview rebuild` builds one of this version's format and makes it \
         the live one; --on-format-change rebuild serves the views as they are and does so by itself; or start the \
         version that wrote it"
    )
}
