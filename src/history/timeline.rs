//! The events in the order of the fold, each with what it changed. Pure: what is applied is the projector's own fold, on
//! a working set that holds this one optimization and its jobs.
//!
//! The order is by `occurred_at`, then by version (sequence, rank, event id), then by position. Versions order the events
//! of one aggregate only, and time is what several have in common. The fold gives the same whatever the order, so where a
//! sequence contradicts the time, the last view is right all the same: the event is shown where it occurred, and is
//! marked as older than what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fields::{self, Change};
use super::unchanged::Unchanged;
use crate::codec::{self, DecodeError};
use crate::domain::fold::{self, Effects, FoldStep};
use crate::domain::{
    Body, Envelope, JobStatus, Optimization, OwnedRecord, RecordKey, Stamp, Topic, Version, View, WorkingSet, job,
};

pub struct Timeline<'a> {
    pub events: Vec<Told<'a>>,
    /// In the order of their positions.
    pub dead_letters: Vec<DeadLetter<'a>>,
    /// What all events together gave.
    pub last: Arc<Optimization>,
}

/// An event with what it did.
pub struct Told<'a> {
    pub envelope: Envelope<'a>,
    /// Milliseconds since 1970, of the record.
    pub timestamp_millis: Option<i64>,
    pub changes: Vec<Change>,
    /// Set where there are no changes.
    pub unchanged: Option<Unchanged>,
    /// It gave the job a status that it should not have taken.
    pub irregular: bool,
    /// It names an optimization other than this one, which links its job.
    pub mismatched: bool,
}

/// A record that mentions the optimization or one of its jobs, and could not be understood.
pub struct DeadLetter<'a> {
    pub kept: &'a OwnedRecord,
    pub reason: DecodeError,
}

/// Folds the records of one optimization and its jobs, which come in the order of their positions.
pub fn tell<'a>(id: &str, records: impl IntoIterator<Item = &'a OwnedRecord>) -> Timeline<'a> {
    let (mut events, mut dead_letters) = (Vec::new(), Vec::new());
    for kept in records {
        match codec::decode(&kept.record()) {
            Ok(envelope) => events.push((stamp_of(&envelope), kept.timestamp_millis, envelope)),
            Err(reason) => dead_letters.push(DeadLetter { kept, reason }),
        }
    }
    events
        .sort_by(|(one, ..), (other, ..)| (one.version.occurred_at, one).cmp(&(other.version.occurred_at, other)));
    let mut folding = Folding::new(id);
    let tell = |(stamp, timestamp_millis, envelope)| folding.tell(&stamp, timestamp_millis, envelope);
    let events = events.into_iter().map(tell).collect();
    Timeline { events, dead_letters, last: folding.last }
}

fn stamp_of(envelope: &Envelope<'_>) -> Stamp {
    let rank = match &envelope.event.body {
        Body::Job { change, .. } => JobStatus::rank(job::status_of(change)),
        Body::Optimization { .. } | Body::Run { .. } => 0,
    };
    Stamp::new(&envelope.event.metadata, rank, envelope.position)
}

/// What versions order the events of: its topic, its id, and the index of a run.
type Aggregate = (Topic, Box<str>, u32);

struct Folding {
    working: WorkingSet,
    last: Arc<Optimization>,
    folded: BTreeSet<(Aggregate, Version)>,
}

impl Folding {
    fn new(id: &str) -> Folding {
        let last = Arc::new(Optimization::new(Arc::from(id)));
        Folding { working: WorkingSet::default(), last, folded: BTreeSet::new() }
    }

    fn tell<'a>(&mut self, stamp: &Stamp, timestamp_millis: Option<i64>, envelope: Envelope<'a>) -> Told<'a> {
        let body = &envelope.event.body;
        let is_new = self.folded.insert((aggregate_of(body), stamp.version.clone()));
        let before = self.last.clone();
        let Effects { irregular, mismatched, .. } = self.apply(&envelope);
        let changes = fields::changes(View::of(&before).as_ref(), View::of(&self.last).as_ref());
        let unchanged = match (changes.is_empty(), is_new) {
            (false, _) => None,
            (true, false) => Some(Unchanged::Repeated),
            (true, true) => Some(Unchanged::why(&self.last, body, &stamp.version)),
        };
        Told { envelope, timestamp_millis, changes, unchanged, irregular, mismatched }
    }

    fn apply(&mut self, envelope: &Envelope<'_>) -> Effects {
        let effects = loop {
            // There is no store: what is not in memory is not known at all.
            match fold::apply(&mut self.working, envelope) {
                FoldStep::Done(effects) => break effects,
                FoldStep::Needs(RecordKey::Optimization(id)) => self.working.load_optimization(&id, None),
                FoldStep::Needs(RecordKey::Job(id)) => self.working.load_job(&id, None),
            }
        };
        let changed = self.working.take_changes(None).optimizations;
        if let Some(changed) = changed.into_iter().find(|changed| changed.id == self.last.id) {
            self.last = changed;
        }
        effects
    }
}

fn aggregate_of(body: &Body<'_>) -> Aggregate {
    let (id, run_index) = match body {
        Body::Optimization { optimization_id, .. } => (optimization_id, 0),
        Body::Job { job_id, .. } => (job_id, 0),
        Body::Run { job_id, run_index, .. } => (job_id, *run_index),
    };
    (body.topic(), Box::from(&**id), run_index)
}
