//! The loader of the catalog at start. It first collects the latest entry of each optimization, and then builds the ids, the
//! jobs and the lists' orders from all of them at once, which takes a fraction of the time of adding them one by one.

use std::ops::Range;

use super::maps::index;
use super::names::Names;
use super::order::{Order, Place};
use super::{Catalog, Entry, Slot, compare_listed};

/// A catalog that is being built.
#[derive(Default)]
pub struct CatalogLoader {
    catalog: Catalog,
    entries: usize,
    /// The texts of all names, one after the other.
    names: String,
    /// The position of each optimization's name in the texts.
    name_ranges: Vec<Option<Range<usize>>>,
}

impl CatalogLoader {
    /// Adds an entry of chunk `chunk`. The newest entry of an optimization must come first: later ones are ignored.
    pub fn put(&mut self, entry: &Entry<'_>, chunk: u64) {
        if self.catalog.slot(entry.number).is_some() {
            return;
        }
        let listed = self.catalog.listed_slot(entry);
        let slot = Slot { id: entry.id.into(), listed, jobs: entry.jobs.clone(), chunk };
        *self.catalog.place_for(entry.number) = Some(slot);
        self.entries += 1;
        if let Some(name) = entry.listed.as_ref().and_then(|listed| listed.name) {
            let at = entry.number as usize;
            self.name_ranges.resize(self.name_ranges.len().max(at + 1), None);
            self.name_ranges[at] = Some(self.names.len()..self.names.len() + name.len());
            self.names.push_str(name);
        }
    }

    pub fn finish(self) -> Catalog {
        let CatalogLoader { mut catalog, entries, names, name_ranges } = self;
        catalog.names = Names::from_names(name_ranges.iter().map(|range| Some(&names[range.clone()?])));
        drop((names, name_ranges));
        let Catalog { slots, ids, scopes, jobs, .. } = &mut catalog;
        let numbered = || slots.iter().enumerate().filter_map(|(at, slot)| Some((index(at), slot.as_ref()?)));
        let by_id = || {
            ids.reserve(entries);
            numbered().for_each(|(number, slot)| ids.insert(slot.id.clone(), number));
        };
        std::thread::scope(|scope| {
            // A process that may start no more threads does it here, which only takes longer.
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
