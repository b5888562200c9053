//! The working set is the records in memory: those touched lately, changed or not. Folding works on these only.
//! The caller loads missing records and writes changed ones.
//!
//! A job's state lives inside the optimization that links it, if that is the only one that ever did and links it
//! now (its *home*; nearly always). Otherwise it is *parked* under the job's own id, and the optimizations that
//! link the job now hold copies. So every optimization is one self-contained record, and nothing is lost that
//! comes early, late, or for a job that was replaced.
//!
//! Each record is written after it has rested for a while, so that the store may hold two records of one job as of
//! different times, and a crash may leave them so. This is safe because one stored record, the parked state or the
//! copy in an optimization that links the job now, always contains the whole state of the checkpoint, and loading
//! joins them.

mod changes;
mod invariants;
#[cfg(test)]
mod tests;

use std::hint::black_box;
use std::sync::Arc;

use slab::Slab;
use smallvec::SmallVec;

use super::event::{Body, Event};
use super::id_index::IdIndex;
use super::job::Job;
use super::optimization::Optimization;

/// The key of a record that the fold needs in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    /// The optimization with this id.
    Optimization(Arc<str>),
    /// The parked job, and every optimization that links it.
    Job(Arc<str>),
}

/// The changes of a batch as a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// The optimizations that changed, each whole and once.
    pub optimizations: Vec<Arc<Optimization>>,
    /// Pairs of a job's id and its parked state, which is `None` if the job is no longer parked. States must be
    /// written before the optimizations, and removals carried out after them: a job may be among both.
    pub jobs: Vec<(Arc<str>, Option<Arc<Job>>)>,
}

impl Commit {
    /// Returns true if nothing has to be written.
    pub fn is_empty(&self) -> bool {
        self.optimizations.is_empty() && self.jobs.is_empty()
    }
}

/// The records in memory, as the module's documentation describes them.
#[derive(Default)]
pub struct WorkingSet {
    pub(super) optimizations: Slab<OptimizationSlot>,
    pub(super) jobs: Slab<JobSlot>,
    optimization_ids: IdIndex,
    job_ids: IdIndex,
    dirty_optimizations: Vec<usize>,
    dirty_jobs: Vec<usize>,
    /// Number of the present epoch. Each slot keeps the epoch in which it was last touched.
    epoch: u32,
    /// Number of commits taken. Each slot keeps the commit that last contained it.
    commits: u64,
    changed_again: ChangedAgain,
    /// True while an optimization also counts as changed that an event is about and does not change.
    marks_unchanged: bool,
}

/// Numbers of optimizations that changed again after a commit contained them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangedAgain {
    /// Those whose job had ended by that commit.
    pub ended: usize,
    /// All others.
    pub under_way: usize,
}

pub(super) struct OptimizationSlot {
    pub(super) record: Arc<Optimization>,
    dirty: bool,
    /// True if the job has ended, as far as its last event in memory shows. Little is to come then.
    has_ended: bool,
    touched_epoch: u32,
    committed_in: u64,
    /// True if the job had ended by that commit.
    committed_ended: bool,
}

pub(super) struct JobSlot {
    pub(super) id: Arc<str>,
    /// True if all optimizations that link the job are in memory and in `claimants`, and `parked` is known.
    pub(super) ready: bool,
    parked_known: bool,
    pub(super) claimants: SmallVec<[usize; 1]>,
    /// The only claimant, if it also links the job now.
    pub(super) home: Option<usize>,
    pub(super) parked: Option<Arc<Job>>,
    /// Optimizations that held the state, do so no longer, and have not been written since. The slot stays dirty
    /// while there are any.
    left_unwritten: SmallVec<[usize; 1]>,
    /// True if the store has a parked state under this id.
    stored: bool,
    dirty: bool,
    touched_epoch: u32,
    committed_in: u64,
}

impl WorkingSet {
    /// Returns true if the optimization with this id is in memory, even if nothing is known of it.
    pub fn holds_optimization(&self, id: &str) -> bool {
        self.optimization_slot(id).is_some()
    }

    /// Number of records in memory: optimizations and parked jobs.
    pub fn weight(&self) -> usize {
        let parked = self.jobs.iter().filter(|(_, job)| job.parked.is_some()).count();
        self.optimizations.len() + parked
    }

    /// Size in bytes of those texts in memory that producers may make long. Reads every record.
    pub fn text_len(&self) -> usize {
        let optimizations = self.optimizations.iter().map(|(_, slot)| slot.record.text_len());
        let parked = self.jobs.iter().filter_map(|(_, slot)| slot.parked.as_ref()).map(|job| job.text_len());
        optimizations.sum::<usize>() + parked.sum::<usize>()
    }

