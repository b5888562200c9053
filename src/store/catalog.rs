//! The catalog: the index in memory that serves the lists. It has every list that a query can select, newest first, with status
//! and kind, the names by which lists are searched and sorted, and the optimizations that link a job. An optimization takes about
//! 300 bytes, and its name as many as it has, 256 at the most.
//!
//! sled limits the speed of a catch-up, so the lists cost it next to nothing: a change appends an entry to a chunk of many (see
//! `journal`), and the catalog is built from the chunks at start.
//!
//! The catalog stands behind one lock, under which nobody walks a list: a reader takes a snapshot of the list and releases the
//! lock.

pub mod chunk;
mod consistency;
mod facets;
pub mod from_records;
mod ids;
mod list;
mod loader;
mod maps;
mod name_orders;
mod names;
mod order;
mod scopes;
mod window;

pub use consistency::ListCheck;
pub use ids::Ids;
pub use list::StatusCount;
pub use loader::CatalogLoader;
pub use name_orders::NameOrders;

use std::cmp::Ordering;
use std::collections::hash_map;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::view_changes::ListScope;
use crate::domain::name_key;
use crate::domain::{Optimization, Status, StatusSet, Timestamp, View, view};
use facets::{Facet, FacetFilter, Kinds};
use maps::{Map, index};
use names::Names;
use order::Place;
use scopes::Scopes;

/// The entry of one stored optimization in the catalog, as it is stored in a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The key of its record in sled, counted up from 0 as optimizations come. Records that change together came together,
    /// so that sled finds them together; ids are random, and random writes are what sled is slowest at.
    pub number: u32,
    pub id: &'a str,
    /// `None` if readers must not see it.
    #[serde(borrow)]
    pub listed: Option<ListEntry<'a>>,
    /// Hashes of the ids of the jobs that it links, now or before.
    pub jobs: SmallVec<[u64; 1]>,
}

/// The part of an entry that lists need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry<'a> {
    pub organization_id: &'a str,
    pub project_id: &'a str,
    pub kind: Option<&'a str>,
    pub status: Option<Status>,
    pub created_at: Timestamp,
    /// The beginning of the name, as far as lists sort and search by it.
    pub name: Option<&'a str>,
}

impl Entry<'_> {
    /// Makes the entry of an optimization.
    pub fn of(optimization: &Optimization, number: u32) -> Entry<'_> {
        let listed = optimization.visible_creation().map(|created| ListEntry {
            organization_id: &created.value.organization_id,
            project_id: &created.value.project_id,
            kind: created.value.kind.as_deref(),
            status: view::status_of(optimization),
            created_at: created.value.created_at,
            name: view::name_of(optimization).map(name_key::beginning),
        });
        let jobs = optimization.links().iter().map(|link| job_hash(&link.job_id)).collect();
        Entry { number, id: &optimization.id, listed, jobs }
    }
}

impl<'a> Entry<'a> {
    /// Makes the entry of an optimization of which only the view is known; `None` for one that readers do not see.
    pub fn of_view(id: &'a str, view: Option<&View<'a>>, number: u32) -> Entry<'a> {
        let listed = view.map(|view| ListEntry {
            organization_id: view.organization_id,
            project_id: view.project_id,
            kind: view.kind,
            status: view.status,
            created_at: view.created_at,
            name: view.name.map(name_key::beginning),
        });
        Entry { number, id, listed, jobs: SmallVec::new() }
    }
}

/// Returns the hash by which a job is looked up. Two jobs of one hash do no harm: the records themselves name their jobs.
pub fn job_hash(job_id: &str) -> u64 {
    xxh3_64(job_id.as_bytes())
}

/// The number that stands for the chunk of an entry that no chunk on disk holds.
const NO_CHUNK: u64 = u64::MAX;

/// All entries in memory, with the indexes by which they are found.
#[derive(Default)]
pub struct Catalog {
    /// Slots by the number of the optimization.
    slots: Vec<Option<Slot>>,
    names: Names,
    ids: Arc<Ids>,
    scopes: Scopes,
    kinds: Kinds,
    jobs: Map<u64, SmallVec<[u32; 2]>>,
}

