//! The checkpoint: how far each partition has been read, written after all that it covers has been synced.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
        let seed = record.timestamp_millis.unwrap_or(-1).cast_unsigned();
        let hash = |part: Option<&[u8]>| part.map_or(1, |part| xxh3_64_with_seed(part, seed));
        let hash = hash(record.key).rotate_left(32) ^ hash(record.value);
        Anchor { offset: record.position.offset, hash }
    }
}
