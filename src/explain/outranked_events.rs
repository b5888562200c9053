//! The events that changed nothing although they are newer than the events that they lost to: the newest of each part of the
//! optimization, and of each job that it links or linked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::causes::{Cause, Causes};
use crate::domain::optimization::OptimizationPart;
use crate::domain::outranking::explanation;
use crate::domain::{Job, OptimizationEvent, Stamp};

/// An event that changed nothing although it is newer than the event that it lost to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutrankedCause {
    /// The event that changed nothing.
    pub event: Cause,
    /// The event that it lost to.
    pub lost_to: Cause,
    /// The reason for which the newer event lost, in words.
    pub why: String,
}

pub fn outranked(causes: &Causes<'_>, before: &BTreeMap<String, Job>) -> Vec<OutrankedCause> {
    let optimization = causes.optimization;
    let mut all: Vec<OutrankedCause> = Vec::new();
    for (part, event, winner) in optimization.outranked() {
        let event_cause = causes.cause(optimization.kind_of(part, event), event);
        // One event may have set two names.
        if all.iter().all(|entry| entry.event != event_cause) {
            let winner_cause = causes.cause(winner_kind(causes, part, winner), winner);
            all.push(OutrankedCause {
                event: event_cause,
                lost_to: winner_cause,
                why: explanation(event, winner),
            });
        }
    }
    let jobs = std::iter::once(&optimization.job).chain(before.values());
    all.extend(jobs.filter_map(|job| {
        let (event, winner) = job.outranked()?;
        let cause = |stamp: &Stamp| causes.cause(kind_of_status(job, stamp), stamp);
        Some(OutrankedCause { event: cause(event), lost_to: cause(winner), why: explanation(event, winner) })
    }));
    all
}

/// Returns the kind of the event that won. A creation sets names and the link, too, and a deletion ends every part.
fn winner_kind(causes: &Causes<'_>, part: OptimizationPart, winner: &Stamp) -> OptimizationEvent {
    let is = |stamp: Option<&Stamp>| stamp.is_some_and(|stamp| stamp.version == winner.version);
    let optimization = causes.optimization;
    if is(optimization.deleted.as_ref().map(|deleted| &deleted.stamp)) {
        OptimizationEvent::Deleted
    } else if is(optimization.created.as_ref().map(|created| &created.stamp)) {
        OptimizationEvent::Created
    } else {
        optimization.kind_of(part, winner)
    }
}

/// Returns the kind of the event that set a status, or `status` if a long history has dropped it.
fn kind_of_status(job: &Job, stamp: &Stamp) -> &'static str {
    let entry = job.history().iter().find(|entry| entry.stamp.version == stamp.version);
    entry.map_or("status", |entry| entry.status.as_str())
}

impl OutrankedCause {
    /// Describes the event and the reason for which it lost.
    pub(super) fn odd(&self) -> String {
        let Cause { event, occurred_at, .. } = &self.event;
        format!(
            "{event} at {}, which occurred at {occurred_at}, changed nothing although it is newer than {} at {}, which it lost \
             to: {}",
            self.event.place(),
            self.lost_to.event,
            self.lost_to.place(),
            self.why
        )
    }
}