/// An entry in memory, which shares its texts with others.
struct Slot {
    id: Arc<str>,
    listed: Option<ListSlot>,
    jobs: SmallVec<[u64; 1]>,
    /// The number of the chunk that holds its latest entry, or [`NO_CHUNK`].
    chunk: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct ListSlot {
    created_at: Timestamp,
    /// The number of its project's scope.
    project: u32,
    facet: Facet,
}

impl ListSlot {
    fn place(self, number: u32) -> Place {
        Place { created_millis: self.created_at.millis(), number, facet: self.facet }
    }
}

impl Catalog {
    /// Returns the number of optimizations that readers may see.
    pub fn listed(&self) -> u64 {
        self.order_of(None, None).map_or(0, |all| all.counts().all())
    }

    /// Returns the number of optimizations, listed or not.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number for the next new optimization.
    pub fn next_number(&self) -> u32 {
        index(self.slots.len())
    }

    /// Returns the numbers of the optimizations by id, which are looked up without the catalog's lock.
    pub fn ids(&self) -> Arc<Ids> {
        self.ids.clone()
    }

    /// Returns the number of an optimization, which is the key of its record.
    pub fn number(&self, id: &str) -> Option<u32> {
        self.ids.get(id)
    }

    pub fn id(&self, number: u32) -> Option<Arc<str>> {
        self.slot(number).map(|slot| slot.id.clone())
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// Returns the ids of the optimizations that link a job, now or before; and, very rarely, others.
    pub fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        let numbers = self.jobs.get(&job_hash(job_id)).map(SmallVec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|&number| Some(self.slot(number)?.id.clone())).collect()
    }

    /// Returns the number of the chunk that holds an optimization's latest entry. `None` if no chunk holds one.
    pub fn chunk_of(&self, number: u32) -> Option<u64> {
        self.slot(number).map(|slot| slot.chunk).filter(|chunk| *chunk != NO_CHUNK)
    }

    /// Returns true if `entry` differs from the slot of its optimization.
    pub fn differs(&self, entry: &Entry<'_>) -> bool {
        let Some(slot) = self.slot(entry.number) else { return true };
        if slot.jobs != entry.jobs {
            return true;
        }
        match (&slot.listed, &entry.listed) {
            (None, None) => false,
            (Some(held), Some(new)) => {
                let project = self.scopes.project(held.project);
                held.created_at != new.created_at
                    || !self.has_facet(new, held.facet)
                    || project.project_id.as_deref() != Some(new.project_id)
                    || project.organization_id.as_deref() != Some(new.organization_id)
                    || !self.names.has(entry.number, new.name)
            }
            (None, Some(_)) | (Some(_), None) => true,
        }
    }

    fn has_facet(&self, listed: &ListEntry<'_>, facet: Facet) -> bool {
        let kind = listed.kind.map(|kind| self.kinds.find(kind));
        kind != Some(None) && facet == Facet::new(listed.status, kind.flatten())
    }

    /// Returns true if `entry` takes its optimization out of an organization's lists: its readers may not see it any more.
    pub fn leaves(&self, entry: &Entry<'_>) -> bool {
        let listed = self.slot(entry.number).and_then(|slot| slot.listed);
        listed.is_some_and(|held| {
            let organization_id = self.scopes.project(held.project).organization_id.as_deref();
            entry.listed.as_ref().is_none_or(|new| Some(new.organization_id) != organization_id)
        })
    }

