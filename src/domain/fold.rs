//! The fold joins one event into the records in memory. It is total and pure. Applying an event means taking
//! maxima, so that any order, repetition and batching of the same events gives the same records.

use std::sync::Arc;

use smallvec::SmallVec;

use super::event::{Body, Envelope, JobChange, OptimizationChange};
use super::job::{self, Job};
use super::optimization::{CreationFacts, Optimization, OptimizationPart};
use super::outranking::Outranking;
use super::position::Topic;
use super::register::Register;
use super::stamp::{Stamp, Version};
use super::working_set::{RecordKey, WorkingSet};

/// The result of applying an event.
#[derive(Debug, PartialEq)]
pub enum FoldStep {
    /// The event was applied, with these effects.
    Done(Effects),
    /// Nothing was changed. The caller must load this record and apply the event again.
    Needs(RecordKey),
}

/// The effects of an event that operators want counted. They belong to no record: a replayed event has the same
/// effects again, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The event changed something in memory.
    pub changed: bool,
    /// The event is of a job that no optimization links yet.
    pub unlinked: bool,
    /// The event names another optimization than the one that links its job.
    pub mismatched: bool,
    /// The job should not have taken this status.
    pub irregular: bool,
    /// The event deletes an optimization that was never created, nor deleted before.
    pub deleted_nothing: bool,
    /// An event that lost although it is newer, which is nearly always the applied one. A replay of the same event
    /// does not set it again.
    pub outranked: Option<Box<Outranking>>,
}

/// Joins one event into the records in memory.
pub fn apply(working: &mut WorkingSet, envelope: &Envelope<'_>) -> FoldStep {
    let Envelope { event, position, written_millis, .. } = envelope;
    let metadata = &event.metadata;
    let stamp = |rank| Stamp::new(metadata, rank, *position).written_at(*written_millis);
    match &event.body {
        Body::Optimization { optimization_id, change } => {
            let Some(slot) = working.optimization_slot(optimization_id) else {
                return FoldStep::Needs(RecordKey::Optimization(Arc::from(optimization_id.as_ref())));
            };
            apply_to_optimization(working, slot, change, stamp(0))
        }
        Body::Job { job_id, optimization_id, change } => {
            apply_to_job(working, job_id, optimization_id.as_deref(), |job| {
                let effects = apply_status(job, change, stamp(change.status().rank()), job_id);
                (effects, Some(job.has_ended()))
            })
        }
        Body::Run { job_id, run_index, optimization_id, change } => {
            // All events of a run mean the same to the view: the run exists.
            apply_to_job(working, job_id, optimization_id.as_deref(), |job| {
                let changed = job.apply_run(*run_index, change, metadata, *position);
                (Effects { changed, ..Effects::default() }, None)
            })
        }
    }
}

/// Joins one event into records of which there is no store: a record that is not in memory does not exist.
pub fn apply_in_memory(working: &mut WorkingSet, envelope: &Envelope<'_>) -> Effects {
    loop {
        match apply(working, envelope) {
            FoldStep::Done(effects) => return effects,
            FoldStep::Needs(RecordKey::Optimization(id)) => working.load_optimization(&id, None),
            FoldStep::Needs(RecordKey::Job(id)) => working.load_job(&id, None),
        }
    }
}

fn apply_status(job: &mut Job, change: &JobChange<'_>, stamp: Stamp, job_id: &str) -> Effects {
    let version = stamp.version.clone();
    let known = job.outranked().map(|(event, _)| event.version.clone());
    let changed = job.apply(change, stamp);
    let history = job.history();
    let at = history.binary_search_by(|held| held.stamp.version.cmp(&version));
    let irregular = changed && at.is_ok_and(|at| job::is_irregular(history, at));
    let outranked = job.outranked().filter(|(event, _)| known.as_ref() != Some(&event.version));
    let outranked = outranked.map(|(event, winner)| {
        // The outranked event may be an earlier one that the applied event has just overtaken.
        let held = history.iter().find(|held| held.stamp.version == event.version);
        let kind = held.map_or(change.status(), |held| held.status).as_str();
        outranked_event(Topic::Jobs, kind, job_id, event, winner)
    });
    Effects { changed, irregular, outranked, ..Effects::default() }
}

