//! The reports of a publisher, made by a thread of their own: a publisher that waits for brokers cannot report that it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::generations::Publication;
use super::metrics;
use super::records::Mark;
use super::stage::Stage;
use crate::status::{PublicationReport, Status};

/// The interval of the reports.
pub const REPORT_EVERY: Duration = Duration::from_millis(250);

/// The facts that a publisher has noted of itself after its last step.
#[derive(Clone, Debug)]
pub struct PublisherFacts {
    pub stage: Stage,
    /// The number of views that a comparison has found and that are not published yet.
    pub left: u64,
    pub published: u64,
    pub version: u64,
    pub awaited_position: Option<String>,
    pub marked: Option<Arc<Mark>>,
    /// The error that stands, with the time since which it does.
    pub error: Option<(String, String)>,
}

impl Default for PublisherFacts {
    fn default() -> PublisherFacts {
        PublisherFacts {
            stage: Stage::Starting,
            left: 0,
            published: 0,
            version: 0,
            awaited_position: None,
            marked: None,
            error: None,
        }
    }
}

/// A reporter of what a publisher has noted, and of what waits for it.
#[derive(Clone)]
pub struct Reporter {
    publication: Publication,
    status: Status,
    facts: Arc<Mutex<PublisherFacts>>,
}

impl Reporter {
    pub fn new(publication: Publication, status: Status) -> Reporter {
        Reporter { publication, status, facts: Arc::default() }
    }

    /// Notes how old the views are at a time, in milliseconds since 1970, for the marks.
    pub fn note_lag(&self, now: i64) {
        // Rounded up, so that nothing counts as read that was not.
        let lag = self.status.answer_state().lag_micros;
        self.publication.note_lag(now, lag.map(|micros| Duration::from_millis(micros.div_ceil(1_000))));
    }

    /// Changes what is noted of the publisher.
    pub fn note(&self, change: impl FnOnce(&mut PublisherFacts)) {
        change(&mut self.facts.lock());
    }

    /// Reports until the publishing ends.
    pub fn run(&self) {
        while !self.publication.is_stopping() {
            self.report(Instant::now());
            self.publication.wait_for_stop(REPORT_EVERY);
        }
        self.report(Instant::now());
    }

    fn report(&self, now: Instant) {
        let facts = self.facts.lock().clone();
        let current = self.publication.current();
        let (touched, since) = self.publication.unpublished();
        let (error, error_since) = facts.error.unzip();
        let report = PublicationReport {
            topic: self.publication.topic().to_owned(),
            format: self.publication.format().name(),
            state: facts.stage.name(),
            unpublished: touched + facts.left,
            oldest_unpublished_seconds: since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
            holds_checkpoints: current.is_some_and(|current| current.touched.is_gate_closed()),
            published: facts.published,
            version: facts.version,
            awaited_position: facts.awaited_position,
            marked_at: facts.marked.as_ref().map(|mark| mark.written_at.clone()),
            marked_positions: facts.marked.map(|mark| mark.positions.clone()),
            error,
            error_since,
        };
        metrics::record(&report);
        self.status.set_publication(report);
    }
}
