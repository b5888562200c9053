//! The catalog on disk: chunks of entries, appended as optimizations change. The oldest chunks are retired as new ones
//! come, what is still current of them written again, so that the chunks stay at most about twice what they must hold.

use std::collections::{BTreeMap, HashSet};

use parking_lot::RwLock;

use super::catalog::{Catalog, Entry};
use super::keys::VALUE_LIMIT;
use super::{StoreError, Trees};
use crate::codec::stored;

/// How many entries are taken into the catalog before readers get a turn.
const ENTRIES_A_TURN: usize = 256;

pub struct Journal {
    /// Chunk number → how many entries it holds.
    chunks: BTreeMap<u64, u32>,
    next: u64,
    entries: u64,
}

impl Journal {
    /// Reads all chunks into a catalog.
    pub fn load(trees: &Trees) -> Result<(Journal, Catalog), StoreError> {
        let mut journal = Journal { chunks: BTreeMap::new(), next: 0, entries: 0 };
        let mut catalog = Catalog::default();
        for chunk in &trees.catalog {
            let (key, value) = chunk?;
            let number = chunk_number(&key)?;
            let entries: Vec<Entry> = stored::decode(&value, "catalog chunk")?;
            for entry in &entries {
                catalog.put(entry, number);
            }
            journal.note(number, entries.len());
        }
        Ok((journal, catalog))
    }

    /// Writes what is new in `entries`. The catalog is to take it once the records that it names are written: a reader
    /// must not find in a list what it cannot get.
    pub fn append(
        &mut self,
        trees: &Trees,
        catalog: &RwLock<Catalog>,
        mut entries: Vec<Entry>,
    ) -> Result<Appended, StoreError> {
        {
            let catalog = catalog.read();
            entries.retain(|entry| catalog.differs(entry));
        }
        let mut appended = Appended(Vec::new());
        if entries.is_empty() {
            return Ok(appended);
        }
        let retired = self.retire(trees, catalog, &mut entries)?;
        while !entries.is_empty() {
            let (chunk, taken) = encode_chunk(&entries)?;
            let number = self.next;
            trees.catalog.insert(number.to_be_bytes(), chunk)?;
            self.note(number, taken);
            let rest = entries.split_off(taken);
            appended.0.push((number, std::mem::replace(&mut entries, rest)));
        }
        for number in retired {
            trees.catalog.remove(number.to_be_bytes())?;
        }
        Ok(appended)
    }

    fn note(&mut self, number: u64, entries: usize) {
        self.chunks.insert(number, u32::try_from(entries).unwrap_or(u32::MAX));
        self.entries += entries as u64;
        self.next = self.next.max(number + 1);
    }

    /// Adds to `entries` what is still current in the oldest chunks, where there is more in the chunks than need be.
    /// The chunks it names are to be removed once the entries are written.
    fn retire(
        &mut self,
        trees: &Trees,
        catalog: &RwLock<Catalog>,
        entries: &mut Vec<Entry>,
    ) -> Result<Vec<u64>, StoreError> {
        let catalog = catalog.read();
        let needed = catalog.len() as u64;
        let most = (entries.len() / 16).max(4);
        let mut retired = Vec::new();
        let mut taken: HashSet<u32> = entries.iter().map(|entry| entry.number).collect();
        while retired.len() < most && self.is_wasteful(needed) {
            let Some((number, held)) = self.chunks.pop_first() else { break };
            self.entries -= u64::from(held);
            retired.push(number);
            let Some(chunk) = trees.catalog.get(number.to_be_bytes())? else { continue };
            for entry in stored::decode::<Vec<Entry>>(&chunk, "catalog chunk")? {
                if catalog.chunk_of(entry.number) == Some(number) && taken.insert(entry.number) {
                    entries.push(entry);
                }
            }
        }
        Ok(retired)
    }

    fn is_wasteful(&self, needed: u64) -> bool {
        self.entries > 2 * needed + 4096 || self.chunks.len() as u64 > needed / 16 + 1024
    }
}

/// Entries that are on the disk, by the chunk that holds them.
#[must_use]
pub struct Appended(Vec<(u64, Vec<Entry>)>);

impl Appended {
    /// Lets readers see them, a few at a time.
    pub fn show(self, catalog: &RwLock<Catalog>) {
        for (number, entries) in self.0 {
            for turn in entries.chunks(ENTRIES_A_TURN) {
                let mut catalog = catalog.write();
                for entry in turn {
                    catalog.put(entry, number);
                }
            }
        }
    }
}

/// As many of the entries as fit into one value, and how many those are; at least one.
fn encode_chunk(entries: &[Entry]) -> Result<(Vec<u8>, usize), StoreError> {
    // Ids are bounded, so that an entry is far smaller than a value may be, but for a very long kind.
    let mut take = entries.len().min(VALUE_LIMIT / 48);
    loop {
        let chunk = stored::encode(&&entries[..take], "catalog chunk")?;
        if chunk.len() <= VALUE_LIMIT || take == 1 {
            return Ok((chunk, take));
        }
        take = (take * VALUE_LIMIT / (chunk.len() + 256)).clamp(1, take - 1);
    }
}

fn chunk_number(key: &[u8]) -> Result<u64, StoreError> {
    let key = key.try_into().map_err(|_| stored::Damaged {
        what: "catalog chunk",
        reason: "its number is not eight bytes".to_owned(),
    })?;
    Ok(u64::from_be_bytes(key))
}
