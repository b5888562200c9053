//! The journal of the catalog on disk: chunks of entries, appended as optimizations change. The oldest chunks are retired as new
//! ones come, and their current entries are written again, so that the chunks hold at most about twice the entries they must.

use std::collections::{BTreeMap, HashSet};

use parking_lot::{RwLock, RwLockWriteGuard};
use sled::IVec;

use super::catalog::{Catalog, CatalogLoader, Entry, chunk, from_records};
use super::{StoreError, Trees};

/// Number of entries that are put into the catalog before others that wait for its lock get a turn. They take well below a
/// millisecond.
const ENTRIES_A_TURN: usize = 64;

/// Number of entries that are inserted between two syncs while all are written again: some megabytes.
const ENTRIES_A_SYNC: usize = 1 << 16;

/// The chunks on disk.
#[derive(Default)]
pub struct Journal {
    /// The number of entries of each chunk, by the chunk's number.
    chunks: BTreeMap<u64, u32>,
    next: u64,
    entries: u64,
}

impl Journal {
    /// Reads all chunks into a catalog. Returns `None` if one of them is of another version: then the catalog must be made from the
    /// records, which have everything that is in it.
    pub fn load(trees: &Trees) -> Result<Option<(Journal, Catalog)>, StoreError> {
        let mut journal = Journal::default();
        let mut loader = CatalogLoader::default();
        for stored in trees.catalog.iter().rev() {
            let (key, value) = stored?;
            let number = chunk::number(&key)?;
            let Some(entries) = chunk::decode(&value)? else { return Ok(None) };
            // The newest entry of a chunk is its last, as the newest chunk is.
            entries.iter().rev().for_each(|entry| loader.put(entry, number));
            journal.note(number, entries.len());
        }
        Ok(Some((journal, loader.finish())))
    }

    /// Makes the catalog again from the records, which have this fold format, and writes it in place of all chunks. `sync` brings what was inserted before it to
    /// the disk: all new chunks are there before the first old one is removed. So a crash leaves chunks of another version until
    /// the new ones are complete, and the next start makes the catalog again.
    pub fn rebuild(
        trees: &Trees,
        format: u8,
        sync: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(Journal, Catalog), StoreError> {
        let old = trees.catalog.iter().keys().collect::<Result<Vec<IVec>, _>>()?;
        let next = old.last().map_or(Ok(0), |key| chunk::number(key).map(|last| last + 1))?;
        let mut journal = Journal { next, ..Journal::default() };
        let mut loader = CatalogLoader::default();
        let mut unsynced = 0;
        from_records::each_batch(trees, format, |entries| {
            for (number, entries) in journal.write(trees, entries)? {
                entries.iter().for_each(|entry| loader.put(entry, number));
            }
            unsynced += entries.len();
            if unsynced >= ENTRIES_A_SYNC {
                unsynced = 0;
                sync()?;
            }
            Ok(())
        })?;
        sync()?;
        for key in old {
            trees.catalog.remove(key)?;
        }
        Ok((journal, loader.finish()))
    }

    /// Writes the new ones of some entries, has `write` write the records that they name, and then puts them into the catalog: a
    /// reader must not find in a list what it cannot get, or may no longer get.
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
            for (&number, stored) in &retired {
                // Every chunk has been of this version since the store was opened.
                let entries = chunk::decode(stored)?.unwrap_or_default().into_iter();
                current.extend(
                    entries.filter(|entry| {
                        catalog.chunk_of(entry.number) == Some(number) && taken.insert(entry.number)
                    }),
                );
            }
        }
        let written = self.write(trees, &current)?;
        for number in retired.keys() {
            trees.catalog.remove(number.to_be_bytes())?;
        }
        // An optimization that goes to another organization leaves the lists before its record is written: a total must not
        // count it longer than the caller may see it.
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

    /// Inserts entries as new chunks. Returns the entries of each chunk with its number.
    fn write<'a, 'b>(
        &mut self,
        trees: &Trees,
        entries: &'a [Entry<'b>],
    ) -> Result<Vec<(u64, &'a [Entry<'b>])>, StoreError> {
        let mut written = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let (chunk, count) = chunk::encode(rest)?;
            let number = self.next;
            trees.catalog.insert(number.to_be_bytes(), chunk)?;
            self.note(number, count);
            let (entries, later) = rest.split_at(count);
            written.push((number, entries));
            rest = later;
        }
        Ok(written)
    }

    fn note(&mut self, number: u64, entries: usize) {
        self.chunks.insert(number, u32::try_from(entries).unwrap_or(u32::MAX));
        self.entries += entries as u64;
        self.next = self.next.max(number + 1);
    }

    /// Takes up to `most` of the oldest chunks, if the chunks hold more than need be. The caller writes their current entries
    /// again, and then removes them.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::codec::stored_record::{self, FORMAT};
    use crate::domain::Optimization;

    #[test]
    fn an_old_chunk_is_removed_only_after_all_new_ones_were_synced() {
        let directory = tempfile::tempdir().unwrap();
        let trees = Trees::open(&sled::open(directory.path()).unwrap()).unwrap();
        let mut value = Vec::new();
        for number in 0..1_000_u32 {
            let optimization = Optimization::new(format!("o{number}").into());
            stored_record::encode_optimization(&optimization, &mut value).unwrap();
            trees.optimizations.insert(number.to_be_bytes(), value.as_slice()).unwrap();
        }
        let old = 0..5_u64;
        for number in old.clone() {
            trees.catalog.insert(number.to_be_bytes(), [chunk::VERSION + 1].as_slice()).unwrap();
        }
        assert!(Journal::load(&trees).unwrap().is_none(), "the chunks are another version's");
        let synced = Cell::new(0);
        let (journal, catalog) = Journal::rebuild(&trees, FORMAT, || {
            assert!(old.clone().all(|number| trees.catalog.contains_key(number.to_be_bytes()).unwrap()));
            synced.set(trees.catalog.len() - 5);
            Ok(())
        })
        .unwrap();
        assert_eq!((synced.get(), catalog.len()), (journal.chunks.len(), 1_000));
        assert_eq!(trees.catalog.len(), journal.chunks.len(), "the old chunks are gone");
    }
}
