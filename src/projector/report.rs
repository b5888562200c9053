//! The report of the projector into the status: the state, all that is wrong, and since when.

use std::time::{Duration, Instant};

use metrics::gauge;

use super::checkpoints::Checkpoints;
use super::finding_throttle::FindingThrottle;
use super::findings::FindingsCollector;
use super::health::Health;
use super::letter_gate::LetterGate;
use super::moment::Moment;
use super::partitions::Partitions;
use super::troubles::{Trouble, TroubleHistory, doubts, hidden_records, joined, partition_errors};
use super::write_back::WriteBack;
use crate::source::{Source, TopicNames};
use crate::status::{self, Judgement, KafkaReport, MissingHistory, State, Status};
use crate::store::MissingHistoryLedger;

/// The interval between two reports into the status.
pub const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Writes the status, and keeps what spans several reports.
pub struct Reporter {
    topics: TopicNames,
    status: Status,
    missing_history: MissingHistoryLedger,
    health: Health,
    history: TroubleHistory,
    /// Number of dead letters that were replaced by their count, as last reported.
    replaced: Option<u64>,
    replaced_log: FindingThrottle,
    last: Instant,
}

/// The parts of the projector that a report is made of.
pub struct ReportedParts<'a> {
    /// The reason for which something is not read, or nothing at all.
    pub stop_text: Option<String>,
    pub is_live: bool,
    /// Id of the cluster that the views are built from.
    pub cluster_id: Option<&'a str>,
    pub partitions: &'a mut Partitions,
    pub checkpoints: &'a Checkpoints,
    pub findings: &'a FindingsCollector,
    pub letters: &'a LetterGate,
    /// Number of letters of which only the count was left when the others were written to their topic.
    pub letters_only_counted: u64,
    pub write_back: &'a mut WriteBack,
}

impl Reporter {
    pub fn new(
        topics: TopicNames,
        status: Status,
        missing_history: MissingHistoryLedger,
        now: Instant,
    ) -> Reporter {
        let (health, history) = (Health::new(now), TroubleHistory::default());
        let replaced_log = FindingThrottle::default();
        Reporter { topics, status, missing_history, health, history, replaced: None, replaced_log, last: now }
    }

    /// Returns true if the status is to be written again.
    pub fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= REPORT_EVERY
    }

    /// Writes the status as of `now`.
    pub fn report(&mut self, now: Moment, source: &dyn Source, parts: ReportedParts<'_>) {
        self.last = now.instant;
        self.observe(now, source, &mut *parts.partitions, parts.is_live);
        let watermarks = |partition| source.watermarks(partition);
        let partitions = parts.partitions.reports(parts.checkpoints, &self.health, now, watermarks);
        let stale_from = self.health.stale_from();
        let is_stale = stale_from.is_some_and(|from| now.instant >= from);
        let state = match (&parts.stop_text, parts.is_live, partitions.is_empty()) {
            (Some(_), _, _) => State::Stalled,
            (None, true, _) if is_stale => State::Stale,
            (None, true, _) => State::Live,
            (None, false, true) if self.status.answer_state().was_live => State::Stale,
            (None, false, true) => State::Starting,
            (None, false, false) => State::CatchingUp,
        };
        let mut troubles = self.troubles(now, source, parts.stop_text);
        if !parts.findings.is_quiet() {
            troubles.extend(self.history.trouble("streams", parts.findings.stream_problem(), now));
            self.history.log_staleness(is_stale, &troubles);
        }
        self.status.set_letter_topic(parts.letters.report(parts.letters_only_counted));
        troubles.extend(self.history.trouble("dead letter topic", parts.letters.trouble(), now));
        let missing = self.report_missing_history();
        troubles.extend(self.history.trouble("missing history", missing, now));
        let writer = parts.write_back.writer();
        self.status.set_progress(partitions, writer.views(), writer.dead_letters());
        self.report_replaced(now, writer.replaced_dead_letters(), parts.findings.is_quiet());
        self.status.judge(Judgement {
            state,
            error: joined(troubles),
            warnings: hidden_records(&self.health, &self.topics, now),
            kafka: KafkaReport { cluster_id: parts.cluster_id.map(str::to_owned), ..self.health.kafka() },
            stale_from,
        });
        if !parts.findings.is_quiet() {
            gauge!("optview_working_set_records").set(parts.write_back.records_in_memory() as f64);
            gauge!("optview_working_set_bytes").set(parts.write_back.memory_used() as f64);
        }
    }

    /// Takes in what the source knows of the cluster and of every partition.
    fn observe(&mut self, now: Moment, source: &dyn Source, partitions: &mut Partitions, is_live: bool) {
        self.health.observe_cluster(now, source.cluster_health(), is_live);
        for reading in partitions.readings() {
            let observation = source.observation(reading.partition);
            let error = source.partition_error(reading.partition);
            self.health.observe(now, reading, observation, error);
        }
    }

    /// Everything that keeps the views from being up to date.
    fn troubles(&mut self, now: Moment, source: &dyn Source, stop_text: Option<String>) -> Vec<Trouble> {
        let mut troubles: Vec<Trouble> = self.history.trouble("stopped", stop_text, now).into_iter().collect();
        troubles.extend(partition_errors(&self.health, &self.topics));
        match &self.health.cluster.error {
            Some(error) => troubles.push(Trouble { text: error.text.clone(), since: error.since }),
            None => troubles.extend(self.history.trouble("source", source.trouble(), now)),
        }
        troubles.extend(doubts(&self.health, &self.topics, now));
        troubles
    }

    /// Writes into the status how many dead letters were replaced by their count, and logs it once that number has grown.
    fn report_replaced(&mut self, now: Moment, replaced: u64, is_quiet: bool) {
        self.status.set_replaced_dead_letters(replaced);
        let is_more = self.replaced.replace(replaced).is_some_and(|before| replaced > before);
        if is_more && !is_quiet && self.replaced_log.is_due(now.instant).is_some() {
            tracing::warn!(
                replaced,
                "there are more dead letters than --dead-letters-max and --dead-letters-max-bytes allow: only the count of \
                 the oldest is kept"
            );
        }
    }

    /// Writes into the status which records the generation was built without, as long as nobody has accepted that. Returns it
    /// as text.
    fn report_missing_history(&self) -> Option<String> {
        let missing: Vec<MissingHistory> = self.missing_history.not_accepted().into_iter().map(shown).collect();
        let text = status::missing_history_text(&missing);
        self.status.set_missing_history(missing);
        text
    }
}

fn shown(missing: crate::data_dir::MissingHistory) -> MissingHistory {
    let crate::data_dir::MissingHistory { topic, partition, from, to, since, accepted_at: _ } = missing;
    MissingHistory { topic, partition, from, to, since }
}
