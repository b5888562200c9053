//! The status of the projector, written by its thread and read by the server. It holds no history and does no I/O.

mod answer_state;
mod findings;
mod kafka;
mod missing_history;
mod rebuild;
mod supervision;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use chrono::{SecondsFormat, Utc};
use parking_lot::Mutex;
use serde::Serialize;

use crate::version::{COMMIT, VERSION};
pub use answer_state::AnswerState;
use answer_state::{AnswerStateCell, ReportGuard};
pub use findings::{
    EmptyDeletion, EventPlace, FindingCounter, Findings, NulledNumbers, OrphanJob, OrphanJobs, OutrankedEvent,
    StreamReport,
};
pub use kafka::{
    Judgement, KNOWN_FOR, KafkaReport, LastAnswer, PartitionFreshness, PartitionInstants, STALE_AFTER,
};
pub use missing_history::{MissingHistory, text as missing_history_text};
pub use rebuild::{RebuildCounts, RebuildReport};
use supervision::Supervision;
pub use supervision::{HistoryExpiry, HistoryLimits, StageStall, Standstill, TopicReport};

/// The state of the projector as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No partition is assigned yet: the store opens, or the broker has not answered.
    Starting,
    /// The projector reads towards the high watermarks that were seen at the start.
    CatchingUp,
    /// The projector has read past the high watermarks that were seen at the start.
    Live,
    /// The generation was live, in this process or an earlier one, but for some partition the cluster has not confirmed for a
    /// while that nothing more has come: the views may be old.
    Stale,
    /// The views are shown as another version left them, while this one builds its own; or as they were left, because an
    /// operator requested that. `frozen_at` has the position.
    Frozen,
    /// The projector cannot go on by itself; `last_error` has the reason.
    Stalled,
    /// The process is stopping: it drains requests and writes what has been read.
    Stopping,
}

impl State {
    /// All states, in the order of the variants.
    pub const ALL: [State; 7] = [
        State::Starting,
        State::CatchingUp,
        State::Live,
        State::Stale,
        State::Frozen,
        State::Stalled,
        State::Stopping,
    ];

    /// Returns the name of the state in `/status`, in metrics, and in the header of every answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::CatchingUp => "catching_up",
            State::Live => "live",
            State::Stale => "stale",
            State::Frozen => "frozen",
            State::Stalled => "stalled",
            State::Stopping => "stopping",
        }
    }

    /// Returns true if everything has been read that was there at the start. (The generation that readers see may also be
    /// `stale` from an earlier process, as long as no broker answers.)
    pub fn has_caught_up(self) -> bool {
        matches!(self, State::Live | State::Stale)
    }
}

/// The state of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// The partition is read towards the end that it had at the start.
    CatchingUp,
    /// The partition has been read past the end that it had at the start.
    Live,
    /// The partition is not read any further in this generation.
    Frozen,
    /// The partition is not read any further before somebody intervenes; `last_error` has the reason.
    Stopped,
}

/// One partition, as `/status` shows it. `position` and `checkpoint` are the next offsets to be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The next offset to be read.
    pub position: i64,
    /// The position of the last checkpoint; `null` until one has been written.
    pub checkpoint: Option<i64>,
    /// The oldest offset that the broker still has; `null` until the broker has answered.
    pub low: Option<i64>,
    /// One past the newest offset, those of open transactions included; `null` until the broker has answered.
    pub high: Option<i64>,
    /// Number of records that can be read and have not been; `null` while the broker has not answered lately.
    pub lag_records: Option<i64>,
    /// The greatest possible age of an unread record, in seconds; 0 if the broker has just answered that there is none.
    pub lag_seconds: Option<f64>,
    /// The stage of the reading: how far the partition is read, and whether it is read on.
    pub state: PartitionState,
    /// The parts that `/status` shows among these about how current the partition is.
    #[serde(flatten)]
    pub freshness: PartitionFreshness,
}

/// The point at which a generation is frozen: it is shown, and cannot be kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrozenAt {
    /// The fold format that the views were made with.
    pub format: u8,
    /// The fold format of this version.
    pub own_format: u8,
    /// The time at which the generation was last closed, RFC 3339; `null` if a kill left that unknown.
    pub closed_at: Option<String>,
    /// The positions up to which the records had been read by then, at the least.
    pub positions: Vec<ReportedPosition>,
    /// The time at which an operator requested the frozen generation, RFC 3339; absent if another version has folded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
}

