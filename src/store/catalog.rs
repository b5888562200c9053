//! What serves the lists, in memory: which optimizations there are, in every list that can be asked for, newest first, with
//! status and kind; and which optimizations link a job. About 300 bytes an optimization.
//!
//! sled is what limits a catch-up, so the lists cost it next to nothing: a change appends an entry to a chunk of many
//! (see `journal`), and this is rebuilt from the chunks at start.
//!
//! It stands behind one lock, under which nobody walks a list: a reader takes a snapshot of the list and lets go of the lock.

mod consistency;
mod facets;
mod ids;
mod list;
mod loader;
mod order;
mod scopes;

pub use consistency::ListCheck;
pub use ids::Ids;
pub use loader::CatalogLoader;

use std::cmp::Ordering;
use std::collections::{HashMap, hash_map};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{Optimization, Status, Timestamp, view};
use facets::{Facet, FacetFilter, Kinds};
use order::{Order, Place};
use scopes::Scopes;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What the catalog knows of one stored optimization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The key of its record in sled, counted up from 0 as optimizations come. What changes together came together, so
    /// that sled finds it together; ids are random, and random writes are what sled is slowest at.
    pub number: u32,
    pub id: &'a str,
    /// `None` where readers must not see it.
    #[serde(borrow)]
    pub listed: Option<ListEntry<'a>>,
    /// Hashes of the jobs that it links, now or before.
    pub jobs: SmallVec<[u64; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry<'a> {
    pub organization_id: &'a str,
    pub project_id: &'a str,
    pub kind: Option<&'a str>,
    pub status: Option<Status>,
    pub created_at: Timestamp,
}

impl Entry<'_> {
    pub fn of(optimization: &Optimization, number: u32) -> Entry<'_> {
        let listed = optimization.shown().map(|created| ListEntry {
            organization_id: &created.value.organization_id,
            project_id: &created.value.project_id,
            kind: created.value.kind.as_deref(),
            status: view::status_of(optimization),
            created_at: created.value.created_at,
        });
        let jobs = optimization.links().iter().map(|link| job_hash(&link.job_id)).collect();
        Entry { number, id: &optimization.id, listed, jobs }
    }
}

/// What a job is looked up by. Two jobs of one hash do no harm: the records themselves name their jobs.
pub fn job_hash(job_id: &str) -> u64 {
    xxh3_64(job_id.as_bytes())
}

#[derive(Default)]
pub struct Catalog {
    /// By number.
    slots: Vec<Option<Slot>>,
    ids: Arc<Ids>,
    scopes: Scopes,
    kinds: Kinds,
    jobs: Map<u64, SmallVec<[u32; 2]>>,
}

/// An entry, its texts shared.
struct Slot {
    id: Arc<str>,
    listed: Option<ListSlot>,
    jobs: SmallVec<[u64; 1]>,
    /// The chunk that holds its latest entry.
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
    /// How many optimizations readers may see.
    pub fn listed(&self) -> u64 {
        self.order_of(None, None).map_or(0, |all| all.counts().all())
    }

    /// How many optimizations there are, seen by readers or not.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The least number that none has.
    pub fn next_number(&self) -> u32 {
        index(self.slots.len())
    }

    /// The keys of the optimizations' records, for who needs no more of the catalog.
    pub fn ids(&self) -> Arc<Ids> {
        self.ids.clone()
    }

    /// The key of an optimization's record.
    pub fn number(&self, id: &str) -> Option<u32> {
        self.ids.get(id)
    }

    pub fn id(&self, number: u32) -> Option<Arc<str>> {
        self.slot(number).map(|slot| slot.id.clone())
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// The optimizations that link a job, now or before; and, very rarely, others.
    pub fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        let numbers = self.jobs.get(&job_hash(job_id)).map(SmallVec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|&number| Some(self.slot(number)?.id.clone())).collect()
    }

    /// The chunk that holds an optimization's latest entry.
    pub fn chunk_of(&self, number: u32) -> Option<u64> {
        self.slot(number).map(|slot| slot.chunk)
    }

    /// Whether `entry` says anything new.
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
            }
            (None, Some(_)) | (Some(_), None) => true,
        }
    }

    fn has_facet(&self, listed: &ListEntry<'_>, facet: Facet) -> bool {
        let kind = listed.kind.map(|kind| self.kinds.find(kind));
        kind != Some(None) && facet == Facet::new(listed.status, kind.flatten())
    }

    /// Whether `entry` takes its optimization out of an organization's lists, where those who saw it may see it no more.
    pub fn leaves(&self, entry: &Entry<'_>) -> bool {
        let listed = self.slot(entry.number).and_then(|slot| slot.listed);
        listed.is_some_and(|held| {
            let organization_id = self.scopes.project(held.project).organization_id.as_deref();
            entry.listed.as_ref().is_none_or(|new| Some(new.organization_id) != organization_id)
        })
    }

    /// Takes an optimization out of the lists, until its entry is put.
    pub fn unlist(&mut self, number: u32) {
        self.relist(number, None);
    }

    /// Takes an entry that stands in `chunk`.
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
        self.relink(entry.number, &entry.jobs);
        self.relist(entry.number, listed);
    }

    /// An entry's part in the lists, for which there is a scope from now on.
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
        let stays = |held: &ListSlot| {
            listed.is_some_and(|new| new.project == held.project && new.created_at == held.created_at)
        };
        match (held.filter(stays), listed) {
            (Some(held), Some(new)) => {
                let compare = |one, other| compare_listed(&self.slots, one, other);
                let set = |order: &mut Order| order.set_facet(held.place(number), new.facet, &compare);
                self.scopes.each_order(held.project, set);
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
            let compare = |one, other| compare_listed(&self.slots, one, other);
            self.scopes.each_order(held.project, |order| order.remove(held.place(number), &compare));
        }
        self.set_listed(number, listed);
        if let Some(new) = listed {
            let compare = |one, other| compare_listed(&self.slots, one, other);
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
        let of_kind = FacetFilter { status: None, kind: Some(kind) };
        if self.order_of(None, None).is_none_or(|all| all.counts().passing(of_kind) == 0) {
            self.kinds.forget(kind);
        }
    }
}

/// How two optimizations that are listed stand in every list: the newest first, then by id.
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

/// There are fewer than 2^32 of anything here: each takes 100 bytes and more.
fn index(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 optimizations fit into memory")
}

#[cfg(test)]
mod tests;
