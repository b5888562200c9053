//! The status of the projector, written by its thread and read by the server. It holds no history and does no I/O.

mod answer_state;
mod credentials;
mod findings;
mod kafka;
mod letter_topic;
mod missing_history;
mod publication;
mod rebuild;
mod replica;
mod report;
mod standstill;
mod state;
mod supervision;
mod topics;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use chrono::{SecondsFormat, Utc};
use parking_lot::Mutex;

pub use answer_state::AnswerState;
use answer_state::{AnswerStateCell, ReportGuard};
pub use credentials::CredentialsReport;
pub use findings::{
    EmptyDeletion, EventPlace, FindingCounter, Findings, NulledNumbers, OrphanJob, OrphanJobs, OutrankedEvent,
    StreamReport,
};
pub use kafka::{
    Judgement, KNOWN_FOR, KafkaReport, LastAnswer, PartitionFreshness, PartitionInstants, STALE_AFTER,
};
pub use letter_topic::LetterTopicReport;
pub use missing_history::{MissingHistory, text as missing_history_text};
pub use publication::PublicationReport;
pub use rebuild::{RebuildCounts, RebuildReport};
pub use replica::{ReplicaReport, UnreadableView};
pub use report::{FrozenAt, PartitionReport, PartitionState, Report, ReportedPosition};
pub use standstill::{StageStall, Standstill};
pub use state::State;
use supervision::Supervision;
pub use topics::{HistoryExpiry, HistoryLimits, TopicReport};

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
        Status::of_report(Report::new(generation))
    }

    /// Makes the status of a replica's generation that has not been reported yet.
    pub fn of_replica(generation: u64) -> Status {
        Status::of_report(Report { reads_from: "views", ..Report::new(generation) })
    }

    fn of_report(report: Report) -> Status {
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
        self.state_at(Instant::now())
    }

    /// Returns the state that a report would have at a moment.
    pub fn state_at(&self, now: Instant) -> State {
        self.supervision.state(self.shared.load().answer_state.state(now))
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
        self.answer_state_at(Instant::now())
    }

    /// Returns the answer state at a moment.
    pub fn answer_state_at(&self, now: Instant) -> AnswerState {
        let own = self.shared.load().answer_state.get(now);
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

    /// Sets the state of the files of credentials. It stays when another status is followed.
    pub fn set_credentials(&self, credentials: Vec<CredentialsReport>) {
        self.supervision.set_credentials(credentials);
    }

    /// Sets the report of the publishing of views. It stays when another status is followed.
    pub fn set_publication(&self, publication: PublicationReport) {
        self.supervision.set_publication(publication);
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

    /// Sets the number of dead letters of which only the count is left.
    pub fn set_replaced_dead_letters(&self, count: u64) {
        self.lock().dead_letters_replaced = count;
    }

    /// Sets the state of the dead letter topic; `None` if there is none.
    pub fn set_letter_topic(&self, topic: Option<LetterTopicReport>) {
        self.lock().dead_letter_topic = topic;
    }

    /// Makes the state [`State::Frozen`], at this point.
    pub fn set_frozen(&self, at: FrozenAt) {
        let mut report = self.lock();
        report.frozen_at = Some(at);
        report.state = State::Frozen;
        // Readers saw the views before they were frozen.
        report.answer_state.set_was_live();
    }

    /// Returns true if the views are shown as they were left because an operator requested that, so that only an operator ends it.
    pub fn is_frozen_on_request(&self) -> bool {
        self.lock().frozen_at.as_ref().is_some_and(|at| at.asked_at.is_some())
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

    /// Sets the projector's judgement.
    pub fn judge(&self, judgement: Judgement) {
        let Judgement { state, error, warnings, kafka, stale_from } = judgement;
        let mut report = self.lock();
        (report.last_error, report.last_error_since) = error.unzip();
        (report.warnings, report.kafka, report.stale_from) = (warnings, Some(kafka), stale_from);
        if report.state != State::Stopping {
            report.state = state;
        }
    }

    /// Sets the report of the topic of views that a replica is made of.
    pub fn set_replica(&self, replica: ReplicaReport) {
        self.lock().replica = Some(replica);
    }

    /// Sets the cluster's state from another report.
    pub fn set_kafka(&self, kafka: Option<KafkaReport>) {
        self.lock().kafka = kafka;
    }

    /// Sets the missing history that nobody has accepted. If the last error describes the missing history before, it is updated.
    pub fn set_missing_history(&self, missing_history: Vec<MissingHistory>) {
        let mut report = self.lock();
        let before = report.missing_history_text();
        report.missing_history = missing_history;
        if before.is_some() && report.last_error == before {
            report.last_error = report.missing_history_text();
            if report.last_error.is_none() {
                report.last_error_since = None;
            }
        }
    }

    /// Returns true if records are missing whose absence nobody has accepted. An id that is not found may be in one of them.
    pub fn is_incomplete(&self) -> bool {
        self.lock().is_incomplete()
    }
}

/// A status counts as a shared state that contains a status, which is the bound of every endpoint's state.
impl AsRef<Status> for Status {
    fn as_ref(&self) -> &Status {
        self
    }
}
