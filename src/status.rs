//! How the projector is doing: written by its thread, read by whoever asks. Holds no history and does no I/O.

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
    EmptyDeletion, EventPlace, Findings, Found, NulledNumbers, OrphanJob, OrphanJobs, OutrankedEvent, StreamReport,
};
pub use kafka::{Judgement, KNOWN_FOR, KafkaReport, PartitionFreshness, PartitionInstants, STALE_AFTER};
pub use missing_history::{MissingHistory, text as missing_history_text};
pub use rebuild::{RebuildCounts, RebuildReport};
use supervision::Supervision;
pub use supervision::{HistoryLeft, HistoryLimits, StageStall, Standstill, TopicReport};

/// Where the projector stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is assigned yet: the store opens, or the broker has not answered.
    Starting,
    /// On the way to the high watermarks seen at the start.
    CatchingUp,
    /// Past them.
    Live,
    /// Was live, in this process or an earlier one, but for some partition the cluster has not confirmed for a while that
    /// nothing more has come: what is shown may be old.
    Stale,
    /// Shows what another version has folded, as it left it, while this one builds its own; or what somebody asked to see as
    /// it was left. `frozen_at` says where it stands.
    Frozen,
    /// Cannot go on by itself; `last_error` says why.
    Stalled,
    /// Told to stop: draining.
    Stopping,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Starting,
        State::CatchingUp,
        State::Live,
        State::Stale,
        State::Frozen,
        State::Stalled,
        State::Stopping,
    ];

    /// The name in `/status`, in metrics, and in the header of every answer.
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

    /// Whether all has been read that was there at the start. (Of the generation that readers see, `stale` may also be from an
    /// earlier process, as long as no broker answers.)
    pub fn has_caught_up(self) -> bool {
        matches!(self, State::Live | State::Stale)
    }
}

/// Where one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    CatchingUp,
    Live,
    /// Not read any further in this generation.
    Frozen,
    /// Stopped until told: `last_error` says why.
    Stopped,
}

/// One partition, as `/status` shows it. Offsets are the next to be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// The topic's name in the cluster.
    pub topic: String,
    pub partition: i32,
    pub position: i64,
    /// `null`: none has been written yet.
    pub checkpoint: Option<i64>,
    /// The oldest offset that the broker still has; `null` until it has said.
    pub low: Option<i64>,
    /// One past the newest offset, those of open transactions included; `null` until the broker has said.
    pub high: Option<i64>,
    /// Records that can be read and have not been; `null` while the broker has not said lately.
    pub lag_records: Option<i64>,
    /// The greatest age that a record may have which has not been read; 0 where the broker has just said that there is none.
    pub lag_seconds: Option<f64>,
    pub state: PartitionState,
    #[serde(flatten)]
    pub freshness: PartitionFreshness,
}

/// What is shown while it cannot be kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrozenAt {
    /// Of the fold that gave the views, and of this version's.
    pub format: u8,
    pub own_format: u8,
    /// When the generation was last closed, RFC 3339; `null` where a kill left that unknown.
    pub closed_at: Option<String>,
    /// What had been read by then, at the least.
    pub positions: Vec<Position>,
    /// When somebody asked to see it as it was left, RFC 3339; absent where another version has folded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The topic's name in the cluster.
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
}

/// What `/status` answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub version: &'static str,
    /// The commit that was built; `null` where that is not known.
    pub commit: Option<&'static str>,
    pub state: State,
    pub generation: u64,
    pub views: u64,
    pub dead_letters: u64,
    /// The sum over the partitions; `null` where that of any is not known.
    pub lag_records: Option<i64>,
    /// The greatest of the partitions'; `null` where that of any is not known.
    pub lag_seconds: Option<f64>,
    /// All that is wrong now; never `null` while anything is.
    pub last_error: Option<String>,
    /// Since when something has been wrong without a break, RFC 3339.
    pub last_error_since: Option<String>,
    /// What somebody should look at, though nothing is wrong with what is shown.
    pub warnings: Vec<String>,
    /// How the cluster answers; `null` where nobody asks it.
    pub kafka: Option<KafkaReport>,
    /// When `live` becomes `stale` unless something is confirmed until then.
    #[serde(skip)]
    pub stale_from: Option<Instant>,
    /// Only there where the state is `frozen`, or was before it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_at: Option<FrozenAt>,
    #[serde(flatten)]
    pub findings: Findings,
    /// What was found while readers did not see the generation.
    #[serde(skip)]
    pub rebuild_findings: Findings,
    /// The rebuild or rollback that is under way.
    pub rebuild: Option<RebuildReport>,
    /// Records that the views are built without, and nobody has accepted that. Empty where there are none.
    pub missing_history: Vec<MissingHistory>,
    /// Stages of the projector that stand still; only there where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stalled_stages: Vec<StageStall>,
    /// How long each topic keeps its records; empty until the cluster was asked.
    pub topics: Vec<TopicReport>,
    pub partitions: Vec<PartitionReport>,
}

