//! What `/status` says of a rebuild that is under way: how far it is, and what it has found in the records, which counts
//! nowhere else.

use serde::{Deserialize, Serialize};

use super::Report;

/// A rebuild or rollback that is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RebuildReport {
    pub generation: u64,
    /// `building`, `comparing` or `switching`.
    pub phase: String,
    pub records_done: u64,
    /// The records of the phase; `null` where that is not known.
    pub records_total: Option<u64>,
    /// What keeps it from going on at the moment.
    pub waiting_for: Option<String>,
    #[serde(flatten)]
    pub counts: RebuildCounts,
}

/// What a generation has come to by the time at which it is to take the live one's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildCounts {
    pub views: u64,
    /// Records that could not be understood.
    pub dead_letters: u64,
    /// Events that changed nothing although they are newer than what they lost to.
    pub outranked_events: u64,
    pub deletions_without_effect: u64,
}

impl RebuildCounts {
    /// The counts of a generation that readers do not see yet.
    pub fn of(report: &Report) -> RebuildCounts {
        let found = &report.rebuild_findings;
        RebuildCounts {
            views: report.views,
            dead_letters: report.dead_letters,
            outranked_events: found.outranked_events.count,
            deletions_without_effect: found.deletions_without_effect.count,
        }
    }
}
