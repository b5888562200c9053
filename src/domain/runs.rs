//! The set of a job's run indexes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// Run indexes, as blocks of 64 bits, sorted: 1 to 20 runs take one block in place, 10,000 take 157 of about 10 bytes
/// each on disk, whatever order and pattern they come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSet {
    /// (index / 64, bits), ascending; no block is empty.
    blocks: SmallVec<[(u32, u64); 1]>,
}

impl RunSet {
    /// True where `index` was not in the set.
    pub fn insert(&mut self, index: u32) -> bool {
        self.insert_bits(index / 64, 1 << (index % 64))
    }

    /// How many runs there are.
    pub fn len(&self) -> u64 {
        self.blocks.iter().map(|(_, bits)| u64::from(bits.count_ones())).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The indexes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let of_block = |&(block, bits): &(u32, u64)| {
            (0..64).filter(move |at| bits & (1 << at) != 0).map(move |at| block * 64 + at)
        };
        self.blocks.iter().flat_map(of_block)
    }

    /// Takes the union with `other`.
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

impl Serialize for RunSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Bits as fixed bytes: a full block would take ten as a varint.
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
