//! The trees of a generation, and the keys in them.

use sled::{Db, IVec, Tree};

use crate::domain::Position;

/// The largest value that is stored: above about 7 KB sled keeps values in files of their own, which it never syncs.
pub const VALUE_LIMIT: usize = 6500;

/// One sled tree a kind of record.
#[derive(Clone)]
pub struct Trees {
    /// Optimization's number → stored optimization, or a reference to its pieces.
    pub optimizations: Tree,
    /// Job id → parked job, or a reference to its pieces.
    pub jobs: Tree,
    /// Pieces of what is too large for one value: owner's key, its hash, number of the piece.
    pub pieces: Tree,
    /// Chunk number → catalog entries.
    pub catalog: Tree,
    /// Position → dead letter, or a reference to its pieces.
    pub dead_letters: Tree,
    /// The marker of layout and format, the checkpoint, and what else is known of the whole.
    pub meta: Tree,
}

impl Trees {
    /// What [`MARKER`] says of a database. Makes no tree, as it may be another version's.
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
        // Not by `len`: at damage, sled's iterator gives the same error for ever, and `len` counts on.
        self.dead_letters.iter().keys().try_fold(0, |count, key| key.map(|_| count + 1))
    }
}

const META: &[u8] = b"meta";

/// In `meta`: the layout of the generation, and the format of its fold. Its absence tells a new file from an old one that was emptied.
pub const MARKER: &[u8] = b"format";
/// In `meta`: the next offset to read of each partition.
pub const CHECKPOINT: &[u8] = b"checkpoint";

/// In `meta`: the ids of the topics that the checkpoint is of.
pub const TOPIC_IDS: &[u8] = b"topic-ids";

/// In `meta`: of each partition, the offset from which it was read first.
pub const ORIGINS: &[u8] = b"origins";

/// In `meta`: the id of the cluster that it is built from.
pub const CLUSTER: &[u8] = b"cluster";

/// In `meta`: of each partition that the generation lacks records of, which those are. The topic's name and the partition's
/// number follow.
pub const MISSING_HISTORY: &[u8] = b"missing-history/";

/// In `meta`: what the topics that it is built from are called, in the order of `Topic::ALL`.
pub const TOPICS: &[u8] = b"topics";

/// In `meta`: there where the generation has been live once, so that all that there was then is in it, and on the disk.
pub const WAS_LIVE: &[u8] = b"was-live";

/// By position, so that the same record is kept once.
pub fn dead_letter_key(position: Position) -> Vec<u8> {
    let mut key = vec![position.topic as u8];
    key.extend_from_slice(&position.partition.to_be_bytes());
    key.extend_from_slice(&position.offset.to_be_bytes());
    key
}
