//! The thread of a publisher: it repeats steps, rests where nothing is to be done, and reports.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use super::generations::Publication;
use super::metrics;
use super::publisher::Publisher;
use super::reporter::{REPORT_EVERY, Reporter};
use super::stage::{Stage, Step};
use crate::source::views_topic::{ViewsTopic, ViewsTopicError};
use crate::status::Status;

/// The time for which the end of the thread is waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The time from the beginning of one transaction to that of the next, unless it takes longer. Each transaction costs a control record in every
/// partition that it wrote to, whatever it wrote, and what comes meanwhile goes with the next one.
const TRANSACTION_INTERVAL: Duration = Duration::from_millis(15);
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
    let reporter = Reporter::new(publication.clone(), status);
    let runner = Runner::new(publisher, publication.clone(), reporter.clone());
    let (published, report) = (publication.clone(), reporter.clone());
    let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| runner.run())).is_err() {
            give_up_after_panic(&published, &report);
        }
    })?;
    let thread = PublisherThread { publication, thread: Some(thread) };
    std::thread::Builder::new().name("publisher-report".to_owned()).spawn(move || reporter.run())?;
    Ok(thread)
}

/// Lets go of what nobody publishes any more, so that its checkpoints wait for nothing. The log has where it panicked.
fn give_up_after_panic(publication: &Publication, reporter: &Reporter) {
    if let Err(error) = publication.fence() {
        tracing::error!("the views are not published any more, and checkpoints go on waiting for that: {error}");
    }
    let text = "the publisher panicked, and the log says where: restart the instance, and please report it";
    reporter.note(|facts| facts.error = Some((text.to_owned(), now())));
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

struct Runner<T> {
    publisher: Publisher<T>,
    publication: Publication,
    reporter: Reporter,
    /// The pause after the next step that fails.
    pause: Duration,
    /// The error that stands, with the time since which it does.
    error: Option<(String, String)>,
    is_fenced: bool,
}

impl<T: ViewsTopic> Runner<T> {
    fn new(publisher: Publisher<T>, publication: Publication, reporter: Reporter) -> Runner<T> {
        Runner { publisher, publication, reporter, pause: FIRST_PAUSE, error: None, is_fenced: false }
    }

    fn run(mut self) {
        while !self.publication.is_stopping() {
            self.reporter.note_lag(Utc::now().timestamp_millis());
            let begin = Instant::now();
            let step = match self.is_fenced {
                true => Ok(Step::Rest(REPORT_EVERY)),
                false => self.publisher.step(begin),
            };
            let rest = match step {
                Ok(step) => {
                    self.succeed();
                    match step {
                        Step::Again => None,
                        Step::Published => {
                            std::thread::sleep(TRANSACTION_INTERVAL.saturating_sub(begin.elapsed()));
                            None
                        }
                        Step::Rest(rest) => Some(rest),
                    }
                }
                Err(ViewsTopicError::Fenced(why)) => {
                    tracing::debug!(why, "fenced");
                    self.give_up()
                }
                Err(error) => self.fail(&error.to_string()),
            };
            self.note_facts();
            match rest {
                Some(rest) if self.error.is_some() => self.sleep(rest),
                Some(rest) => self.publication.wait(rest),
                None => {}
            }
        }
    }

    /// Takes note that a step has succeeded.
    fn succeed(&mut self) {
        if !self.is_fenced && self.error.take().is_some() {
            tracing::info!("the topic of views is published on again");
        }
        self.pause = FIRST_PAUSE;
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
        let since = since.unwrap_or_else(now);
        self.error = Some((text, since));
    }

    /// Notes for the reports what the publisher is at.
    fn note_facts(&self) {
        self.reporter.note(|facts| {
            facts.stage = if self.is_fenced { Stage::Fenced } else { self.publisher.stage() };
            facts.left = self.publisher.left();
            facts.published = self.publisher.published();
            facts.version = self.publisher.version();
            facts.awaited_position = self.publisher.awaited_position();
            facts.marked = self.publisher.last_mark();
            facts.error.clone_from(&self.error);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::codec::published_view::ViewsFormat;
    use crate::publication::PublisherSettings;
    use crate::publication::scripted_topic::{ScriptedStore, ScriptedTopic};
    use crate::status::PublicationReport;

    /// Runs a publisher of a store with one view, until the test returns.
    fn run(topic: ScriptedTopic, test: impl FnOnce(&mut ScriptedStore, &Publication, &Status)) {
        let mut store = ScriptedStore::new();
        store.write("a", Some("name"));
        store.rest_at(0);
        let publication = Publication::new("views", ViewsFormat::Json);
        publication.attach(&store.reader, store.path()).unwrap();
        let settings = PublisherSettings { takeover_time: Duration::ZERO, ..PublisherSettings::new(REPORT_EVERY) };
        let publisher = Publisher::new(topic, publication.clone(), settings);
        let status = Status::new(1);
        let thread = start(publisher, publication.clone(), status.clone()).unwrap();
        test(&mut store, &publication, &status);
        drop(thread);
        assert!(publication.is_stopping());
        if let Some(current) = publication.current() {
            let begin = Instant::now();
            current.touched.note([0]);
            let seal = current.touched.close_gate();
            let until = begin + Duration::from_secs(60);
            assert!(!current.touched.wait_to_pass(seal, Some(until)) && Instant::now() < until, "nobody waits");
        }
    }

    fn away() -> Option<ViewsTopicError> {
        Some(ViewsTopicError::Unavailable("away".to_owned()))
    }

    fn wait_for(status: &Status, what: &str, is: impl Fn(&PublicationReport) -> bool) -> PublicationReport {
        let begin = Instant::now();
        loop {
            let report = status.report().publication;
            if let Some(report) = report.clone().filter(|report| is(report)) {
                return report;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "still not: {what}: {report:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_error_is_reported_until_the_topic_takes_views_again() {
        let topic = ScriptedTopic { outcomes: (0..5).map(|_| away()).collect(), ..ScriptedTopic::default() };
        run(topic, |_, _, status| {
            let report = wait_for(status, "it fails", |report| report.error.is_some());
            assert_eq!((report.state, report.error.as_deref(), report.published), ("starting", Some("away"), 0));
            assert!(report.error_since.is_some() && !report.holds_checkpoints);
            let report = wait_for(status, "it goes on", |report| report.error.is_none() && report.published > 0);
            assert_eq!(report.error_since, None);
            let report = wait_for(status, "it is marked", |report| report.marked_at.is_some());
            assert_eq!((report.state, report.unpublished, report.published), ("publishing", 0, 1));
            assert!(report.holds_checkpoints && report.oldest_unpublished_seconds.is_none());
        });
    }

    #[test]
    fn what_is_not_published_is_counted_with_its_age() {
        // The marks of the beginning, the view, and the first mark are committed.
        let outcomes = [None, None, None].into_iter().chain((0..1_000).map(|_| away()));
        run(ScriptedTopic { outcomes: outcomes.collect(), ..ScriptedTopic::default() }, |store, _, status| {
            wait_for(status, "it publishes", |report| report.state == "publishing" && report.marked_at.is_some());
            store.write("b", Some("name"));
            store.write("c", Some("name"));
            let report = wait_for(status, "it fails", |report| report.error.is_some() && report.unpublished == 2);
            assert!(report.oldest_unpublished_seconds.is_some() && report.holds_checkpoints);
        });
    }

    #[test]
    fn what_a_comparison_has_found_counts_until_it_is_published() {
        let outcomes = std::iter::once(None).chain((0..1_000).map(|_| away()));
        run(ScriptedTopic { outcomes: outcomes.collect(), ..ScriptedTopic::default() }, |_, _, status| {
            let report = wait_for(status, "it fails", |report| report.error.is_some());
            assert_eq!((report.state, report.unpublished, report.holds_checkpoints), ("reconciling", 1, false));
        });
    }

    /// A client of brokers that are away may wait for a minute.
    #[test]
    fn what_waits_is_reported_while_the_publisher_waits_for_brokers() {
        let is_away = Arc::new(Mutex::new(()));
        let topic = ScriptedTopic { is_away: Some((3, is_away.clone())), ..ScriptedTopic::default() };
        let away = is_away.lock();
        run(topic, |store, _, status| {
            wait_for(status, "it publishes", |report| report.state == "publishing" && report.marked_at.is_some());
            store.write("b", Some("name"));
            let report = wait_for(status, "it waits", |report| {
                report.oldest_unpublished_seconds.is_some_and(|age| age > 0.6)
            });
            assert_eq!((report.unpublished, report.published, report.holds_checkpoints), (1, 1, true));
            drop(away);
            wait_for(status, "it goes on", |report| report.unpublished == 0 && report.published == 2);
        });
    }

    #[test]
    fn a_publisher_that_is_fenced_reports_it_and_holds_nothing_any_more() {
        // It takes the topic over again, and is fenced again, until another one's mark is there.
        let topic = ScriptedTopic {
            outcomes: [None, None, Some(ViewsTopicError::Fenced("fenced".to_owned()))].into(),
            comes_at_fence: Some(crate::publication::scripted_topic::mark(0, "another", 1_000, 1)),
            ..ScriptedTopic::default()
        };
        run(topic, |store, publication, status| {
            let report = wait_for(status, "it is fenced", |report| report.state == "fenced");
            assert!(
                report.error.is_some_and(|error| error.contains("another publisher has taken over the topic"))
            );
            assert!(!report.holds_checkpoints && report.published <= 1);
            assert!(publication.current().is_none());
            store.write("b", Some("name"));
            assert_eq!(publication.unpublished(), (0, None));
        });
    }

    #[test]
    fn a_publisher_that_panics_holds_nothing_any_more() {
        let topic = ScriptedTopic { panics_after: Some(2), ..ScriptedTopic::default() };
        run(topic, |_, publication, status| {
            let report = wait_for(status, "it has panicked", |report| {
                report.error.as_ref().is_some_and(|error| error.contains("the publisher panicked"))
            });
            assert!(!report.holds_checkpoints);
            assert!(publication.current().is_none());
        });
    }

    #[test]
    fn the_pauses_after_failures_grow_and_begin_anew_after_a_success() {
        let publication = Publication::new("views", ViewsFormat::Json);
        let publisher =
            Publisher::new(ScriptedTopic::default(), publication.clone(), PublisherSettings::new(REPORT_EVERY));
        let reporter = Reporter::new(publication.clone(), Status::new(1));
        let mut runner = Runner::new(publisher, publication, reporter);
        let pauses: Vec<_> = (0..9).map(|_| runner.fail("away").unwrap().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        runner.error = Some(("away".to_owned(), "some time ago".to_owned()));
        runner.fail("still away");
        assert_eq!(runner.error, Some(("still away".to_owned(), "some time ago".to_owned())));
        runner.succeed();
        assert_eq!((runner.fail("away"), runner.pause), (Some(FIRST_PAUSE), 2 * FIRST_PAUSE));
    }
}
