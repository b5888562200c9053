//! What `verify` asks of the catalog. Each call takes no longer than a read of a page does.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::{Catalog, Map, Place, index};
use crate::domain::Status;

/// A project's list, counted again, slice by slice.
#[derive(Default)]
pub struct Tally {
    /// The project's changes when it was begun.
    changes: Option<u64>,
    last: Option<Place>,
    counts: Map<(Option<Status>, Option<u32>), u64>,
}

/// How a slice of a tally ended.
pub enum Tallied {
    More,
    /// The project has changed since it was begun.
    Changed,
    /// All is counted. The project and what is wrong with it, if anything is.
    All(Option<(String, String)>),
}

impl Catalog {
    /// The id of the optimization that has a number.
    pub fn id_of(&self, number: u32) -> Option<Arc<str>> {
        self.slot(number).map(|slot| slot.id.clone())
    }

    /// Which projects there are, to be asked about.
    pub fn projects(&self) -> Vec<usize> {
        self.projects.iter().map(|(at, _)| at).collect()
    }

    /// How many optimizations stand in the lists of all projects.
    pub fn sum_of_lists(&self) -> u64 {
        self.projects.iter().map(|(_, project)| project.order.len() as u64).sum()
    }

    /// How what is found by an optimization's entry does not lead back to it.
    pub fn inconsistency(&self, number: u32) -> Option<String> {
        let slot = self.slot(number)?;
        if self.ids.get(&slot.id) != Some(&number) {
            return Some("its id is not found in the catalog".to_owned());
        }
        let is_lost = |job: &u64| !self.jobs.get(job).is_some_and(|linking| linking.contains(&number));
        if slot.jobs.iter().any(is_lost) {
            return Some("it is not found by the job that it links".to_owned());
        }
        let listed = slot.listed?;
        let place = Place { created_at: listed.created_at, id: slot.id.clone(), slot: number };
        let in_list =
            self.projects.get(listed.project as usize).is_some_and(|project| project.order.contains(&place));
        (!in_list).then(|| "it is not in its project's list".to_owned())
    }

    /// Counts `most` more places of a project's list.
    pub fn tally(&self, project: usize, tally: &mut Tally, most: usize) -> Tallied {
        let Some(held) = self.projects.get(project) else { return Tallied::All(None) };
        if *tally.changes.get_or_insert(held.changes) != held.changes {
            return Tallied::Changed;
        }
        let from = tally.last.take().map_or(Unbounded, Excluded);
        let name = || format!("{} of {}", held.project_id, held.organization_id);
        let mut counted = 0;
        for place in held.order.range((from, Unbounded)).take(most) {
            let listed = self.slot(place.slot).and_then(|slot| slot.listed);
            let Some(listed) = listed.filter(|listed| listed.project == index(project)) else {
                let problem = format!("its list holds {}, which is not listed there", place.id);
                return Tallied::All(Some((name(), problem)));
            };
            *tally.counts.entry((listed.status, listed.kind)).or_default() += 1;
            tally.last = Some(place.clone());
            counted += 1;
        }
        if counted == most {
            return Tallied::More;
        }
        let counts: Map<_, _> =
            held.counts.iter().filter(|(_, count)| **count > 0).map(|(key, count)| (*key, *count)).collect();
        let problem =
            (counts != tally.counts).then(|| "its totals by status and kind are not those of its list".to_owned());
        Tallied::All(problem.map(|problem| (name(), problem)))
    }
}