/// The position of a partition, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedPosition {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The next offset to be read.
    pub next_offset: i64,
}

/// The answer of `/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of the running program, without its commit.
    pub version: &'static str,
    /// The commit that was built; `null` if it is not known.
    pub commit: Option<&'static str>,
    /// The state of the projector as a whole.
    pub state: State,
    /// The number of the generation that the report is about, which is the live one in `/status`.
    pub generation: u64,
    /// Number of optimizations that readers may see.
    pub views: u64,
    /// Number of dead letters in the store: records that could not be decoded.
    pub dead_letters: u64,
    /// The sum over the partitions; `null` if the lag of any is not known.
    pub lag_records: Option<i64>,
    /// The greatest lag of a partition; `null` if the lag of any is not known.
    pub lag_seconds: Option<f64>,
    /// All errors that stand now; never `null` while there is one.
    pub last_error: Option<String>,
    /// The begin of the time for which errors have stood without a break, RFC 3339.
    pub last_error_since: Option<String>,
    /// Facts that an operator should look into, though the views are right.
    pub warnings: Vec<String>,
    /// The cluster's answers; `null` if nothing asks it.
    pub kafka: Option<KafkaReport>,
    /// The moment at which `live` becomes `stale` unless every partition is confirmed before.
    #[serde(skip)]
    pub stale_from: Option<Instant>,
    /// The point at which the generation is frozen; only there if the state is `frozen`, or was before the process stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<FrozenAt>,
    /// The findings in the records, which `/status` shows among these.
    #[serde(flatten)]
    pub findings: Findings,
    /// The findings from the time at which readers did not see the generation.
    #[serde(skip)]
    pub rebuild_findings: Findings,
    /// The rebuild or rollback that is under way.
    pub rebuild: Option<RebuildReport>,
    /// The records that the views are built without, unless somebody has accepted that.
    pub missing_history: Vec<MissingHistory>,
    /// The stages of the projector that stand still; only there if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stalled_stages: Vec<StageStall>,
    /// The settings of each topic about the time for which it keeps its records; empty until the cluster was asked.
    pub topics: Vec<TopicReport>,
    /// The partitions that are known, read or not; empty until the source has found one.
    pub partitions: Vec<PartitionReport>,
}

/// A handle of the status. The projector writes through it and the server reads; clones share the same status.
#[derive(Clone)]
pub struct Status {
    shared: Arc<ArcSwap<SharedReport>>,
    supervision: Arc<Supervision>,
}

struct SharedReport {
    report: Arc<Mutex<Report>>,
    answer_state: Arc<AnswerStateCell>,
}

impl Status {
    /// Makes the status of a generation whose projector has not reported yet.
    pub fn new(generation: u64) -> Status {
        let report = Report {
            version: VERSION,
            commit: COMMIT,
            state: State::Starting,
            generation,
            views: 0,
            dead_letters: 0,
            lag_records: None,
            lag_seconds: None,
            last_error: None,
            last_error_since: None,
            warnings: Vec::new(),
            kafka: None,
            stale_from: None,
            frozen_at: None,
            findings: Findings::default(),
            rebuild_findings: Findings::default(),
            rebuild: None,
            missing_history: Vec::new(),
            stalled_stages: Vec::new(),
            topics: Vec::new(),
            partitions: Vec::new(),
        };
        let answer_state = Arc::new(AnswerStateCell::new(&report));
        let shared = ArcSwap::from_pointee(SharedReport { report: Arc::new(Mutex::new(report)), answer_state });
        Status { shared: Arc::new(shared), supervision: Arc::default() }
    }

    /// Makes this status share the report of `other`: from now on a change of either is a change of both.
    pub fn follow(&self, other: &Status) {
        let followed = other.shared.load_full();
        if Arc::ptr_eq(&followed, &self.shared.load_full()) {
            return;
        }
        let findings = self.lock().findings.clone();
        other.lock().findings.continue_from(findings);
        self.shared.store(followed);
    }

    /// Returns this generation's status with what others note of the process: what `whole` reports while it follows this one, and goes
    /// on to after that.
    pub fn supervised_as(&self, whole: &Status) -> Status {
        Status { shared: self.shared.clone(), supervision: whole.supervision.clone() }
    }