    /// Returns true if every change is in a commit that was taken.
    pub fn is_clean(&self) -> bool {
        self.dirty_optimizations.is_empty() && self.dirty_jobs.is_empty()
    }

    /// Number of optimizations and jobs that changed and were in no commit since.
    pub fn changed(&self) -> usize {
        self.dirty_optimizations.len() + self.dirty_jobs.len()
    }

    /// Adds an optimization as the store has it.
    pub fn load_optimization(&mut self, id: &Arc<str>, stored: Option<Optimization>) {
        if self.holds_optimization(id) {
            return;
        }
        let record = Arc::new(stored.unwrap_or_else(|| Optimization::new(id.clone())));
        let entry = self.optimizations.vacant_entry();
        let slot = entry.key();
        entry.insert(OptimizationSlot {
            record: record.clone(),
            dirty: false,
            has_ended: record.job.has_ended(),
            touched_epoch: self.epoch,
            committed_in: 0,
            committed_ended: false,
        });
        self.optimization_ids.insert(&record.id, slot);
        for link in record.links() {
            let job = self.job_slot_or_new(&link.job_id);
            self.jobs[job].claimants.push(slot);
        }
    }

    /// Adds the state that the store has parked under a job's id. Every optimization that links the job must have
    /// been loaded before.
    pub fn load_job(&mut self, id: &Arc<str>, parked: Option<Job>) {
        let slot = self.job_slot_or_new(id);
        let job = &mut self.jobs[slot];
        if !job.parked_known {
            job.stored = parked.is_some();
            job.parked = parked.map(Arc::new);
            job.parked_known = true;
        }
        job.ready = true;
        let home = self.home_of(slot);
        self.jobs[slot].home = home;
        self.join_states(slot);
    }

    /// Joins the job's states: a crash may have left them in several records, each as of another time.
    fn join_states(&mut self, job: usize) {
        let JobSlot { id, home, parked, claimants, .. } = &self.jobs[job];
        let linking: SmallVec<[usize; 1]> =
            claimants.iter().copied().filter(|&claimant| self.links_now(claimant, id)).collect();
        if linking.is_empty() || (home.is_some() && parked.is_none()) {
            return;
        }
        let home = *home;
        let mut state = parked.as_deref().cloned().unwrap_or_default();
        linking.iter().for_each(|&claimant| state.join(&self.optimizations[claimant].record.job));
        for claimant in linking {
            if self.optimizations[claimant].record.job != state {
                self.change_optimization(claimant).job = state.clone();
            }
        }
        let parked = (home.is_none() && !state.is_empty()).then(|| Arc::new(state));
        if self.jobs[job].parked != parked {
            self.change_job(job).parked = parked;
        }
    }

    /// Sets whether an optimization also counts as changed that an event is about and does not change.
    pub fn set_marks_unchanged(&mut self, marks_unchanged: bool) {
        self.marks_unchanged = marks_unchanged;
    }

    /// Notes that an event is about an optimization that it does not change.
    pub(super) fn note_unchanged(&mut self, slot: usize) {
        if self.marks_unchanged {
            self.change_optimization(slot);
        }
    }

    /// Number of the last commit taken, counted from 1.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Takes the numbers of optimizations that changed again after a commit contained them, since the last call.
    pub fn take_changed_again(&mut self) -> ChangedAgain {
        std::mem::take(&mut self.changed_again)
    }

    /// Starts a new epoch and returns its number.
    pub fn next_epoch(&mut self) -> u32 {
        self.epoch += 1;
        self.epoch
    }

    /// Drops the records that are unchanged, were last touched before `before_epoch`, and are in the store since
    /// commit `written` or an earlier one.
    pub fn evict(&mut self, before_epoch: u32, written: u64) {
        let old: Vec<usize> = self
            .optimizations
            .iter()
            .filter(|(_, slot)| !slot.dirty && slot.touched_epoch < before_epoch && slot.committed_in <= written)
            .map(|(at, _)| at)
            .collect();
        for at in old {
            let slot = self.optimizations.remove(at);
            self.optimization_ids.remove(&slot.record.id, at);
            for link in slot.record.links() {
                if let Some(job) = self.job_slot(&link.job_id) {
                    let job = &mut self.jobs[job];
                    job.claimants.retain(|claimant| *claimant != at);
                    (job.ready, job.home) = (false, None);
                }
            }
        }
        let Self { jobs, job_ids, .. } = self;
        jobs.retain(|at, slot| {
            let kept = slot.dirty
                || !slot.claimants.is_empty()
                || slot.touched_epoch >= before_epoch
                || slot.committed_in > written;
            if !kept {
                job_ids.remove(&slot.id, at);
            }
            kept
        });
    }

