//! Finds a record's slot by its id. Beside each slot stands the id's hash, so that a step costs no look at an id that
//! lies elsewhere in memory: where many records are under way, waiting for memory is what folding takes its time for.

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

    /// The slot of `id`, of which `is` tells whether it is that id's.
    pub fn find(&self, id: &str, is: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hash(id);
        self.slots.find(hash, |&(held, slot)| held == hash && is(slot)).map(|&(_, slot)| slot)
    }

    /// A slot whose id has this hash: the one that is looked for, as good as always.
    pub fn likely(&self, hash: u64) -> Option<usize> {
        self.slots.find(hash, |&(held, _)| held == hash).map(|&(_, slot)| slot)
    }

    /// `id` must not be in yet.
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
