//! The settings that a history follows from.

use crate::domain::Timestamp;

/// The settings of a history. The same settings give the same events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// The seed of the random numbers: another one gives other lives.
    pub seed: u64,
    /// Number of optimizations whose lives the history has.
    pub optimizations: u64,
    /// Number of runs of each job.
    pub runs: u32,
    /// Number of optimizations that are active at a time; at least 1.
    pub concurrent: usize,
    /// Number of projects; at least 1, as for `organizations`.
    pub projects: u64,
    /// Number of organizations, which the projects are spread over; at least 1.
    pub organizations: u64,
    /// Time of the first event.
    pub start: Timestamp,
}

impl Default for HistorySettings {
    fn default() -> HistorySettings {
        HistorySettings {
            seed: 1,
            optimizations: 1000,
            runs: 8,
            concurrent: 1000,
            projects: 20,
            organizations: 2,
            // 2026-01-01T00:00:00Z
            start: Timestamp::from_millis(1_767_225_600_000).expect("a year between 1 and 9999"),
        }
    }
}
