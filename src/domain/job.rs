//! The state of one job: its statuses, its outcome, and its runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::event::{JobChange, Metadata, RunChange};
use super::job_status::JobStatus;
use super::outranking::{LatestEvent, later_of};
use super::position::PartitionOffset;
use super::runs::{LastRun, RunSet};
use super::stamp::Stamp;

/// Maximum number of statuses that are kept of a job. The oldest by version are dropped first.
pub const HISTORY_LIMIT: usize = 64;

/// Number of statuses up to which a history is too small to be counted in bytes.
const USUAL_HISTORY: usize = 8;

/// The data that came with a job's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The status carries no data: it is neither completed nor failed, or no status is known.
    #[default]
    None,
    /// `metrics` is a JSON object's text, if any.
    Completed {
        /// The results by name; `None` if the event had none.
        metrics: Option<Box<str>>,
    },
    /// The reason that came with a failure.
    Failed {
        /// The reason for people; `None` if the event had none.
        error: Option<Box<str>>,
        /// The reason for programs; `None` if the event had none.
        error_code: Option<Box<str>>,
    },
}

/// One status that a job took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The status that the job took. If two events share a version, it is the greater of theirs.
    pub status: JobStatus,
    /// The stamp of the event that gave the status.
    pub stamp: Stamp,
}

/// The state of a job, which is a join-semilattice: every field only grows, whatever the order in which events are
/// applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The statuses ascending by version, at most the greatest [`HISTORY_LIMIT`]. The last one is the job's status
    /// register.
    history: Vec<Transition>,
    /// The outcome of the last status in `history`.
    outcome: Outcome,
    /// The indexes of all runs of which any event is known. Readers see their number.
    pub runs: RunSet,
    /// The run with the greatest index, with its first event. It is boxed because many jobs are in memory and this
    /// is seldom read.
    last_run: Option<Box<LastRun>>,
    /// The least two of the optimizations that the job's events named. Two suffice to decide whether all named the
    /// one that links the job.
    named: SmallVec<[Arc<str>; 1]>,
    /// The job's latest status by time, unless it is the last of `history`.
    latest: LatestEvent,
}

impl Job {
    /// Applies a status. Returns true if that changed anything.
    pub fn apply(&mut self, change: &JobChange<'_>, stamp: Stamp) -> bool {
        let status = change.status();
        let latest = self.latest_with(&stamp);
        let changed = match self.history.binary_search_by(|held| held.stamp.version.cmp(&stamp.version)) {
            Ok(at) => self.apply_again(at, status, change, stamp),
            Err(at) => self.apply_new(at, Transition { status, stamp }, change),
        };
        latest.is_some_and(|latest| self.note_latest(latest)) || changed
    }

    /// Returns the latest status by time after an event with this stamp is joined. `None` if that is the new one,
    /// and it is the last by version too.
    fn latest_with(&self, stamp: &Stamp) -> Option<Stamp> {
        let last = &self.history.last()?.stamp;
        if self.latest.is_passed_by(last, stamp) {
            return None;
        }
        Some(later_of(self.latest.or(last), stamp).clone())
    }

    /// Stores the latest status by time. Returns true if that changed anything.
    fn note_latest(&mut self, latest: Stamp) -> bool {
        let Some(last) = self.history.last() else { return false };
        let latest = LatestEvent::beside(latest, &last.stamp);
        let changed = latest != self.latest;
        self.latest = latest;
        changed
    }

    /// Returns the stamps of the latest status by time and of the one that it lost to, if it lost although it is
    /// newer.
    pub fn outranked(&self) -> Option<(&Stamp, &Stamp)> {
        let last = &self.history.last()?.stamp;
        Some((self.latest.outranked_by(last)?, last))
    }

    fn apply_new(&mut self, at: usize, transition: Transition, change: &JobChange<'_>) -> bool {
        let full = self.history.len() == HISTORY_LIMIT;
        if full && at == 0 {
            return false;
        }
        if at == self.history.len() {
            self.outcome = outcome_of(change);
        }
        self.history.insert(at, transition);
        if full {
            self.history.remove(0);
        }
        true
    }

    /// Applies a version that is known: the same event at another position, or a second event of a producer that
    /// used one version twice.
    fn apply_again(&mut self, at: usize, status: JobStatus, change: &JobChange<'_>, stamp: Stamp) -> bool {
        let last = at + 1 == self.history.len();
        let held = &mut self.history[at];
        let earlier = stamp.source < held.stamp.source;
        if earlier {
            held.stamp = stamp;
        }
        let outcome = if last { outcome_of(change) } else { Outcome::None };
        let held_outcome = if last { &self.outcome } else { &Outcome::None };
        let greater = (status, &outcome) > (held.status, held_outcome);
        if greater {
            held.status = status;
            if last {
                self.outcome = outcome;
            }
        }
        earlier || greater
    }

    /// Applies a run's event. Returns true if that changed anything.
    pub fn apply_run(
        &mut self,
        run_index: u32,
        change: &RunChange<'_>,
        metadata: &Metadata<'_>,
        source: PartitionOffset,
    ) -> bool {
        let mut changed = self.runs.insert(run_index);
        if LastRun::may_change(self.last_run.as_deref(), run_index, metadata) {
            changed |= LastRun::join(&mut self.last_run, LastRun::new(run_index, change, metadata, source));
        }
        changed
    }

