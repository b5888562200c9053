//! The part of `/status` about a rebuild that is under way: its progress, and its findings in the records, which are counted
//! nowhere else.

use serde::{Deserialize, Serialize};

/// A rebuild or rollback that is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RebuildReport {
    pub generation: u64,
    /// `building`, `comparing` or `switching`.
    pub phase: String,
    pub records_done: u64,
    /// Number of records of the phase; `null` if it is not known.
    pub records_total: Option<u64>,
    /// The thing that the rebuild waits for at the moment, if anything.
    pub waiting_for: Option<String>,
    #[serde(flatten)]
    pub counts: RebuildCounts,
}

/// The counts of a generation up to the moment at which it is to replace the live one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildCounts {
    pub views: u64,
    /// Number of records that could not be understood.
    pub dead_letters: u64,
    /// Number of events that changed nothing although they are newer than what they lost to.
    pub outranked_events: u64,
    pub deletions_without_effect: u64,
}
