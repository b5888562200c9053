//! An index of slots by id. It keeps each id's hash beside the slot, so that a lookup need not read the id itself
//! elsewhere in memory: with many active records, folding spends its time waiting for memory.

use std::hash::BuildHasher;

use hashbrown::HashTable;

#[derive(Default)]
pub struct IdIndex {
    slots: HashTable<(u64, usize)>,
    hasher: foldhash::fast::RandomState,
}

impl IdIndex {
    pub fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    /// Returns the slot of `id`. `is` must return true for the slot of that id.
    pub fn find(&self, id: &str, is: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hash(id);
        self.slots.find(hash, |&(held, slot)| held == hash && is(slot)).map(|&(_, slot)| slot)
    }

    /// Returns a slot whose id has this hash. It is almost certainly the right one, and is used for prefetching
    /// only.
    pub fn likely(&self, hash: u64) -> Option<usize> {
        self.slots.find(hash, |&(held, _)| held == hash).map(|&(_, slot)| slot)
    }

    /// Adds a slot. `id` must not be in the index yet.
    pub fn insert(&mut self, id: &str, slot: usize) {
        let hash = self.hash(id);
        self.slots.insert_unique(hash, (hash, slot), |&(hash, _)| hash);
    }

    pub fn remove(&mut self, id: &str, slot: usize) {
        let hash = self.hash(id);
        if let Ok(entry) = self.slots.find_entry(hash, |&(_, held)| held == slot) {
            entry.remove();
        }
    }
}
