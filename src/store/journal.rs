//! The catalog on disk: chunks of entries, appended as optimizations change. The oldest chunks are retired as new ones
//! come, what is still current of them written again, so that the chunks stay at most about twice what they must hold.

use std::collections::BTreeMap;

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

    /// Appends what is new in `entries`, to disk first and then to the catalog.
    pub fn append(
        &mut self,
        trees: &Trees,
        catalog: &RwLock<Catalog>,
        mut entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        {
            let catalog = catalog.read();
            entries.retain(|entry| catalog.differs(entry));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let retired = self.retire(trees, catalog, &mut entries)?;
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            let (chunk, taken) = encode_chunk(rest)?;
            let number = self.next;
            trees.catalog.insert(number.to_be_bytes(), chunk)?;
            self.note(number, taken);
            for turn in rest[..taken].chunks(ENTRIES_A_TURN) {
                let mut catalog = catalog.write();
                for entry in turn {
                    catalog.put(entry, number);
                }
            }
            rest = &rest[taken..];
        }
        for number in retired {
            trees.catalog.remove(number.to_be_bytes())?;
        }
        Ok(())
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
        let mut taken: std::collections::HashSet<std::sync::Arc<str>> =
            entries.iter().map(|entry| entry.id.clone()).collect();
        while retired.len() < most && self.is_wasteful(needed) {
            let Some((number, held)) = self.chunks.pop_first() else { break };
            self.entries -= u64::from(held);
            retired.push(number);
            let Some(chunk) = trees.catalog.get(number.to_be_bytes())? else { continue };
            for entry in stored::decode::<Vec<Entry>>(&chunk, "catalog chunk")? {
                if catalog.chunk_of(&entry.id) == Some(number) && taken.insert(entry.id.clone()) {
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

/// As many of the entries as fit into one value, and how many those are; at least one.
fn encode_chunk(entries: &[Entry]) -> Result<(Vec<u8>, usize), StoreError> {
    // Ids are bounded, so that an entry is far smaller than a value may be, but for a very long kind.
    let mut take = entries.len().min(VALUE_LIMIT / 48);
    loop {
        let chunk = stored::encode(&entries[..take].to_vec(), "catalog chunk")?;
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
