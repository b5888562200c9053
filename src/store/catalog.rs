//! What serves the lists, in memory: which optimizations there are, by project, newest first, with status and kind; and
//! which optimizations link a job. About 250 bytes an optimization.
//!
//! sled is what limits a catch-up, so the lists cost it next to nothing: a change appends an entry to a chunk of many
//! (see `journal`), and this is rebuilt from the chunks at start.

mod checking;
mod loading;

pub use checking::{Tallied, Tally};
pub use loading::Loading;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slab::Slab;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::reader::ListQuery;
use crate::domain::{Optimization, Status, Timestamp, view};

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
    pub listed: Option<Listed<'a>>,
    /// Hashes of the jobs that it links, now or before.
    pub jobs: SmallVec<[u64; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<'a> {
    pub organization_id: &'a str,
    pub project_id: &'a str,
    pub kind: Option<&'a str>,
    pub status: Option<Status>,
    pub created_at: Timestamp,
}

impl Entry<'_> {
    pub fn of(optimization: &Optimization, number: u32) -> Entry<'_> {
        let listed = optimization.shown().map(|created| Listed {
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
    ids: Map<Arc<str>, u32>,
    projects: Slab<Project>,
    /// Organization → project → its place in `projects`.
    project_ids: Map<Arc<str>, Map<Arc<str>, u32>>,
    kinds: Map<Arc<str>, u32>,
    jobs: Map<u64, SmallVec<[u32; 2]>>,
    listed: u64,
}

/// An entry, its texts shared.
struct Slot {
    id: Arc<str>,
    listed: Option<ListedSlot>,
    jobs: SmallVec<[u64; 1]>,
    /// The chunk that holds its latest entry.
    chunk: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct ListedSlot {
    project: u32,
    kind: Option<u32>,
    status: Option<Status>,
    created_at: Timestamp,
}

struct Project {
    organization_id: Arc<str>,
    project_id: Arc<str>,
    /// Newest first, then by id: the order of the lists.
    order: BTreeSet<Place>,
    /// How many there are of each status and kind, so that a total needs no walk.
    counts: Map<(Option<Status>, Option<u32>), u64>,
    /// Counts up, so that whoever counts again in slices sees that it has changed meanwhile.
    changes: u64,
}

#[derive(Clone, PartialEq, Eq)]
struct Place {
    created_at: Timestamp,
    id: Arc<str>,
    slot: u32,
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> std::cmp::Ordering {
        other.created_at.cmp(&self.created_at).then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Catalog {
    /// How many optimizations readers may see.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// How many optimizations there are, seen by readers or not.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The least number that none has.
    pub fn next_number(&self) -> u32 {
        index(self.slots.len())
    }

    /// The key of an optimization's record.
    pub fn number(&self, id: &str) -> Option<u32> {
        self.ids.get(id).copied()
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
                let project = &self.projects[held.project as usize];
                held.status != new.status
                    || held.created_at != new.created_at
                    || held.kind != new.kind.and_then(|kind| self.kinds.get(kind).copied())
                    || *project.project_id != *new.project_id
                    || *project.organization_id != *new.organization_id
            }
            (None, Some(_)) | (Some(_), None) => true,
        }
    }

    /// Whether `entry` takes its optimization out of an organization's lists, where those who saw it may see it no more.
    pub fn leaves(&self, entry: &Entry<'_>) -> bool {
        let listed = self.slot(entry.number).and_then(|slot| slot.listed);
        listed.is_some_and(|held| {
            let organization_id = &*self.projects[held.project as usize].organization_id;
            entry.listed.as_ref().is_none_or(|new| new.organization_id != organization_id)
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

    fn listed_slot(&mut self, entry: &Entry<'_>) -> Option<ListedSlot> {
        entry.listed.as_ref().map(|listed| ListedSlot {
            project: self.project(listed.organization_id, listed.project_id),
            kind: listed.kind.map(|kind| self.kind(kind)),
            status: listed.status,
            created_at: listed.created_at,
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
            if let Some(linking) = self.jobs.get_mut(&job) {
                linking.retain(|slot| *slot != at);
            }
        }
        for &job in jobs {
            self.jobs.entry(job).or_default().push(at);
        }
    }

    fn relist(&mut self, at: u32, listed: Option<ListedSlot>) {
        let Some(slot) = &mut self.slots[at as usize] else { return };
        let held = std::mem::replace(&mut slot.listed, listed);
        if held == listed {
            return;
        }
        let id = slot.id.clone();
        let place = |listed: ListedSlot| Place { created_at: listed.created_at, id: id.clone(), slot: at };
        let stays = matches!((held, listed), (Some(held), Some(new))
            if held.project == new.project && held.created_at == new.created_at);
        if let Some(held) = held {
            let project = &mut self.projects[held.project as usize];
            project.changes += 1;
            if !stays {
                project.order.remove(&place(held));
            }
            if let Some(count) = project.counts.get_mut(&(held.status, held.kind)) {
                *count -= 1;
            }
            self.listed -= 1;
        }
        if let Some(new) = listed {
            let project = &mut self.projects[new.project as usize];
            project.changes += 1;
            if !stays {
                project.order.insert(place(new));
            }
            *project.counts.entry((new.status, new.kind)).or_default() += 1;
            self.listed += 1;
        }
    }

    fn project(&mut self, organization_id: &str, project_id: &str) -> u32 {
        if let Some(project) = self.find_project(organization_id, project_id) {
            return project;
        }
        let (organization_id, project_id) = (Arc::<str>::from(organization_id), Arc::<str>::from(project_id));
        let project = index(self.projects.insert(Project {
            organization_id: organization_id.clone(),
            project_id: project_id.clone(),
            order: BTreeSet::new(),
            counts: Map::default(),
            changes: 0,
        }));
        self.project_ids.entry(organization_id).or_default().insert(project_id, project);
        project
    }

    fn find_project(&self, organization_id: &str, project_id: &str) -> Option<u32> {
        self.project_ids.get(organization_id)?.get(project_id).copied()
    }

    fn kind(&mut self, kind: &str) -> u32 {
        match self.kinds.get(kind) {
            Some(&number) => number,
            None => {
                let number = index(self.kinds.len());
                self.kinds.insert(kind.into(), number);
                number
            }
        }
    }

    /// The numbers of the optimizations on a page, then `spare` of those that follow, and how many the filters let through on
    /// all pages.
    pub fn page(&self, query: &ListQuery<'_>, spare: usize) -> (Vec<u32>, u64) {
        let kind = match query.kind.map(|kind| self.kinds.get(kind)) {
            None => None,
            Some(Some(&kind)) => Some(kind),
            Some(None) => return (Vec::new(), 0),
        };
        let projects: Vec<&Project> = self.projects_of(query);
        let counted = |(&(status, held), &count): (&(Option<Status>, Option<u32>), &u64)| {
            let counts = query.status.is_none_or(|wanted| status == Some(wanted))
                && kind.is_none_or(|wanted| held == Some(wanted));
            if counts { count } else { 0 }
        };
        let total = projects.iter().flat_map(|project| project.counts.iter().map(counted)).sum();
        let unfiltered = query.status.is_none() && kind.is_none();
        let passes = |place: &&Place| {
            unfiltered
                || self.slot(place.slot).and_then(|slot| slot.listed).is_some_and(|listed| {
                    query.status.is_none_or(|wanted| listed.status == Some(wanted))
                        && kind.is_none_or(|wanted| listed.kind == Some(wanted))
                })
        };
        // None is looked for where the totals say that there are no more.
        let left = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(query.offset);
        if left == 0 {
            return (Vec::new(), total);
        }
        let places = merged(&projects).filter(passes).skip(query.offset).take(left.min(query.limit + spare));
        (places.map(|place| place.slot).collect(), total)
    }

    fn projects_of(&self, query: &ListQuery<'_>) -> Vec<&Project> {
        if let (Some(organization_id), Some(project_id)) = (query.organization_id, query.project_id) {
            let project = self.find_project(organization_id, project_id);
            return project.map(|project| &self.projects[project as usize]).into_iter().collect();
        }
        let wanted = |project: &&Project| {
            query.organization_id.is_none_or(|id| *project.organization_id == *id)
                && query.project_id.is_none_or(|id| *project.project_id == *id)
        };
        self.projects.iter().map(|(_, project)| project).filter(wanted).collect()
    }
}

/// The places of several projects in one order.
fn merged<'a>(projects: &[&'a Project]) -> Box<dyn Iterator<Item = &'a Place> + 'a> {
    match projects {
        [] => Box::new(std::iter::empty()),
        [project] => Box::new(project.order.iter()),
        _ => Box::new(itertools::kmerge(projects.iter().map(|project| project.order.iter()).collect::<Vec<_>>())),
    }
}

/// There are fewer than 2^32 of anything here: each takes 100 bytes and more.
fn index(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 optimizations fit into memory")
}
