//! The settings of a replica.

use std::path::PathBuf;
use std::time::Duration;

use crate::disk::DiskReserve;

/// The settings of a replica.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// The name of the topic of views.
    pub topic: String,
    /// The directory of the store.
    pub data_dir: PathBuf,
    /// Number of bytes of the store's pages that are held in memory.
    pub store_cache_bytes: u64,
    /// The time between two syncs of the store to disk.
    pub sync_interval: Duration,
    /// The time between an answer of the cluster about the topic and the next question.
    pub ask_interval: Duration,
    /// The free space that stays on the store's disk: with less of it, nothing is read.
    pub disk_reserve: DiskReserve,
}

impl ReplicaSettings {
    /// Returns the settings of the follower, of which one step waits so long for a record.
    pub fn of_follower(&self, longest_wait: Duration) -> FollowerSettings {
        FollowerSettings {
            topic: self.topic.clone(),
            sync_interval: self.sync_interval,
            ask_interval: self.ask_interval,
            longest_wait,
        }
    }
}

/// The settings of a follower.
#[derive(Clone, Debug)]
pub struct FollowerSettings {
    /// The name of the topic of views.
    pub topic: String,
    /// The time between two syncs of the store to disk.
    pub sync_interval: Duration,
    /// The time between an answer of the cluster about the topic and the next question.
    pub ask_interval: Duration,
    /// The longest time for which one step waits for a record.
    pub longest_wait: Duration,
}
