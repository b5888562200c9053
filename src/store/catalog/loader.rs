//! Builds the catalog at start. What each optimization's latest entry says is taken first; what is found by that (ids,
//! jobs, the lists' order) is built from all of it at once, which takes a fraction of what adding one by one does.

use super::order::{Order, Place};
use super::{Catalog, Entry, Slot, compare_listed, index};

/// A catalog that is being built.
#[derive(Default)]
pub struct CatalogLoader {
    catalog: Catalog,
    entries: usize,
}

impl CatalogLoader {
    /// Takes an entry that stands in `chunk`. The newest of an optimization's entries must come first.
    pub fn put(&mut self, entry: &Entry<'_>, chunk: u64) {
        if self.catalog.slot(entry.number).is_some() {
            return;
        }
        let listed = self.catalog.listed_slot(entry);
        let slot = Slot { id: entry.id.into(), listed, jobs: entry.jobs.clone(), chunk };
        *self.catalog.place_for(entry.number) = Some(slot);
        self.entries += 1;
    }

    pub fn finish(self) -> Catalog {
        let CatalogLoader { mut catalog, entries } = self;
        let Catalog { slots, ids, scopes, jobs, .. } = &mut catalog;
        let numbered = || slots.iter().enumerate().filter_map(|(at, slot)| Some((index(at), slot.as_ref()?)));
        let by_id = || {
            ids.reserve(entries);
            numbered().for_each(|(number, slot)| ids.insert(slot.id.clone(), number));
        };
        std::thread::scope(|scope| {
            // Where the process may start no more threads, it takes longer, and no more than that.
            if std::thread::Builder::new().spawn_scoped(scope, by_id).is_err() {
                by_id();
            }
            jobs.reserve(entries);
            for (number, slot) in numbered() {
                slot.jobs.iter().for_each(|&job| jobs.entry(job).or_default().push(number));
            }
            // All are sorted at once; the lists get theirs in that order.
            let listed = |(number, slot): (u32, &Slot)| Some((slot.listed?, number));
            let mut sorted: Vec<_> = numbered().filter_map(listed).collect();
            sorted.sort_unstable_by(|(one, number), (other, other_number)| {
                let by_time = other.created_at.cmp(&one.created_at);
                by_time.then_with(|| compare_listed(slots, *number, *other_number))
            });
            let mut lists: Vec<Vec<Place>> = vec![Vec::new(); scopes.end() as usize];
            for (listed, number) in sorted {
                for scope in scopes.with_those_around(listed.project) {
                    lists[scope as usize].push(listed.place(number));
                }
            }
            for (scope, places) in lists.iter().enumerate().filter(|(_, places)| !places.is_empty()) {
                *scopes.order_mut(index(scope)) = Order::from_sorted(places);
            }
        });
        catalog
    }
}
