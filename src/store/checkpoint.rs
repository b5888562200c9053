//! The checkpoint: the position of each partition, written after everything that it covers has been synced.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::StoreError;
use super::keys::{CHECKPOINT, TOPIC_IDS, Trees};
use crate::codec::stored_record;
use crate::data_dir::PartitionPosition;
use crate::domain::{NamedPartition, Record, TopicId};

/// The checkpoints of all partitions, by the topic's name in the cluster (so that a renamed topic is read from its beginning) and
/// the partition's number.
pub type Checkpoint = BTreeMap<NamedPartition, PartitionCheckpoint>;

/// The checkpoint of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCheckpoint {
    /// The next offset to read.
    pub next_offset: i64,
    /// The anchor of the last record read. `None` if none has been read yet.
    pub anchor: Option<Anchor>,
    /// The id of the topic that was read. `None` if the brokers give no ids, or the generation is of a version that did not ask
    /// for them. It is stored beside the checkpoint, which other versions read too, and not in it.
    #[serde(skip)]
    pub topic_id: Option<TopicId>,
}

/// The ids of the topics in a checkpoint, by the same keys.
pub type TopicIds = BTreeMap<NamedPartition, TopicId>;

/// Returns the topic ids in a checkpoint, which are stored beside it.
pub fn topic_ids(checkpoint: &Checkpoint) -> TopicIds {
    checkpoint.iter().filter_map(|(key, partition)| Some((key.clone(), partition.topic_id?))).collect()
}

/// Puts topic ids back into the checkpoint that they were stored beside.
pub fn add_topic_ids(checkpoint: &mut Checkpoint, ids: &TopicIds) {
    for (key, held) in checkpoint {
        held.topic_id = ids.get(key).copied();
    }
}

/// Returns the next offset of each partition.
pub fn positions(checkpoint: &Checkpoint) -> Vec<PartitionPosition> {
    let positions = checkpoint.iter().map(|(partition, held)| PartitionPosition {
        topic: partition.topic.clone(),
        partition: partition.partition,
        next_offset: held.next_offset,
    });
    positions.collect()
}

/// Reads the last checkpoint written. It is empty if there is none.
pub(super) fn read(trees: &Trees) -> Result<Checkpoint, StoreError> {
    let Some(bytes) = trees.meta.get(CHECKPOINT)? else { return Ok(Checkpoint::new()) };
    let mut checkpoint: Checkpoint = stored_record::decode(&bytes, "checkpoint")?;
    if let Some(bytes) = trees.meta.get(TOPIC_IDS)? {
        add_topic_ids(&mut checkpoint, &stored_record::decode(&bytes, "list of topic ids")?);
    }
    Ok(checkpoint)
}

/// Writes a checkpoint in place of the last one. The ids come first: a topic's id is the same as long as it is read, so that they
/// are also those of the checkpoint before.
pub(super) fn write(trees: &Trees, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let ids = stored_record::encode(&topic_ids(checkpoint), "list of topic ids")?;
    if trees.meta.get(TOPIC_IDS)?.is_none_or(|held| *held != *ids) {
        trees.meta.insert(TOPIC_IDS, ids)?;
    }
    trees.meta.insert(CHECKPOINT, stored_record::encode(checkpoint, "checkpoint")?)?;
    Ok(())
}

/// The offset and the hash of a record, which prove that a topic is still the one that was read: a topic that was deleted and
/// created again has other records at the same offsets, and neither Kafka nor librdkafka reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The offset of the record.
    pub offset: i64,
    /// The hash of the record's timestamp, key and value, as [`Anchor::of`] makes it.
    pub hash: u64,
}

impl Anchor {
    /// Makes the anchor of a record. The hash covers its timestamp, key and value.
    pub fn of(record: &Record<'_>) -> Anchor {
        let seed = record.timestamp_millis.unwrap_or(-1).cast_unsigned();
        let hash = |part: Option<&[u8]>| part.map_or(1, |part| xxh3_64_with_seed(part, seed));
        let hash = hash(record.key).rotate_left(32) ^ hash(record.value);
        Anchor { offset: record.position.offset, hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition's checkpoint as versions without topic ids write it, by a pair.
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct WithoutId {
        next_offset: i64,
        anchor: Option<Anchor>,
    }

    #[test]
    fn versions_that_know_no_topic_ids_read_this_ones_checkpoint_and_this_one_theirs() {
        let anchor = Some(Anchor { offset: 6, hash: 99 });
        let topic_id = Some(TopicId { most_significant: 1, least_significant: 2 });
        let checkpoint = Checkpoint::from([(
            NamedPartition::new("jobs", 3),
            PartitionCheckpoint { next_offset: 7, anchor, topic_id },
        )]);
        let bytes = stored_record::encode(&checkpoint, "checkpoint").unwrap();
        let theirs: BTreeMap<(String, i32), WithoutId> = stored_record::decode(&bytes, "checkpoint").unwrap();
        assert_eq!(theirs[&("jobs".to_owned(), 3)], WithoutId { next_offset: 7, anchor });
        let mut ours: Checkpoint = stored_record::decode(&bytes, "checkpoint").unwrap();
        assert_eq!(ours[&NamedPartition::new("jobs", 3)].topic_id, None);
        add_topic_ids(&mut ours, &topic_ids(&checkpoint));
        assert_eq!(ours, checkpoint);
    }
}
