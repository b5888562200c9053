//! The outcome of the events of a file, one by one and together, by the decoder and the fold of `serve`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::doubts::{self, DELETES_NOTHING, Doubt};
use super::input::InputRecord;
use crate::codec::encode::key;
use crate::codec::{self, Framing, view_json};
use crate::domain::{Optimization, OwnedRecord, View, WorkingSet, fold, job};

/// The outcome of one record.
#[derive(Debug, Serialize)]
pub struct EventOutcome {
    /// The number of the line that it begins in, counted from 1.
    pub line: usize,
    /// The event that it was understood as; `None` if it was refused.
    #[serde(flatten)]
    pub event: Option<UnderstoodEvent>,
    /// The reason for which it was refused.
    pub refused: Option<String>,
    /// The doubts about it: of one that was refused, its unknown fields.
    pub doubts: Vec<Doubt>,
}

/// An event as the decoder understands it.
#[derive(Debug, Serialize)]
pub struct UnderstoodEvent {
    /// The stream of the event.
    pub topic: String,
    /// The kind of event, as the contract names it.
    pub event: &'static str,
    /// The id of the optimization or the job that it is about.
    pub id: String,
}

/// A status that a linked job took.
#[derive(Debug, Serialize)]
pub struct StatusTransition {
    /// The id of the optimization.
    pub optimization_id: String,
    /// The job's own status.
    pub job_status: &'static str,
    /// The status that the view shows for it.
    pub status: &'static str,
    /// The time at which it occurred, RFC 3339.
    pub occurred_at: String,
    /// The producer's sequence number; 0 if it has none.
    pub sequence: u64,
    /// True if the job should not take it after the one before.
    pub irregular: bool,
}

/// All events of a file, folded.
pub struct FoldedFile {
    /// The outcome of each record, in their order.
    pub events: Vec<EventOutcome>,
    working: WorkingSet,
    optimizations: BTreeMap<Arc<str>, Arc<Optimization>>,
    /// The jobs that no optimization links now; one may have linked them before.
    parked: BTreeSet<Arc<str>>,
    framing: Framing,
}

impl FoldedFile {
    /// Decodes and folds records.
    pub fn new(records: &[InputRecord], framing: Framing) -> FoldedFile {
        let mut folded = FoldedFile {
            events: Vec::new(),
            working: WorkingSet::default(),
            optimizations: BTreeMap::new(),
            parked: BTreeSet::new(),
            framing,
        };
        for InputRecord { line, record, has_key } in records {
            let outcome = match record {
                Ok(record) => folded.take(*line, record, *has_key),
                Err(reason) => refused(*line, format!("the line {reason}")),
            };
            folded.events.push(outcome);
        }
        // A file of deletions alone does not have the creations that they belong to.
        if !folded.optimizations.values().any(|optimization| optimization.created.is_some()) {
            folded
                .events
                .iter_mut()
                .for_each(|outcome| outcome.doubts.retain(|doubt| doubt.code != DELETES_NOTHING));
        }
        folded
    }

    fn take(&mut self, line: usize, record: &OwnedRecord, has_key: bool) -> EventOutcome {
        let record = record.record();
        let envelope = match codec::decode_framed(&record, self.framing) {
            Ok(envelope) => envelope,
            Err(error) => {
                return EventOutcome {
                    doubts: doubts::of_fields(&record, self.framing),
                    ..refused(line, error.to_string())
                };
            }
        };
        let mut doubts = doubts::of_event(&record, &envelope, self.framing, has_key);
        let effects = fold::apply_in_memory(&mut self.working, &envelope);
        doubts.extend(doubts::of_effects(&effects));
        let changes = self.working.take_changes(None);
        self.optimizations.extend(changes.optimizations.into_iter().map(|changed| (changed.id.clone(), changed)));
        for (id, parked) in changes.jobs {
            match parked {
                Some(_) => self.parked.insert(id),
                None => self.parked.remove(&id),
            };
        }
        let body = &envelope.event.body;
        let event = UnderstoodEvent {
            topic: body.topic().to_string(),
            event: body.kind(),
            id: key(&envelope.event).to_owned(),
        };
        EventOutcome { line, event: Some(event), refused: None, doubts }
    }

    /// Returns the views, each as a read by id shows it, by id.
    ///
    /// # Errors
    /// Fails if a view is no JSON.
    pub fn views(&self) -> serde_json::Result<Vec<Box<RawValue>>> {
        let shown = self.optimizations.values().filter_map(|optimization| View::of(optimization));
        shown.map(|view| RawValue::from_string(view_json::response(&view))).collect()
    }

    /// Returns the statuses that the jobs of all optimizations took, by optimization and version.
    pub fn transitions(&self) -> Vec<StatusTransition> {
        self.optimizations.values().flat_map(|optimization| transitions_of(optimization)).collect()
    }

    /// Returns the ids of the jobs that no optimization of the file links, and of which nothing is shown therefore.
    pub fn unlinked_jobs(&self) -> Vec<&str> {
        let parked = self.parked.iter().map(|id| &**id);
        parked.filter(|id| !self.optimizations.values().any(|optimization| optimization.links_job(id))).collect()
    }
}

fn transitions_of(optimization: &Optimization) -> impl Iterator<Item = StatusTransition> {
    let history = optimization.job.history();
    history.iter().enumerate().map(|(at, held)| StatusTransition {
        optimization_id: optimization.id.to_string(),
        job_status: held.status.as_str(),
        status: held.status.view_status().as_str(),
        occurred_at: held.stamp.version.occurred_at.to_string(),
        sequence: held.stamp.version.sequence,
        irregular: job::is_irregular(history, at),
    })
}

fn refused(line: usize, reason: String) -> EventOutcome {
    EventOutcome { line, event: None, refused: Some(reason), doubts: Vec::new() }
}
