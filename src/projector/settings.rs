//! The settings of a projector.

use std::path::PathBuf;
use std::time::Duration;

use crate::codec::Framing;
use crate::disk::DiskReserve;
use crate::source::{LetterOutlet, TopicNames};
use crate::store::DeadLetterBound;

/// The settings of one projector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The names of the topics in the cluster.
    pub topics: TopicNames,
    /// The frames that the values of records may have.
    pub framing: Framing,
    /// The interval between two checkpoints while live.
    pub sync_interval: Duration,
    /// The interval between two checkpoints while catching up.
    pub catch_up_sync_interval: Duration,
    /// About how many bytes the records in memory may take.
    pub memory_budget: u64,
    /// The time for which a job may wait for an optimization that links it before it counts as an orphan.
    pub orphan_retention: Duration,
    /// Number of dead letters among a topic's latest records beyond which it stops, if they are more than a tenth of those.
    pub dead_letter_limit: u64,
    /// The most dead letters that the store keeps.
    pub dead_letters_max: DeadLetterBound,
    /// The way to the dead letter topic, if there is one.
    pub dead_letter_outlet: Option<LetterOutlet>,
    /// The store's directory.
    pub store_path: PathBuf,
    /// The free space that stays on the store's disk: with less, nothing more is read.
    pub disk_reserve: DiskReserve,
}