fn outranked_event(topic: Topic, kind: &'static str, id: &str, event: &Stamp, winner: &Stamp) -> Box<Outranking> {
    Box::new(Outranking { topic, kind, id: id.into(), event: event.clone(), winner: winner.clone() })
}

/// Applies an event of a job. `change` returns its effects and, if it gives the job a status, whether the job has ended.
fn apply_to_job(
    working: &mut WorkingSet,
    job_id: &str,
    named: Option<&str>,
    change: impl FnOnce(&mut Job) -> (Effects, Option<bool>),
) -> FoldStep {
    let Some(slot) = working.ready_job_slot(job_id) else {
        return FoldStep::Needs(RecordKey::Job(Arc::from(job_id)));
    };
    if let Some(home) = working.jobs[slot].home {
        let record = working.change_optimization(home);
        let (mut effects, has_ended) = change(&mut record.job);
        if let Some(named) = named {
            effects.mismatched = *named != *record.id;
            effects.changed |= match effects.mismatched {
                true => record.job.name(named),
                false => record.job.note_named_home(&record.id),
            };
        }
        if let Some(has_ended) = has_ended {
            working.note_end(home, has_ended);
        }
        return FoldStep::Done(effects);
    }
    let parked = working.change_job(slot).parked.get_or_insert_default();
    let job = Arc::make_mut(parked);
    let (mut effects, _) = change(job);
    if let Some(named) = named {
        effects.changed |= job.name(named);
    }
    let parked = parked.clone();
    let claimants = working.jobs[slot].claimants.clone();
    effects.unlinked = claimants.is_empty();
    for claimant in claimants {
        effects.mismatched |= named.is_some_and(|named| *named != *working.optimizations[claimant].record.id);
        if working.links_now(claimant, job_id) {
            working.change_optimization(claimant).job = Job::clone(&parked);
        }
    }
    FoldStep::Done(effects)
}

fn apply_to_optimization(
    working: &mut WorkingSet,
    slot: usize,
    change: &OptimizationChange<'_>,
    stamp: Stamp,
) -> FoldStep {
    let record = &working.optimizations[slot].record;
    let known: Vec<(OptimizationPart, Version)> =
        record.outranked().map(|(part, event, _)| (part, event.version.clone())).collect();
    let deletes = matches!(change, OptimizationChange::Deleted);
    let deleted_nothing = deletes && record.created.is_none() && record.deleted.is_none();
    let version = stamp.version.clone();
    let mut effects = match apply_change(working, slot, change, stamp) {
        FoldStep::Done(effects) => effects,
        needs => return needs,
    };
    effects.deleted_nothing = deleted_nothing;
    let record = &working.optimizations[slot].record;
    let is_known =
        |part, event: &Stamp| known.iter().any(|(held, version)| *held == part && *version == event.version);
    let outranked = record.outranked().find(|(part, event, _)| !is_known(*part, event));
    effects.outranked = outranked.map(|(part, event, winner)| {
        let kind = if event.version == version { change.into() } else { record.kind_of(part, event) };
        outranked_event(Topic::Optimizations, kind.into(), &record.id, event, winner)
    });
    FoldStep::Done(effects)
}

fn apply_change(working: &mut WorkingSet, slot: usize, change: &OptimizationChange<'_>, stamp: Stamp) -> FoldStep {
    let mut linked = Effects::default();
    if let OptimizationChange::Created(created) = change
        && let Some(job_id) = &created.job_id
    {
        match apply_link(working, slot, &Arc::from(job_id.as_ref()), stamp.clone()) {
            FoldStep::Done(effects) => linked = effects,
            needs => return needs,
        }
    }
    if let OptimizationChange::JobLinked { job_id } = change {
        return apply_link(working, slot, &Arc::from(job_id.as_ref()), stamp);
    }
    let changed = apply_to_record(working.change_optimization(slot), change, stamp);
    FoldStep::Done(Effects { changed: changed || linked.changed, ..linked })
}

