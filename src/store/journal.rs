//! The catalog on disk: chunks of entries, appended as optimizations change. The oldest chunks are retired as new ones
//! come, what is still current of them written again, so that the chunks stay at most about twice what they must hold.

use std::collections::{BTreeMap, HashSet};

use parking_lot::{RwLock, RwLockWriteGuard};
use sled::IVec;

use super::catalog::{Catalog, Entry, Loading};
use super::keys::VALUE_LIMIT;
use super::{StoreError, Trees};
use crate::codec::stored;

/// Number of entries that are taken into the catalog before whoever waits for it gets a turn. They take well below a millisecond.
const ENTRIES_A_TURN: usize = 64;

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
        let mut loading = Loading::default();
        for chunk in trees.catalog.iter().rev() {
            let (key, value) = chunk?;
            let number = chunk_number(&key)?;
            let entries: Vec<Entry<'_>> = stored::decode(&value, "catalog chunk")?;
            // As in the chunks: the newest last.
            entries.iter().rev().for_each(|entry| loading.put(entry, number));
            journal.note(number, entries.len());
        }
        Ok((journal, loading.finish()))
    }

    /// Writes what is new in `entries`, has `write` write the records that they name, and lets readers see them: a reader
    /// must not find in a list what it cannot get, nor what it may no longer get.
    pub fn append(
        &mut self,
        trees: &Trees,
        catalog: &RwLock<Catalog>,
        entries: Vec<Entry<'_>>,
        write: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut retired = BTreeMap::new();
        let (mut current, mut leaving) = (Vec::new(), Vec::new());
        {
            let catalog = catalog.read();
            current.extend(entries.into_iter().filter(|entry| catalog.differs(entry)));
            leaving.extend(current.iter().filter(|entry| catalog.leaves(entry)).map(|entry| entry.number));
            if !current.is_empty() {
                retired = self.retire(trees, catalog.len() as u64, (current.len() / 16).max(4))?;
            }
            let mut taken = HashSet::new();
            if !retired.is_empty() {
                taken.extend(current.iter().map(|entry| entry.number));
            }
            for (&number, chunk) in &retired {
                let held = stored::decode::<Vec<Entry<'_>>>(chunk, "catalog chunk")?.into_iter();
                let is_current = |entry: &Entry<'_>| catalog.chunk_of(entry.number) == Some(number);
                current.extend(held.filter(|entry| is_current(entry) && taken.insert(entry.number)));
            }
        }
        let mut written = Vec::new();
        let mut rest = &current[..];
        while !rest.is_empty() {
            let (chunk, taken) = encode_chunk(rest)?;
            let number = self.next;
            trees.catalog.insert(number.to_be_bytes(), chunk)?;
            self.note(number, taken);
            let (entries, later) = rest.split_at(taken);
            written.push((number, entries));
            rest = later;
        }
        for number in retired.keys() {
            trees.catalog.remove(number.to_be_bytes())?;
        }
        // What goes to another organization leaves the lists before its record does: a total must not count it longer than
        // the caller may see it.
        for turn in leaving.chunks(ENTRIES_A_TURN) {
            let mut catalog = catalog.write();
            turn.iter().for_each(|number| catalog.unlist(*number));
            RwLockWriteGuard::unlock_fair(catalog);
        }
        write()?;
        for (number, entries) in written {
            for turn in entries.chunks(ENTRIES_A_TURN) {
                let mut catalog = catalog.write();
                turn.iter().for_each(|entry| catalog.put(entry, number));
                RwLockWriteGuard::unlock_fair(catalog);
            }
        }
        Ok(())
    }

    fn note(&mut self, number: u64, entries: usize) {
        self.chunks.insert(number, u32::try_from(entries).unwrap_or(u32::MAX));
        self.entries += entries as u64;
        self.next = self.next.max(number + 1);
    }

    /// Takes the oldest chunks, `most` of them, where there is more in the chunks than need be. What is still current
    /// in them is to be written again, and then they are to be removed.
    fn retire(&mut self, trees: &Trees, needed: u64, most: usize) -> Result<BTreeMap<u64, IVec>, StoreError> {
        let mut retired = BTreeMap::new();
        while retired.len() < most && self.is_wasteful(needed) {
            let Some((number, held)) = self.chunks.pop_first() else { break };
            self.entries -= u64::from(held);
            if let Some(chunk) = trees.catalog.get(number.to_be_bytes())? {
                retired.insert(number, chunk);
            }
        }
        Ok(retired)
    }

    fn is_wasteful(&self, needed: u64) -> bool {
        self.entries > 2 * needed + 4096 || self.chunks.len() as u64 > needed / 16 + 1024
    }
}

/// Returns as many of the entries as fit into one value, and their number, which is at least one.
fn encode_chunk(entries: &[Entry<'_>]) -> Result<(Vec<u8>, usize), StoreError> {
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

pub fn chunk_number(key: &[u8]) -> Result<u64, StoreError> {
    let key = key.try_into().map_err(|_| stored::Damaged {
        what: "catalog chunk",
        reason: "its number is not eight bytes".to_owned(),
    })?;
    Ok(u64::from_be_bytes(key))
}