/// Shared by the projector, which writes, and the server, which reads.
#[derive(Clone)]
pub struct Status {
    shared: Arc<ArcSwap<Shared>>,
    supervision: Arc<Supervision>,
}

struct Shared {
    report: Arc<Mutex<Report>>,
    answer_state: Arc<AnswerStateCell>,
}

impl Status {
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
        let shared = ArcSwap::from_pointee(Shared { report: Arc::new(Mutex::new(report)), answer_state });
        Status { shared: Arc::new(shared), supervision: Arc::default() }
    }

    /// From now on this says what `other` says, and whoever writes to one writes to both.
    pub fn follow(&self, other: &Status) {
        let followed = other.shared.load_full();
        if Arc::ptr_eq(&followed, &self.shared.load_full()) {
            return;
        }
        let findings = self.lock().findings.clone();
        other.lock().findings.go_on_from(findings);
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

    /// All of it, as it is now.
    pub fn report(&self) -> Report {
        let mut report = Report::clone(&self.lock()).at(Instant::now());
        self.supervision.complete(&mut report);
        report
    }

    /// As in the report at this moment.
    pub fn state(&self) -> State {
        self.answer_state().state
    }

    /// Whether the projector is on its way to where the topics ended at the start: by its own word, whatever others find, and also
    /// while a partition has stopped and the others go on.
    pub fn is_catching_up(&self) -> bool {
        let report = self.lock();
        let is_behind = |held: &PartitionReport| held.state == PartitionState::CatchingUp;
        match report.state {
            State::Starting | State::CatchingUp => true,
            State::Stalled => report.partitions.iter().any(is_behind),
            State::Live | State::Stale | State::Frozen | State::Stopping => false,
        }
    }

    /// The state, and whether the generation has been live before: without a lock.
    pub fn answer_state(&self) -> AnswerState {
        let own = self.shared.load().answer_state.get(Instant::now);
        AnswerState { state: self.supervision.state(own.state), ..own }
    }

    /// Notes that the generation has been live before, as its store says: what it shows is stale, until it has caught up.
    pub fn set_was_live(&self) {
        let mut report = self.lock();
        report.answer_state.set_was_live();
        if report.state == State::Starting {
            report.state = State::Stale;
        }
    }

    /// Said by whoever looks whether the projector turns; `None`: it does. Stays here where another status is followed.
    pub fn set_standstill(&self, standstill: Option<Standstill>) {
        self.supervision.set_standstill(standstill);
    }

    /// Said by whoever asks the cluster. Stays here where another status is followed.
    pub fn set_topics(&self, topics: Vec<TopicReport>) {
        self.supervision.set_topics(topics);
    }

    pub fn set_state(&self, state: State) {
        let mut report = self.lock();
        if report.state != State::Stopping {
            report.state = state;
        }
    }

    /// The live generation's number.
    pub fn set_generation(&self, generation: u64) {
        self.lock().generation = generation;
    }

    /// What the store holds.
    pub fn set_views(&self, views: u64, dead_letters: u64) {
        let mut report = self.lock();
        (report.views, report.dead_letters) = (views, dead_letters);
    }

    /// Where it is frozen.
    pub fn set_frozen(&self, at: FrozenAt) {
        let mut report = self.lock();
        report.frozen_at = Some(at);
        report.state = State::Frozen;
        // What is shown frozen is what readers saw before.
        report.answer_state.set_was_live();
    }

    /// `None` where all is well again.
    pub fn set_error(&self, error: Option<String>) {
        let mut report = self.lock();
        report.last_error_since = match (&error, report.last_error_since.take()) {
            (None, _) => None,
            (Some(_), Some(since)) => Some(since),
            (Some(_), None) => Some(Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)),
        };
        report.last_error = error;
    }

    /// Changes what was found in the records.
    pub fn change_findings(&self, change: impl FnOnce(&mut Findings)) {
        change(&mut self.lock().findings);
    }

    /// Changes what was found in the records of a generation that readers do not see yet.
    pub fn change_rebuild_findings(&self, change: impl FnOnce(&mut Findings)) {
        change(&mut self.lock().rebuild_findings);
    }

    /// Said by the rebuild that is under way; `None`: none is. Stays here where another status is followed.
    pub fn set_rebuild(&self, rebuild: Option<RebuildReport>) {
        self.supervision.set_rebuild(rebuild);
    }

    /// The partitions as they are now, with the counts.
    pub fn set_progress(&self, partitions: Vec<PartitionReport>, views: u64, dead_letters: u64) {
        let mut report = self.lock();
        (report.views, report.dead_letters) = (views, dead_letters);
        report.partitions = partitions;
    }
}

/// So that whoever shares more than a status can be asked for it.
impl AsRef<Status> for Status {
    fn as_ref(&self) -> &Status {
        self
    }
}
