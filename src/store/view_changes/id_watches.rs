//! The watches of single views, by id. There are many maps instead of one, so that watchers that come and go do not hold up the writer.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::signal::{Signal, WatcherCount};

/// Number of maps.
const MAPS: usize = 64;

type Watchers = SmallVec<[Arc<Signal>; 1]>;

pub struct IdWatches {
    maps: Vec<Mutex<HashMap<Arc<str>, Watchers, RandomState>>>,
    hasher: RandomState,
    count: WatcherCount,
}

impl Default for IdWatches {
    fn default() -> IdWatches {
        let maps = (0..MAPS).map(|_| Mutex::default()).collect();
        IdWatches { maps, hasher: RandomState::default(), count: WatcherCount::default() }
    }
}

impl IdWatches {
    pub fn watch(watches: &Arc<IdWatches>, is_closed: &Arc<AtomicBool>, id: &str) -> IdWatch {
        let signal = Arc::new(Signal::default());
        watches.count.enter();
        let mut map = watches.map_of(id).lock();
        // Watchers of one id share its text.
        let id = match map.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => Arc::from(id),
        };
        map.entry(id.clone()).or_default().push(signal.clone());
        drop(map);
        IdWatch { watches: watches.clone(), id, signal, is_closed: is_closed.clone() }
    }

    /// Wakes those who watch one of these ids.
    pub fn note<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        if self.count.after_writing() == 0 {
            return;
        }
        for id in ids {
            if let Some(watchers) = self.map_of(id).lock().get(id) {
                watchers.iter().for_each(|signal| signal.set());
            }
        }
    }

    pub fn wake_all(&self) {
        for map in &self.maps {
            map.lock().values().flatten().for_each(|signal| signal.set());
        }
    }

    pub fn len(&self) -> usize {
        self.count.after_writing()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn map_of(&self, id: &str) -> &Mutex<HashMap<Arc<str>, Watchers, RandomState>> {
        &self.maps[self.hasher.hash_one(id) as usize % MAPS]
    }
}

/// A watch over one view. Dropping it ends it.
pub struct IdWatch {
    watches: Arc<IdWatches>,
    id: Arc<str>,
    signal: Arc<Signal>,
    is_closed: Arc<AtomicBool>,
}

impl IdWatch {
    /// Waits until the view may have changed since the last call, or since the watch began. Returns at once where the registry is
    /// closed.
    pub async fn changed(&mut self) {
        self.signal.wait(&self.is_closed).await;
    }
}

impl Drop for IdWatch {
    fn drop(&mut self) {
        let mut map = self.watches.map_of(&self.id).lock();
        if let Some(watchers) = map.get_mut(&self.id) {
            watchers.retain(|signal| !Arc::ptr_eq(signal, &self.signal));
            if watchers.is_empty() {
                map.remove(&self.id);
            }
            if map.len() < map.capacity() / 8 {
                map.shrink_to_fit();
            }
        }
        drop(map);
        self.watches.count.leave();
    }
}