fn apply_to_record(record: &mut Optimization, change: &OptimizationChange<'_>, stamp: Stamp) -> bool {
    let set = |register: &mut Option<Box<Register<Box<str>>>>, text: &Option<std::borrow::Cow<'_, str>>| {
        text.as_deref()
            .is_some_and(|text| Register::join_rare(register, Register::new(text.into(), stamp.clone())))
    };
    match change {
        OptimizationChange::Created(created) => {
            let value = CreationFacts::new(created, stamp.version.occurred_at);
            Register::join(&mut record.created, Register::new(value, stamp))
        }
        OptimizationChange::DetailsChanged { name, description } => {
            set(&mut record.name, name) | set(&mut record.description, description)
        }
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => {
            set(&mut record.cell_name, cell_name)
                | set(&mut record.parameterized_model_name, parameterized_model_name)
        }
        OptimizationChange::JobLinked { .. } => false,
        OptimizationChange::Deleted => Register::join(&mut record.deleted, Register::new((), stamp)),
    }
}

/// Links a job, and moves the states of the jobs whose home changes by it.
fn apply_link(working: &mut WorkingSet, slot: usize, job_id: &Arc<str>, stamp: Stamp) -> FoldStep {
    // The job is needed even for a known link: a crash may have left a state parked that the optimization already
    // has.
    if working.ready_job_slot(job_id).is_none() {
        return FoldStep::Needs(RecordKey::Job(job_id.clone()));
    }
    let record = &working.optimizations[slot].record;
    if !record.would_link(job_id, &stamp) {
        let changed = record.is_latest_link(&stamp);
        if changed {
            working.change_optimization(slot).note_latest_link(stamp);
        } else {
            working.note_unchanged(slot);
        }
        return FoldStep::Done(Effects { changed, ..Effects::default() });
    }
    let mut affected: SmallVec<[Arc<str>; 3]> = SmallVec::new();
    for id in [Some(job_id), record.linked_job(), record.displaced_by(job_id)].into_iter().flatten() {
        if !affected.contains(id) {
            affected.push(id.clone());
        }
    }
    let mut slots: SmallVec<[usize; 3]> = SmallVec::new();
    for id in &affected {
        match working.ready_job_slot(id) {
            Some(slot) => slots.push(slot),
            None => return FoldStep::Needs(RecordKey::Job(id.clone())),
        }
    }
    let states: SmallVec<[Job; 3]> = slots.iter().map(|&job| detach(working, job)).collect();
    let record = working.change_optimization(slot);
    record.job = Job::default();
    record.link(job_id, stamp);
    // The optimization now holds the state only of the job that it links now.
    for (id, &job) in affected.iter().zip(&slots) {
        if !working.links_now(slot, id) {
            working.note_left(job, slot);
        }
    }
    let mut effects = Effects { changed: true, ..Effects::default() };
    for (&job, state) in slots.iter().zip(states) {
        effects.mismatched |= attach(working, job, state, slot);
    }
    FoldStep::Done(effects)
}

/// Takes a job's state from its present place.
fn detach(working: &mut WorkingSet, job: usize) -> Job {
    match working.jobs[job].home {
        Some(home) => std::mem::take(&mut working.change_optimization(home).job),
        None => working.change_job(job).parked.take().map(Arc::unwrap_or_clone).unwrap_or_default(),
    }
}

/// Puts a job's state into its place after the links of `changed` have changed. Returns true if the job names an
/// optimization that does not link it.
fn attach(working: &mut WorkingSet, job: usize, state: Job, changed: usize) -> bool {
    let id = working.jobs[job].id.clone();
    let links = working.optimizations[changed].record.links_job(&id);
    let claimants = &mut working.jobs[job].claimants;
    claimants.retain(|claimant| *claimant != changed);
    if links {
        claimants.push(changed);
    }
    let claimants = claimants.clone();
    let home = working.home_of(job);
    working.jobs[job].home = home;
    let mismatched =
        claimants.iter().any(|&claimant| state.names_other_than(&working.optimizations[claimant].record.id));
    match home {
        Some(home) => {
            working.note_end(home, state.has_ended());
            working.change_optimization(home).job = state;
        }
        None => {
            for claimant in claimants {
                if working.links_now(claimant, &id) {
                    working.change_optimization(claimant).job = state.clone();
                }
            }
            if !state.is_empty() {
                working.change_job(job).parked = Some(Arc::new(state));
            }
        }
    }
    mismatched
}