    /// Joins another state: the result is as if all events of both had been applied to one.
    pub fn join(&mut self, other: &Job) {
        let last = |job: &Job| job.history.last().map(|last| (last.stamp.version.clone(), last.status));
        if (last(other), &other.outcome) > (last(self), &self.outcome) {
            self.outcome = other.outcome.clone();
        }
        let latest = match (self.history.last(), other.history.last()) {
            (Some(held), Some(theirs)) => {
                Some(later_of(self.latest.or(&held.stamp), other.latest.or(&theirs.stamp)).clone())
            }
            (None, Some(theirs)) => Some(other.latest.or(&theirs.stamp).clone()),
            (_, None) => None,
        };
        for theirs in &other.history {
            match self.history.binary_search_by(|held| held.stamp.version.cmp(&theirs.stamp.version)) {
                Ok(at) => {
                    let held = &mut self.history[at];
                    held.status = held.status.max(theirs.status);
                    if theirs.stamp.source < held.stamp.source {
                        held.stamp = theirs.stamp.clone();
                    }
                }
                Err(at) => self.history.insert(at, theirs.clone()),
            }
        }
        self.history.drain(..self.history.len().saturating_sub(HISTORY_LIMIT));
        latest.map(|latest| self.note_latest(latest));
        self.runs.join(&other.runs);
        other.last_run.iter().for_each(|theirs| _ = LastRun::join(&mut self.last_run, LastRun::clone(theirs)));
        other.named.iter().for_each(|named| _ = self.note_named_shared(named, || named.clone()));
    }

    /// Notes that an event named this optimization. Returns true if that changed anything.
    pub fn name(&mut self, optimization_id: &str) -> bool {
        self.note_named_shared(optimization_id, || Arc::from(optimization_id))
    }

    /// Notes that an event named the optimization that the job lives in, as [`Job::name`] does. Events name it
    /// again and again.
    pub fn note_named_home(&mut self, home: &Arc<str>) -> bool {
        let known = self.named.len() == 1 && Arc::ptr_eq(&self.named[0], home);
        !known && self.note_named_shared(home, || home.clone())
    }

    fn note_named_shared(&mut self, optimization_id: &str, shared: impl FnOnce() -> Arc<str>) -> bool {
        let at = match self.named.binary_search_by(|held| (**held).cmp(optimization_id)) {
            Ok(_) => return false,
            Err(at) => at,
        };
        if at == 2 {
            return false;
        }
        self.named.insert(at, shared());
        self.named.truncate(2);
        true
    }

    /// Returns true if any event of the job named another optimization.
    pub fn names_other_than(&self, optimization_id: &str) -> bool {
        self.named.iter().any(|named| **named != *optimization_id)
    }

    /// Returns the optimizations that the job's events named, as far as they are kept: the least two.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|named| &**named)
    }

    /// Returns true if no event of the job is known.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty() && self.runs.is_empty() && self.named.is_empty()
    }

    /// Returns the statuses that the job took, ascending by version.
    pub fn history(&self) -> &[Transition] {
        &self.history
    }

    /// Returns the job's status: the one with the greatest version. `None` if no event gave the job a status,
    /// though there may be runs.
    pub fn status(&self) -> Option<JobStatus> {
        self.history.last().map(|last| last.status)
    }

    /// Returns true if the job's last status is a terminal one.
    pub fn has_ended(&self) -> bool {
        self.status().is_some_and(JobStatus::is_terminal)
    }

    /// Returns the run with the greatest index. If runs are numbered as they begin, `run_count` last grew by it.
    pub fn last_run(&self) -> Option<&LastRun> {
        self.last_run.as_deref()
    }

    /// Returns the data that came with the job's status.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Size of the job's texts in bytes: its outcome, and the ids of its events if there are many.
    pub fn text_len(&self) -> usize {
        let len = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let outcome = match &self.outcome {
            Outcome::None => 0,
            Outcome::Completed { metrics } => len(metrics),
            Outcome::Failed { error, error_code } => len(error) + len(error_code),
        };
        let history = if self.history.len() > USUAL_HISTORY { &self.history[..] } else { &[] };
        outcome
            + history.iter().map(|held| size_of::<Transition>() + held.stamp.version.event_id.len()).sum::<usize>()
    }

    /// Reads a little of the fields that an event changes, for [`super::WorkingSet::warm`].
    pub(super) fn prefetch(&self) -> u64 {
        let last_run = self.last_run.as_ref().map_or(0, |run| run.stamp.version.sequence ^ u64::from(run.index));
        self.runs.len() ^ last_run ^ self.history.len() as u64 ^ self.named.len() as u64
    }
}

/// Returns true if the job should not have taken the status at index `at` after the one before it.
pub fn is_irregular(history: &[Transition], at: usize) -> bool {
    at > 0 && !history[at - 1].status.may_become(history[at].status)
}

fn outcome_of(change: &JobChange<'_>) -> Outcome {
    match change {
        JobChange::Completed { metrics } => {
            Outcome::Completed { metrics: metrics.as_ref().map(|metrics| metrics.0.as_ref().into()) }
        }
        JobChange::Failed { error, error_code } => Outcome::Failed {
            error: error.as_deref().map(Box::from),
            error_code: error_code.as_deref().map(Box::from),
        },
        JobChange::Pending | JobChange::Processing | JobChange::Waiting | JobChange::Canceled => Outcome::None,
    }
}
