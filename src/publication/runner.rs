//! The thread of a publisher: it repeats steps, rests where nothing is to be done, and reports.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use super::generations::Publication;
use super::metrics;
use super::publisher::Publisher;
use super::stage::{Stage, Step};
use crate::source::views_topic::{ViewsTopic, ViewsTopicError};
use crate::status::{PublicationReport, Status};

/// The interval of the reports.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// The time for which the end of the thread is waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The pauses after steps that failed one after the other: they grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A publisher's thread. Dropping it ends the publishing.
pub struct PublisherThread {
    publication: Publication,
    thread: Option<JoinHandle<()>>,
}

impl Drop for PublisherThread {
    fn drop(&mut self) {
        self.publication.stop();
        let Some(thread) = self.thread.take() else { return };
        let begin = Instant::now();
        // A client that waits for brokers is not waited for: nothing that it could still do would count.
        while !thread.is_finished() && begin.elapsed() < ENDS_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Begins to publish, on a thread of its own.
///
/// # Errors
/// The process may start no more threads.
pub fn start<T: ViewsTopic + 'static>(
    publisher: Publisher<T>,
    publication: Publication,
    status: Status,
) -> io::Result<PublisherThread> {
    metrics::describe();
    let runner = Runner {
        publisher,
        publication: publication.clone(),
        status: status.clone(),
        pause: FIRST_PAUSE,
        error: None,
        is_fenced: false,
        reported: None,
    };
    let published = publication.clone();
    let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| runner.run())).is_err() {
            give_up_after_panic(&published, &status);
        }
    })?;
    Ok(PublisherThread { publication, thread: Some(thread) })
}

/// Lets go of what nobody publishes any more, so that its checkpoints wait for nothing. The log has where it panicked.
fn give_up_after_panic(publication: &Publication, status: &Status) {
    if let Err(error) = publication.fence() {
        tracing::error!("the views are not published any more, and checkpoints go on waiting for that: {error}");
    }
    if let Some(report) = status.report().publication {
        let text = "the publisher panicked, and the log says where: restart the instance, and please report it";
        let error = Some(text.to_owned());
        status.set_publication(PublicationReport { error, holds_checkpoints: false, ..report });
    }
}

struct Runner<T> {
    publisher: Publisher<T>,
    publication: Publication,
    status: Status,
    /// The pause after the next step that fails.
    pause: Duration,
    /// The error that stands, with the time since which it does.
    error: Option<(String, String)>,
    is_fenced: bool,
    reported: Option<Instant>,
}

impl<T: ViewsTopic> Runner<T> {
    fn run(mut self) {
        while !self.publication.is_stopping() {
            let now = Instant::now();
            self.note_lag();
            let step = if self.is_fenced { Ok(Step::Rest(REPORT_EVERY)) } else { self.publisher.step(now) };
            let rest = match step {
                Ok(step) => {
                    if !self.is_fenced && self.error.take().is_some() {
                        tracing::info!("the topic of views is published on again");
                    }
                    self.pause = FIRST_PAUSE;
                    match step {
                        Step::Again => None,
                        Step::Rest(rest) => Some(rest),
                    }
                }
                Err(ViewsTopicError::Fenced(why)) => {
                    tracing::debug!(why, "fenced");
                    self.give_up()
                }
                Err(error) => self.fail(&error.to_string()),
            };
            self.report(now);
            match rest {
                Some(rest) if self.error.is_some() => self.sleep(rest),
                Some(rest) => self.publication.wait(rest),
                None => {}
            }
        }
        self.report(Instant::now() + REPORT_EVERY);
    }

    /// Notes how old the views are, for the marks.
    fn note_lag(&self) {
        let now = Utc::now().timestamp_millis();
        // Rounded up, so that nothing counts as read that was not.
        let lag =
            self.status.answer_state().lag_micros.map(|micros| Duration::from_millis(micros.div_ceil(1_000)));
        self.publication.note_lag(now, lag);
    }

    /// Sleeps although there may be something to publish, in parts so that a stop is noticed.
    fn sleep(&self, rest: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < rest && !self.publication.is_stopping() {
            std::thread::sleep(Duration::from_millis(20).min(rest));
        }
    }

    fn give_up(&mut self) -> Option<Duration> {
        match self.publisher.give_up() {
            Ok(()) => {
                self.is_fenced = true;
                let text = format!(
                    "another publisher has taken over the topic of views {}, so that this instance publishes nothing any more and only \
                     serves reads. If the other one is not wanted, stop it and restart this instance",
                    self.publication.topic()
                );
                tracing::error!("{text}");
                self.set_error(text);
                None
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn fail(&mut self, why: &str) -> Option<Duration> {
        if self.error.as_ref().is_none_or(|(standing, _)| standing != why) {
            tracing::warn!("nothing can be put on the topic of views now, and it is tried again: {why}");
        }
        self.set_error(why.to_owned());
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        Some(pause)
    }

    fn set_error(&mut self, text: String) {
        let since = self.error.take().map(|(_, since)| since);
        let since = since.unwrap_or_else(|| Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        self.error = Some((text, since));
    }

    fn report(&mut self, now: Instant) {
        if self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < REPORT_EVERY) {
            return;
        }
        self.reported = Some(now);
        let current = self.publication.current();
        let (touched, since) = self.publication.unpublished();
        let stage = if self.is_fenced { Stage::Fenced } else { self.publisher.stage() };
        let marked = self.publisher.marked();
        let report = PublicationReport {
            topic: self.publication.topic().to_owned(),
            format: self.publication.format().name(),
            state: stage.name(),
            unpublished: touched + self.publisher.left(),
            oldest_unpublished_seconds: since.map(|since| now.saturating_duration_since(since).as_secs_f64()),
            holds_checkpoints: current.is_some_and(|current| current.touched.is_gate_closed()),
            published: self.publisher.published(),
            version: self.publisher.version(),
            awaited_position: self.publisher.awaited_position(),
            marked_at: marked.map(|mark| mark.written_at.clone()),
            marked_positions: marked.map(|mark| mark.positions.clone()),
            error: self.error.as_ref().map(|(text, _)| text.clone()),
            error_since: self.error.as_ref().map(|(_, since)| since.clone()),
        };
        metrics::record(&report);
        self.status.set_publication(report);
    }
}