    pub(super) fn optimization_slot(&self, id: &str) -> Option<usize> {
        self.optimization_ids.find(id, |slot| *self.optimizations[slot].record.id == *id)
    }

    /// Returns the job's slot if everything that the job's events may change is in memory.
    pub(super) fn ready_job_slot(&self, id: &str) -> Option<usize> {
        self.job_slot(id).filter(|&slot| self.jobs[slot].ready)
    }

    fn job_slot(&self, id: &str) -> Option<usize> {
        self.job_ids.find(id, |slot| *self.jobs[slot].id == *id)
    }

    /// Prefetches the records of these events into the processor's cache. Each step on the way to a record waits
    /// for memory; here all events take each step together, so that the waits overlap.
    pub fn warm<'a>(&self, events: impl Iterator<Item = &'a Event<'a>>) {
        let hashes: Vec<u64> = events
            .filter_map(|event| match &event.body {
                Body::Job { job_id, .. } | Body::Run { job_id, .. } => Some(job_id.as_ref()),
                Body::Optimization { .. } => None,
            })
            .map(|id| self.job_ids.hash(id))
            .collect();
        let slots: Vec<usize> = hashes.iter().filter_map(|&hash| self.job_ids.likely(hash)).collect();
        let ready = slots.iter().map(|&slot| &self.jobs[slot]).filter(|job| job.ready);
        let homes: Vec<usize> = ready.filter_map(|job| job.home).collect();
        let records: Vec<&Arc<Optimization>> =
            homes.iter().map(|&home| &self.optimizations[home].record).collect();
        black_box(slots.iter().fold(0, |sum, &slot| sum ^ self.jobs[slot].id.as_bytes()[0]));
        // A change of a record looks first whether it is shared.
        black_box(records.iter().fold(0, |sum, record| sum ^ Arc::strong_count(record)));
        black_box(records.iter().fold(0, |sum, record| sum ^ record.job.prefetch()));
        black_box(records.iter().fold(0, |sum, record| sum ^ record.id.as_bytes()[0]));
    }

    /// Returns the record for changing, and marks it dirty.
    pub(super) fn change_optimization(&mut self, slot: usize) -> &mut Optimization {
        let held = &mut self.optimizations[slot];
        held.touched_epoch = self.epoch;
        if !held.dirty {
            held.dirty = true;
            self.dirty_optimizations.push(slot);
            let is_again = usize::from(held.committed_in > 0);
            match held.committed_ended {
                true => self.changed_again.ended += is_again,
                false => self.changed_again.under_way += is_again,
            }
        }
        Arc::make_mut(&mut held.record)
    }

    /// Notes whether the optimization's job has ended.
    pub(super) fn note_end(&mut self, slot: usize, has_ended: bool) {
        self.optimizations[slot].has_ended = has_ended;
    }

    /// Notes that an optimization that must be written no longer holds the job's state.
    pub(super) fn note_left(&mut self, job: usize, optimization: usize) {
        let job = self.change_job(job);
        if !job.left_unwritten.contains(&optimization) {
            job.left_unwritten.push(optimization);
        }
    }

    /// Returns the job's slot for changing its parked state, and marks it dirty.
    pub(super) fn change_job(&mut self, slot: usize) -> &mut JobSlot {
        let held = &mut self.jobs[slot];
        held.touched_epoch = self.epoch;
        if !held.dirty {
            held.dirty = true;
            self.dirty_jobs.push(slot);
        }
        held
    }

    /// Returns the optimization that the job lives in; `None` if it is parked.
    pub(super) fn home_of(&self, job: usize) -> Option<usize> {
        let job = &self.jobs[job];
        match job.claimants[..] {
            [only] if self.links_now(only, &job.id) => Some(only),
            _ => None,
        }
    }

    pub(super) fn links_now(&self, optimization: usize, job_id: &str) -> bool {
        self.optimizations[optimization].record.linked_job().is_some_and(|linked| **linked == *job_id)
    }

    fn job_slot_or_new(&mut self, id: &Arc<str>) -> usize {
        if let Some(slot) = self.job_slot(id) {
            return slot;
        }
        let slot = self.jobs.insert(JobSlot {
            id: id.clone(),
            ready: false,
            parked_known: false,
            claimants: SmallVec::new(),
            home: None,
            parked: None,
            left_unwritten: SmallVec::new(),
            stored: false,
            dirty: false,
            touched_epoch: self.epoch,
            committed_in: 0,
        });
        self.job_ids.insert(id, slot);
        slot
    }
}
