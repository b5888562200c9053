//! The findings in the records: what is counted, logged and shown of them. If readers see the generation, its findings are the
//! process's own; if not, they are the rebuild's, which no metric and no log line repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::dead_letters::DeadLetterLog;
use super::ineffective_events::IneffectiveEvents;
use super::metrics::RecordMetrics;
use super::nulled_numbers::NulledNumberReports;
use super::stream_quality::StreamQuality;
use super::write_back::WriteBack;
use crate::codec::Framing;
use crate::domain::fold::Effects;
use crate::domain::{Body, DeadLetter, Envelope, Topic};
use crate::source::TopicNames;
use crate::status::{Findings, Status};
use crate::store::{StoreError, Writer};

/// Everything that was found and is not in the status yet, and where it is to go.
pub struct FindingsCollector {
    topics: TopicNames,
    status: Status,
    /// True while another generation is what readers see. Set by another thread.
    quiet: Arc<AtomicBool>,
    /// The same, as it was when this last looked.
    was_quiet: bool,
    metrics: RecordMetrics,
    ineffective: IneffectiveEvents,
    nulled_numbers: NulledNumberReports,
    streams: StreamQuality,
    letter_log: DeadLetterLog,
    /// Number of records loaded from and written to the store, as of the last publication.
    loads: u64,
    writes: u64,
}

impl FindingsCollector {
    pub fn new(
        writer: &Writer,
        topics: TopicNames,
        framing: Framing,
        status: Status,
        quiet: Arc<AtomicBool>,
    ) -> Result<FindingsCollector, StoreError> {
        Ok(FindingsCollector {
            was_quiet: quiet.load(Ordering::Acquire),
            quiet,
            status,
            metrics: RecordMetrics::new(),
            ineffective: IneffectiveEvents::new(topics.clone()),
            nulled_numbers: NulledNumberReports::new(topics.clone()),
            streams: StreamQuality::new(&writer.reader(), writer.checkpoint_at_open(), topics.clone(), framing)?,
            letter_log: DeadLetterLog::default(),
            topics,
            loads: 0,
            writes: 0,
        })
    }

    /// Returns true if nothing that is found is counted or logged: the projector of what readers see does that.
    pub fn is_quiet(&self) -> bool {
        self.was_quiet
    }

    /// Returns true if readers have begun or ceased to see the generation since the last call. What was found until then stays
    /// with what the generation was: the records that a rebuild has read were counted when the generation before read them.
    pub fn notice_switch(&mut self, write_back: &WriteBack) -> bool {
        let is_quiet = self.quiet.load(Ordering::Acquire);
        if is_quiet == self.was_quiet {
            return false;
        }
        self.publish(write_back);
        self.was_quiet = is_quiet;
        self.streams.count_anew();
        true
    }

    /// Takes note of what the fold of an event shows about its producer.
    pub fn note_effects(&mut self, envelope: &Envelope<'_>, mut effects: Effects, now: Instant) {
        if let Some(outranked) = effects.outranked.take() {
            self.ineffective.note_outranked(*outranked, self.was_quiet, now);
        }
        if envelope.nulled_numbers > 0 {
            self.nulled_numbers.note(envelope, self.was_quiet, now);
        }
        if effects.deleted_nothing
            && let Body::Optimization { optimization_id, .. } = &envelope.event.body
        {
            self.ineffective.note_deletion(envelope, optimization_id, self.was_quiet, now);
        }
        if !self.was_quiet {
            self.metrics.count_effects(&effects);
        }
    }

    pub fn log_dead_letter(&mut self, dead_letter: &DeadLetter, now: Instant) {
        if !self.was_quiet {
            self.letter_log.log(dead_letter, &self.topics, now);
        }
    }

    /// Counts records of a stream that have been read. `understood` is the number of those that are events.
    pub fn count_records(
        &mut self,
        topic: Topic,
        understood: u64,
        events: &[Result<Envelope<'_>, Box<DeadLetter>>],
    ) {
        if !self.was_quiet {
            self.metrics.count_records(topic, understood, events.len() as u64 - understood);
        }
        let dead_letters = events.iter().filter_map(|event| event.as_ref().err());
        self.streams.count(topic, understood, dead_letters.map(|dead_letter| &**dead_letter));
    }

    /// The problem of the first stream of which too few records are understood.
    pub fn stream_problem(&self) -> Option<String> {
        self.streams.problem()
    }

    /// Writes what was found since the last call into the status.
    pub fn publish(&mut self, write_back: &WriteBack) {
        let (loads, writes) = (write_back.loads, write_back.writer.records_written());
        if !self.was_quiet {
            self.metrics.count_store_records(loads - self.loads, writes - self.writes);
        }
        (self.loads, self.writes) = (loads, writes);
        let (outranked, deletions) = self.ineffective.take_news(|id| write_back.knows(id));
        let nulled_numbers = self.nulled_numbers.take_news();
        let streams = self.streams.report(!self.was_quiet);
        self.change(|findings| {
            findings.outranked_events.add(outranked);
            findings.deletions_without_effect.add(deletions);
            findings.nulled_numbers.add(nulled_numbers);
            findings.set_streams(streams);
        });
    }

    /// Changes the findings in the status: the process's own, or the rebuild's.
    pub fn change(&self, change: impl FnOnce(&mut Findings)) {
        match self.was_quiet {
            true => self.status.change_rebuild_findings(change),
            false => self.status.change_findings(change),
        }
    }
}
