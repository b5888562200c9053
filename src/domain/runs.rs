//! The set of a job's run indexes, and the first event of the run with the greatest index.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::event::{Metadata, RunChange, RunEvent};
use super::position::PartitionOffset;
use super::stamp::Stamp;

/// Run indexes as sorted blocks of 64 bits: 1 to 20 runs take one block in place, and 10,000 take 157 blocks of
/// about 10 bytes each on disk, whatever their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSet {
    /// Pairs of (index / 64, bits), ascending. No block is empty.
    blocks: SmallVec<[(u32, u64); 1]>,
}

impl RunSet {
    /// Adds an index. Returns true if it was not in the set.
    pub fn insert(&mut self, index: u32) -> bool {
        self.insert_bits(index / 64, 1 << (index % 64))
    }

    /// Number of runs.
    pub fn len(&self) -> u64 {
        self.blocks.iter().map(|(_, bits)| u64::from(bits.count_ones())).sum()
    }

    /// Returns true if no run is known.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Returns the indexes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().flat_map(|&(block, bits)| {
            (0..64).filter(move |at| bits & (1 << at) != 0).map(move |at| block * 64 + at)
        })
    }

    /// Adds all indexes of `other`.
    pub fn join(&mut self, other: &RunSet) {
        for &(block, bits) in &other.blocks {
            self.insert_bits(block, bits);
        }
    }

    fn insert_bits(&mut self, block: u32, bits: u64) -> bool {
        match self.blocks.binary_search_by_key(&block, |&(block, _)| block) {
            Ok(at) => {
                let held = &mut self.blocks[at].1;
                let grows = *held & bits != bits;
                *held |= bits;
                grows
            }
            Err(at) => {
                self.blocks.insert(at, (block, bits));
                true
            }
        }
    }
}

/// The run with the greatest index, with the first of its events by version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// The index of the run within its job, counted from 0.
    pub index: u32,
    /// The stamp of the run's first event by version.
    pub stamp: Stamp,
    /// The kind of the run's first event by version.
    pub event: RunEvent,
}

impl LastRun {
    pub(super) fn new(
        index: u32,
        change: &RunChange<'_>,
        metadata: &Metadata<'_>,
        source: PartitionOffset,
    ) -> LastRun {
        LastRun { index, stamp: Stamp::new(metadata, 0, source), event: RunEvent::from(change) }
    }

    /// Returns true if an event may change the last run. Most events are a run's second one and do not, so that no
    /// stamp need be made for them.
    pub(super) fn may_change(held: Option<&LastRun>, index: u32, metadata: &Metadata<'_>) -> bool {
        held.is_none_or(|held| {
            let version = &held.stamp.version;
            let is_later = (metadata.sequence, metadata.occurred_at) > (version.sequence, version.occurred_at);
            index > held.index || index == held.index && !is_later
        })
    }

    /// Keeps the run with the greater index, and of equal indexes the earlier event. Returns true if that changed
    /// `slot`.
    pub(super) fn join(slot: &mut Option<Box<LastRun>>, new: LastRun) -> bool {
        let takes_its_place = slot.as_ref().is_none_or(|held| {
            new.index > held.index
                || new.index == held.index && (&new.stamp, new.event) < (&held.stamp, held.event)
        });
        if takes_its_place {
            *slot = Some(Box::new(new));
        }
        takes_its_place
    }
}

impl Serialize for RunSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Bits are written as fixed bytes, because a full block would take ten as a varint.
        serializer.collect_seq(self.blocks.iter().map(|&(block, bits)| (block, bits.to_le_bytes())))
    }
}

impl<'de> Deserialize<'de> for RunSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunSet, D::Error> {
        let blocks = SmallVec::<[(u32, [u8; 8]); 1]>::deserialize(deserializer)?;
        let blocks = blocks.into_iter().map(|(block, bits)| (block, u64::from_le_bytes(bits)));
        Ok(RunSet { blocks: blocks.collect() })
    }
}