    /// Returns the list that each of these optimizations is in, if its entry will change what lists show.
    pub fn scopes_before(&self, entries: &[Entry<'_>]) -> Vec<Option<ListScope>> {
        entries.iter().map(|entry| self.scope_before(entry)).collect()
    }

    fn scope_before(&self, entry: &Entry<'_>) -> Option<ListScope> {
        self.differs(entry).then(|| self.scope_of(entry.number)).flatten()
    }

    /// Returns the list that an optimization is in.
    pub fn scope_of(&self, number: u32) -> Option<ListScope> {
        let held = self.slot(number)?.listed?;
        let project = self.scopes.project(held.project);
        Some(ListScope {
            organization_id: project.organization_id.clone()?,
            project_id: project.project_id.clone()?,
        })
    }

    /// Removes an optimization from the lists, until its entry is put.
    pub fn unlist(&mut self, number: u32) {
        self.relist(number, None);
    }

    /// Puts an entry of chunk `chunk` in the place of the last one of its optimization.
    pub fn put(&mut self, entry: &Entry<'_>, chunk: u64) {
        let listed = self.listed_slot(entry);
        match self.place_for(entry.number) {
            Some(slot) => slot.chunk = chunk,
            place @ None => {
                let id = Arc::<str>::from(entry.id);
                *place = Some(Slot { id: id.clone(), listed: None, jobs: SmallVec::new(), chunk });
                self.ids.insert(id, entry.number);
            }
        }
        self.names.set(entry.number, entry.listed.as_ref().and_then(|listed| listed.name));
        self.relink(entry.number, &entry.jobs);
        self.relist(entry.number, listed);
    }

    /// Returns the part of a slot that lists need, and adds the scopes and the kind that are missing for it.
    fn listed_slot(&mut self, entry: &Entry<'_>) -> Option<ListSlot> {
        entry.listed.as_ref().map(|listed| ListSlot {
            created_at: listed.created_at,
            project: self.scopes.find_or_add_project(listed.organization_id, listed.project_id),
            facet: Facet::new(listed.status, listed.kind.map(|kind| self.kinds.find_or_add(kind))),
        })
    }

    fn place_for(&mut self, number: u32) -> &mut Option<Slot> {
        let at = number as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        &mut self.slots[at]
    }

    fn relink(&mut self, at: u32, jobs: &SmallVec<[u64; 1]>) {
        let Some(slot) = &mut self.slots[at as usize] else { return };
        if slot.jobs == *jobs {
            return;
        }
        for job in std::mem::replace(&mut slot.jobs, jobs.clone()) {
            if let hash_map::Entry::Occupied(mut linking) = self.jobs.entry(job) {
                linking.get_mut().retain(|slot| *slot != at);
                if linking.get().is_empty() {
                    linking.remove();
                }
            }
        }
        for &job in jobs {
            self.jobs.entry(job).or_default().push(at);
        }
    }

    fn relist(&mut self, number: u32, listed: Option<ListSlot>) {
        let Some(slot) = &self.slots[number as usize] else { return };
        let held = slot.listed;
        if held == listed {
            return;
        }
        let stays = held.filter(|held| {
            listed.is_some_and(|new| new.project == held.project && new.created_at == held.created_at)
        });
        match (stays, listed) {
            (Some(held), Some(new)) => {
                {
                    let compare = by_creation(&self.slots);
                    self.scopes.each_order(held.project, |order| {
                        order.set_facet(held.place(number), new.facet, &compare);
                    });
                }
                self.set_listed(number, listed);
            }
            _ => self.move_place(number, held, listed),
        }
        if let Some(held) = held {
            self.scopes.forget_if_empty(held.project);
            self.forget_kind_if_unused(held.facet);
        }
    }

    fn move_place(&mut self, number: u32, held: Option<ListSlot>, listed: Option<ListSlot>) {
        if let Some(held) = held {
            let compare = by_creation(&self.slots);
            self.scopes.each_order(held.project, |order| order.remove(held.place(number), &compare));
        }
        self.set_listed(number, listed);
        if let Some(new) = listed {
            let compare = by_creation(&self.slots);
            self.scopes.each_order(new.project, |order| order.insert(new.place(number), &compare));
        }
    }

    fn set_listed(&mut self, number: u32, listed: Option<ListSlot>) {
        if let Some(slot) = &mut self.slots[number as usize] {
            slot.listed = listed;
        }
    }

    fn forget_kind_if_unused(&mut self, facet: Facet) {
        let Some(kind) = facet.kind() else { return };
        let of_kind = FacetFilter { statuses: StatusSet::ANY, kind: Some(kind) };
        if self.order_of(None, None).is_none_or(|all| all.counts().passing(of_kind) == 0) {
            self.kinds.forget(kind);
        }
    }
}

/// Returns the comparison of places by creation: the newest first, then by id.
fn by_creation(slots: &[Option<Slot>]) -> impl Fn(&Place, &Place) -> Ordering {
    |one, other| {
        let by_time = other.created_millis.cmp(&one.created_millis);
        by_time.then_with(|| compare_listed(slots, one.number, other.number))
    }
}

/// Compares two listed optimizations by creation: the newest first, then by id.
fn compare_listed(slots: &[Option<Slot>], one: u32, other: u32) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let slot = |number: u32| slots.get(number as usize)?.as_ref();
    let (one, other) = (slot(one), slot(other));
    let created_at = |slot: Option<&Slot>| slot.and_then(|slot| slot.listed).map(|listed| listed.created_at);
    let by_time = created_at(other).cmp(&created_at(one));
    by_time.then_with(|| one.map(|slot| &slot.id).cmp(&other.map(|slot| &slot.id)))
}

#[cfg(test)]
mod tests;
