//! The numbers of the optimizations by their ids, which every read by id looks up. The catalog's lock does not guard them: no
//! read by id waits for a list, or for a change of the lists.
//!
//! There are many maps instead of one, so that none takes long to grow. None is locked for longer than one look-up, one
//! insertion or the growth of one map takes.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::maps::Map;

/// Number of maps. With a million ids, a map that grows moves a thousand.
const MAPS: usize = 1024;

pub struct Ids {
    maps: Vec<RwLock<Map<Arc<str>, u32>>>,
    hasher: RandomState,
    len: AtomicUsize,
}

impl Default for Ids {
    fn default() -> Ids {
        let maps = (0..MAPS).map(|_| RwLock::default()).collect();
        Ids { maps, hasher: RandomState::default(), len: AtomicUsize::new(0) }
    }
}

impl Ids {
    pub fn get(&self, id: &str) -> Option<u32> {
        self.map_of(id).read().get(id).copied()
    }

    pub fn insert(&self, id: Arc<str>, number: u32) {
        let before = self.map_of(&id).write().insert(id, number);
        if before.is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes room for `more` ids.
    pub fn reserve(&self, more: usize) {
        // Hashes spread ids by chance, so that some maps get a little more than their share.
        let share = more / MAPS;
        self.maps.iter().for_each(|map| map.write().reserve(share + share / 8));
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn map_of(&self, id: &str) -> &RwLock<Map<Arc<str>, u32>> {
        &self.maps[self.hasher.hash_one(id) as usize % MAPS]
    }
}