    fn lock(&self) -> ReportGuard {
        let shared = self.shared.load_full();
        ReportGuard { report: shared.report.lock_arc(), answer_state: Arc::clone(&shared.answer_state) }
    }

    /// Returns the whole report, with ages as of now.
    pub fn report(&self) -> Report {
        let mut report = Report::clone(&self.lock()).at(Instant::now());
        self.supervision.complete(&mut report);
        report
    }

    /// Returns the state that a report would have at this moment.
    pub fn state(&self) -> State {
        self.answer_state().state
    }

    /// Returns true if the projector still reads towards the ends that the topics had at the start. It goes by the projector's
    /// own report, whatever the supervisor finds, and is also true while a partition has stopped and others go on.
    pub fn is_catching_up(&self) -> bool {
        let report = self.lock();
        match report.state {
            State::Starting | State::CatchingUp => true,
            State::Stalled => report.partitions.iter().any(|one| one.state == PartitionState::CatchingUp),
            State::Live | State::Stale | State::Frozen | State::Stopping => false,
        }
    }

    /// Returns the state, and whether the generation has been live before. It takes no lock.
    pub fn answer_state(&self) -> AnswerState {
        let own = self.shared.load().answer_state.get(Instant::now);
        AnswerState { state: self.supervision.state(own.state), ..own }
    }

    /// Notes that the generation has been live before, as its store records: its views are stale until it has caught up.
    pub fn set_was_live(&self) {
        let mut report = self.lock();
        report.answer_state.set_was_live();
        if report.state == State::Starting {
            report.state = State::Stale;
        }
    }

    /// Sets the standstill that the supervisor has found; `None` if there is none. It stays when another status is followed.
    pub fn set_standstill(&self, standstill: Option<Standstill>) {
        self.supervision.set_standstill(standstill);
    }

    /// Sets the settings of the topics. They stay when another status is followed.
    pub fn set_topics(&self, topics: Vec<TopicReport>) {
        self.supervision.set_topics(topics);
    }

    /// Sets the state, unless it is [`State::Stopping`], which is final.
    pub fn set_state(&self, state: State) {
        let mut report = self.lock();
        if report.state != State::Stopping {
            report.state = state;
        }
    }

    /// Sets the numbers of views and dead letters in the store.
    pub fn set_views(&self, views: u64, dead_letters: u64) {
        let mut report = self.lock();
        (report.views, report.dead_letters) = (views, dead_letters);
    }

    /// Makes the state [`State::Frozen`], at this point.
    pub fn set_frozen(&self, at: FrozenAt) {
        let mut report = self.lock();
        report.frozen_at = Some(at);
        report.state = State::Frozen;
        // Readers saw the views before they were frozen.
        report.answer_state.set_was_live();
    }

    /// Sets the error that stands; `None` if there is none any more.
    pub fn set_error(&self, error: Option<String>) {
        let mut report = self.lock();
        report.last_error_since = match (&error, report.last_error_since.take()) {
            (None, _) => None,
            (Some(_), Some(since)) => Some(since),
            (Some(_), None) => Some(Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)),
        };
        report.last_error = error;
    }

    /// Changes the findings in the records.
    pub fn change_findings(&self, change: impl FnOnce(&mut Findings)) {
        change(&mut self.lock().findings);
    }

    /// Changes the findings in the records of a generation that readers do not see yet.
    pub fn change_rebuild_findings(&self, change: impl FnOnce(&mut Findings)) {
        change(&mut self.lock().rebuild_findings);
    }

    /// Sets the progress of the rebuild that is under way; `None` if none is. It stays when another status is followed.
    pub fn set_rebuild(&self, rebuild: Option<RebuildReport>) {
        self.supervision.set_rebuild(rebuild);
    }

    /// Sets the reports of the partitions, and the numbers of views and dead letters.
    pub fn set_progress(&self, partitions: Vec<PartitionReport>, views: u64, dead_letters: u64) {
        let mut report = self.lock();
        (report.views, report.dead_letters) = (views, dead_letters);
        report.partitions = partitions;
    }
}

/// A status counts as a shared state that contains a status, which is the bound of every endpoint's state.
impl AsRef<Status> for Status {
    fn as_ref(&self) -> &Status {
        self
    }
}
