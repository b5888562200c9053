//! The timeline of one optimization: its events in the order of the fold, each with what it changed. Pure: it applies the
//! projector's own fold to a working set that holds this one optimization and its jobs.
//!
//! The order is by `occurred_at`, then by version (sequence, rank, event id), then by position. Versions order the events
//! of one aggregate only, and time is what several aggregates have in common. The fold gives the same result in any order,
//! so where a sequence contradicts the time, the last view is right all the same: the event is shown where it occurred, and
//! is marked as older than what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fields::{self, FieldChange};
use super::no_effect::NoEffect;
use crate::codec::{self, DecodeError, Framing};
use crate::domain::fold::{self, Effects};
use crate::domain::{Body, Envelope, Optimization, OwnedRecord, Stamp, Topic, Version, View, WorkingSet};

/// The events of one optimization with what each changed, and the records that could not be decoded.
pub struct Timeline<'a> {
    pub events: Vec<TimelineEvent<'a>>,
    /// The undecodable records, in the order of their positions.
    pub dead_letters: Vec<UndecodableRecord<'a>>,
    /// The optimization after all events.
    pub last: Arc<Optimization>,
}

/// An event with the changes that it made to the view.
pub struct TimelineEvent<'a> {
    pub envelope: Envelope<'a>,
    /// The record's timestamp, in milliseconds since 1970.
    pub timestamp_millis: Option<i64>,
    pub changes: Vec<FieldChange>,
    /// The reason for the lack of changes; `None` if there are changes.
    pub unchanged: Option<NoEffect>,
    /// True if the event gave the job a status that it should not have taken.
    pub irregular: bool,
    /// True if the event names an optimization other than this one, which links its job.
    pub mismatched: bool,
}

/// A record that mentions the optimization or one of its jobs, and could not be decoded.
pub struct UndecodableRecord<'a> {
    pub record: &'a OwnedRecord,
    pub reason: DecodeError,
}

/// Folds the records of one optimization and its jobs. `records` come in the order of their positions.
pub fn build<'a>(id: &str, framing: Framing, records: impl IntoIterator<Item = &'a OwnedRecord>) -> Timeline<'a> {
    let (mut events, mut dead_letters) = (Vec::new(), Vec::new());
    for record in records {
        match codec::decode_framed(&record.record(), framing) {
            Ok(envelope) => events.push((stamp_of(&envelope), record.timestamp_millis, envelope)),
            Err(reason) => dead_letters.push(UndecodableRecord { record, reason }),
        }
    }
    events
        .sort_by(|(one, ..), (other, ..)| (one.version.occurred_at, one).cmp(&(other.version.occurred_at, other)));
    let mut fold = TimelineFold::new(id);
    let events = (events.into_iter())
        .map(|(stamp, timestamp_millis, envelope)| fold.event(&stamp, timestamp_millis, envelope))
        .collect();
    Timeline { events, dead_letters, last: fold.last }
}

fn stamp_of(envelope: &Envelope<'_>) -> Stamp {
    let rank = match &envelope.event.body {
        Body::Job { change, .. } => change.status().rank(),
        Body::Optimization { .. } | Body::Run { .. } => 0,
    };
    Stamp::new(&envelope.event.metadata, rank, envelope.position)
}

/// The aggregate within which versions order events: its topic, its id, and the index of a run.
type Aggregate = (Topic, Box<str>, u32);

/// The state of the fold between two events.
struct TimelineFold {
    working: WorkingSet,
    last: Arc<Optimization>,
    folded: BTreeSet<(Aggregate, Version)>,
}

impl TimelineFold {
    fn new(id: &str) -> TimelineFold {
        let last = Arc::new(Optimization::new(Arc::from(id)));
        TimelineFold { working: WorkingSet::default(), last, folded: BTreeSet::new() }
    }

    fn event<'a>(
        &mut self,
        stamp: &Stamp,
        timestamp_millis: Option<i64>,
        envelope: Envelope<'a>,
    ) -> TimelineEvent<'a> {
        let body = &envelope.event.body;
        let is_new = self.folded.insert((aggregate_of(body), stamp.version.clone()));
        let before = self.last.clone();
        let Effects { irregular, mismatched, .. } = self.apply(&envelope);
        let changes = fields::changes(View::of(&before).as_ref(), View::of(&self.last).as_ref());
        let unchanged = match (changes.is_empty(), is_new) {
            (false, _) => None,
            (true, false) => Some(NoEffect::Repeated),
            (true, true) => Some(NoEffect::of(&self.last, body, &stamp.version)),
        };
        TimelineEvent { envelope, timestamp_millis, changes, unchanged, irregular, mismatched }
    }

    fn apply(&mut self, envelope: &Envelope<'_>) -> Effects {
        let effects = fold::apply_in_memory(&mut self.working, envelope);
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
