//! The trees of a generation, and the keys in them.

use sled::{Db, IVec, Tree};

use crate::domain::{PartitionOffset, Topic, TopicPartition};

/// Most bytes of a value in sled: above about 7 KB sled keeps values in files of their own, which it never syncs.
pub const VALUE_LIMIT: usize = 6500;

/// The trees of a generation, one for each kind of record.
#[derive(Clone)]
pub struct Trees {
    /// The stored optimizations, or references to their pieces, by the optimization's number.
    pub optimizations: Tree,
    /// The parked jobs, or references to their pieces, by the job's id.
    pub jobs: Tree,
    /// The pieces of large values. The key is the owner's tree and key, the hash of the value, and the number of the piece.
    pub pieces: Tree,
    /// The chunks of the catalog's entries, by their numbers.
    pub catalog: Tree,
    /// The dead letters, or references to their pieces, by position.
    pub dead_letters: Tree,
    /// Facts of the whole generation, such as the marker and the checkpoint, by the constants below.
    pub meta: Tree,
}

impl Trees {
    /// Reads [`MARKER`] of a database. No tree is created, as the database may be another version's.
    pub fn marker(db: &Db) -> sled::Result<Option<IVec>> {
        let is_there = db.tree_names().iter().any(|name| &**name == META);
        if is_there { db.open_tree(META)?.get(MARKER) } else { Ok(None) }
    }

    pub fn open(db: &Db) -> sled::Result<Trees> {
        Ok(Trees {
            optimizations: db.open_tree("optimizations")?,
            jobs: db.open_tree("jobs")?,
            pieces: db.open_tree("pieces")?,
            catalog: db.open_tree("catalog")?,
            dead_letters: db.open_tree("dead-letters")?,
            meta: db.open_tree(META)?,
        })
    }

    pub fn count_dead_letters(&self) -> sled::Result<u64> {
        // sled's `len` never ends on damage: its iterator returns the same error for ever, and `len` counts on.
        self.dead_letters.iter().keys().try_fold(0, |count, key| key.map(|_| count + 1))
    }
}

/// The version of the layout of a generation: which trees there are, and what can be in them. It is in the generation's marker, and
/// changes when versions that know only older layouts could take for damage what this one writes. Layout 2 has places that are kept
/// for records to come (`writer/places.rs`).
pub const LAYOUT: u8 = 2;

/// The layouts that this version reads. The writer turns those before [`LAYOUT`] into it by a new marker.
pub const KNOWN_LAYOUTS: [u8; 2] = [1, LAYOUT];

const META: &[u8] = b"meta";

/// Key in `meta` of the generation's layout and of its fold format. A database without it was emptied by damage: a new one gets it first.
pub const MARKER: &[u8] = b"format";

/// Key in `meta` of the note of the replica that the generation belongs to: how far it has read its topic of views.
pub const REPLICA: &[u8] = b"replica";

/// Key in `meta` of the checkpoint: the next offset to read of each partition.
pub const CHECKPOINT: &[u8] = b"checkpoint";

/// Key in `meta` of the ids of the topics in the checkpoint.
pub const TOPIC_IDS: &[u8] = b"topic-ids";

/// Key in `meta` of the offset from which each partition was read first.
pub const ORIGINS: &[u8] = b"origins";

/// Key in `meta` of the id of the cluster that the generation is built from.
pub const CLUSTER: &[u8] = b"cluster";

/// Prefix of the keys in `meta` of the records that the generation lacks of a partition. The topic's name and the partition's
/// number follow.
pub const MISSING_HISTORY: &[u8] = b"missing-history/";

/// Key in `meta` of the names of the topics that the generation is built from, in the order of `Topic::ALL`.
pub const TOPICS: &[u8] = b"topics";

/// Key in `meta` that is there if the generation has been live once: everything that the topics held then is in it, and on the disk.
pub const WAS_LIVE: &[u8] = b"was-live";

/// Prefix of the keys in `meta` of the stops of topics of which too many records were not understood. The stream's number follows.
const LETTER_STOP: &[u8] = b"dead-letter-stop/";

/// Key in `meta` of the offset of each partition from which its dead letters count towards the limit.
pub const LETTERS_COUNTED_FROM: &[u8] = b"dead-letters-counted-from";

/// Key in `meta` of the number of dead letters that newer ones have replaced.
pub const REPLACED_LETTERS: &[u8] = b"dead-letters-replaced";

/// Key in `meta` of the name of the topic that has every dead letter.
pub const LETTER_TOPIC: &[u8] = b"dead-letter-topic";

/// Key in `meta` of the number of dead letters of which only the count was left when the others were written to that topic.
pub const LETTERS_ONLY_COUNTED: &[u8] = b"dead-letters-only-counted";

/// Prefix of the keys in `meta` of the offset of each partition below which dead letters were removed. The stream's number and the
/// partition's number follow.
pub const REMOVED_LETTERS: &[u8] = b"dead-letters-removed/";

/// Returns the key in `meta` of a stream's stop.
pub fn letter_stop_key(topic: Topic) -> Vec<u8> {
    [LETTER_STOP, &[topic as u8]].concat()
}

/// Returns the key in `meta` of the offset below which dead letters of a partition were removed.
pub fn removed_letters_key(partition: TopicPartition) -> Vec<u8> {
    [REMOVED_LETTERS, &[partition.topic as u8], &partition.partition.to_be_bytes()].concat()
}

/// Returns the position that the key of a dead letter stands for; `None` if it is no such key.
pub fn dead_letter_position(key: &[u8]) -> Option<PartitionOffset> {
    let topic = *Topic::ALL.get(usize::from(*key.first()?))?;
    let partition = i32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let offset = i64::from_be_bytes(key.get(5..)?.try_into().ok()?);
    Some(PartitionOffset { topic, partition, offset })
}

/// Returns the key of a dead letter: its position, so that the same record is stored once.
pub fn dead_letter_key(position: PartitionOffset) -> Vec<u8> {
    let mut key = vec![position.topic as u8];
    key.extend_from_slice(&position.partition.to_be_bytes());
    key.extend_from_slice(&position.offset.to_be_bytes());
    key
}
