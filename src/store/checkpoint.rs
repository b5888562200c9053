//! The checkpoint: how far each partition has been read, written after all that it covers has been synced.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::domain::Record;

/// By the topic's name in the cluster, so that a renamed topic is read from its beginning, and the partition.
pub type Checkpoint = BTreeMap<(String, i32), PartitionCheckpoint>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCheckpoint {
    /// The next offset to read.
    pub next_offset: i64,
    /// The last record read. `None` where none has been read yet.
    pub anchor: Option<Anchor>,
}

/// Tells whether a topic is still the one that was read: a topic that was deleted and created again has other records
/// at the same offsets, which neither Kafka nor librdkafka reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub offset: i64,
    pub hash: u64,
}

impl Anchor {
    /// Covers the record's timestamp, key and value.
    pub fn of(record: &Record<'_>) -> Anchor {
        let mut hash = Xxh3::new();
        hash.update(&record.timestamp_millis.unwrap_or(-1).to_le_bytes());
        for part in [record.key, record.value] {
            hash.update(&[u8::from(part.is_some())]);
            hash.update(part.unwrap_or_default());
        }
        Anchor { offset: record.position.offset, hash: hash.digest() }
    }
}
