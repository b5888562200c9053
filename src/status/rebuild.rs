//! The part of `/status` about a rebuild that is under way: its progress, and its findings in the records, which are counted
//! nowhere else.

use serde::{Deserialize, Serialize};

/// A rebuild or rollback that is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RebuildReport {
    /// The number of the generation that is built or returned to.
    pub generation: u64,
    /// `building`, `comparing` or `switching`.
    pub phase: String,
    /// Number of records of the phase that are done.
    pub records_done: u64,
    /// Number of records of the phase; `null` if it is not known.
    pub records_total: Option<u64>,
    /// The thing that the rebuild waits for at the moment, if anything.
    pub waiting_for: Option<String>,
    /// The counts of that generation so far, which `/status` shows among these.
    #[serde(flatten)]
    pub counts: RebuildCounts,
}

/// The counts of a generation up to the moment at which it is to replace the live one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildCounts {
    /// Number of optimizations that readers would see.
    pub views: u64,
    /// Number of records that could not be understood.
    pub dead_letters: u64,
    /// Number of events that changed nothing although they are newer than what they lost to.
    pub outranked_events: u64,
    /// Number of deletions of optimizations that were not there.
    pub deletions_without_effect: u64,
}
