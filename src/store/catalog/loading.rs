//! Builds the catalog at start. What each optimization's latest entry says is taken first; what is found by that (ids,
//! jobs, the lists' order) is built from all of it at once, which takes a fraction of what adding one by one does.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::{Catalog, Entry, Map, Place, Slot, index};

/// A catalog that is being built.
#[derive(Default)]
pub struct Loading {
    catalog: Catalog,
    entries: usize,
}

impl Loading {
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
        let Loading { mut catalog, entries } = self;
        let Catalog { slots, ids, projects, jobs, listed, .. } = &mut catalog;
        let numbered = || slots.iter().enumerate().filter_map(|(at, slot)| Some((index(at), slot.as_ref()?)));
        let by_id = || {
            let mut ids = Map::with_capacity_and_hasher(entries, Default::default());
            ids.extend(numbered().map(|(number, slot)| (slot.id.clone(), number)));
            ids
        };
        let by_job = || {
            let mut jobs: Map<u64, SmallVec<[u32; 2]>> =
                Map::with_capacity_and_hasher(entries, Default::default());
            for (number, slot) in numbered() {
                slot.jobs.iter().for_each(|&job| jobs.entry(job).or_default().push(number));
            }
            jobs
        };
        std::thread::scope(|scope| {
            // Where the process may start no more threads, it takes longer, and no more than that.
            let building = std::thread::Builder::new().spawn_scoped(scope, by_id);
            *jobs = by_job();
            let mut orders: Vec<Vec<Place>> = projects.iter().map(|_| Vec::new()).collect();
            for (number, slot) in numbered() {
                let Some(held) = slot.listed else { continue };
                let place = Place { created_at: held.created_at, id: slot.id.clone(), slot: number };
                orders[held.project as usize].push(place);
                *projects[held.project as usize].counts.entry((held.status, held.kind)).or_default() += 1;
                *listed += 1;
            }
            for ((_, project), order) in projects.iter_mut().zip(orders) {
                project.order = BTreeSet::from_iter(order);
            }
            *ids = match building {
                Ok(building) => building.join().expect("it does nothing that fails"),
                Err(_) => by_id(),
            };
        });
        catalog
    }
}
