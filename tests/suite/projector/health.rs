//! The status shows of a partition and of the cluster what the cluster answers, as long as it answers so: an error stands until its
//! own proof has come, and what is not known is not taken for nothing.

use std::time::Duration;

use optview::domain::{PartitionOffset, Topic, TopicPartition};
use optview::projector::PauseHandle;
use optview::source::{
    ClusterHealth, PartitionObservation, Source, SourceEvent, StandingError, StopReason, Watermarks,
};
use optview::status::{PartitionReport, Report, State, Status};

use super::script;
use super::stepped_projector::{Clock, SteppedProjector};
use crate::fixtures;

/// The answers of a cluster that is asked about its partitions.
#[derive(Default)]
struct Answers {
    /// The low watermark, the last stable offset and the high watermark of `jobs`.
    jobs: Option<(i64, i64, i64)>,
    jobs_error: Option<StandingError>,
    cluster: ClusterHealth,
    trouble: Option<String>,
}

/// Three empty topics, and a cluster that answers as the test wants.
struct Cluster {
    answers: Answers,
    clock: Clock,
    is_found: bool,
}

impl Source for Cluster {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        if !std::mem::replace(&mut self.is_found, true) {
            for topic in Topic::ALL {
                let partition = TopicPartition::new(topic, 0);
                take(SourceEvent::Found { partition, watermarks: Watermarks { low: 0, high: 0 } });
            }
        }
        false
    }

    fn assign(&mut self, _: TopicPartition, _: i64) -> Result<(), StopReason> {
        Ok(())
    }

    fn stop(&mut self, _: TopicPartition) {}

    fn watermarks(&self, _: TopicPartition) -> Option<Watermarks> {
        Some(Watermarks { low: 0, high: 0 })
    }

    fn trouble(&self) -> Option<String> {
        self.answers.trouble.clone()
    }

    fn is_complete(&self) -> bool {
        self.is_found
    }

    fn observation(&self, TopicPartition { topic, .. }: TopicPartition) -> Option<PartitionObservation> {
        let answer = if topic == Topic::Jobs { self.answers.jobs } else { Some((0, 0, 0)) };
        let (low, last_stable, high) = answer?;
        let asked_at = self.clock.instant();
        Some(PartitionObservation { topic_id: None, low, last_stable, high, asked_at })
    }

    fn partition_error(&self, TopicPartition { topic, .. }: TopicPartition) -> Option<StandingError> {
        self.answers.jobs_error.clone().filter(|_| topic == Topic::Jobs)
    }

    fn cluster_health(&self) -> ClusterHealth {
        self.answers.cluster.clone()
    }

    fn publish(&mut self, _: &[PartitionOffset]) {}
}

/// A projector that is live, and the cluster that it asks.
struct World<'a>(SteppedProjector<'a, Cluster>);

impl World<'_> {
    /// Changes the cluster's answers.
    fn set(&mut self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.source.answers);
    }

    /// Turns the projector until the report is as it should be.
    fn turn_until(&mut self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        self.0.turn_until(what, is)
    }
}

fn jobs(report: &Report) -> &PartitionReport {
    report.partitions.iter().find(|held| held.topic == "jobs").expect("the report has it")
}

fn error(code: &str, text: &str) -> Option<StandingError> {
    let since = "2026-11-28T10:00:00.5Z".parse().unwrap();
    Some(StandingError { code: code.to_owned(), text: text.to_owned(), since })
}

fn with_live_projector(test: impl FnOnce(&mut World<'_>)) {
    let data = tempfile::tempdir().unwrap();
    let opened = fixtures::open(data.path());
    let settings = script::settings(&opened.path, 1 << 20);
    let (status, control, clock) = (Status::new(1), PauseHandle::default(), Clock::new());
    let answers = Answers { jobs: Some((0, 0, 0)), ..Answers::default() };
    let source = Cluster { answers, clock: clock.clone(), is_found: false };
    let mut world = World(SteppedProjector::new(opened.writer, settings, source, status, &control, clock));
    world.turn_until("live", |report| report.state == State::Live);
    test(&mut world);
    world.0.finish();
}

#[test]
fn what_the_broker_of_one_partition_does_not_say_is_unknown_of_that_one_and_of_the_whole() {
    with_live_projector(|world| {
        world.turn_until("all confirmed", |report| {
            report.lag_records == Some(0) && report.lag_seconds == Some(0.0)
        });
        world.set(|answers| answers.jobs = Some((0, 7, 7)));
        let behind = world.turn_until("behind", |report| report.lag_records == Some(7));
        assert_eq!((jobs(&behind).high, jobs(&behind).freshness.last_stable), (Some(7), Some(7)));
        assert!(jobs(&behind).lag_seconds.is_some(), "{behind:?}");
        let first = jobs(&behind).freshness.confirmed_at.clone();
        world.set(|answers| answers.jobs = Some((0, 0, 0)));
        let back = world.turn_until("confirmed again", |report| report.lag_records == Some(0));
        assert_eq!(back.last_error, None);
        world.turn_until("a later time", |report| jobs(report).freshness.confirmed_at > first);
        // As of a cluster that answers about the others only.
        world.set(|answers| answers.jobs = None);
        let is_known = |report: &Report| (report.partitions[0].lag_records, jobs(report).lag_records);
        let unknown = world.turn_until("unknown", |report| is_known(report) == (Some(0), None));
        assert_eq!(unknown.lag_records, None, "not the sum of what is known");
    });
}

#[test]
fn an_error_of_one_partition_stands_while_the_others_are_read_and_ends_by_its_own_proof() {
    with_live_projector(|world| {
        world.set(|answers| answers.jobs_error = error("TopicAuthorizationFailed", "not allowed to read"));
        let failing = world.turn_until("an error", |report| report.last_error.is_some());
        assert_eq!(failing.last_error.as_deref(), Some("jobs/0: not allowed to read"));
        world.set(|answers| answers.jobs_error = error("TopicAuthorizationFailed", "jobs/0: still not"));
        let named = world.turn_until("the next", |report| report.last_error != failing.last_error);
        assert_eq!(named.last_error.as_deref(), Some("jobs/0: still not"), "it is named once");
        world.set(|answers| answers.jobs_error = error("TopicAuthorizationFailed", "not allowed to read"));
        world.turn_until("the first again", |report| report.last_error == failing.last_error);
        assert_eq!(failing.last_error_since.as_deref(), Some("2026-11-28T10:00:00.500Z"));
        let freshness = &jobs(&failing).freshness;
        assert_eq!(freshness.error_code.as_deref(), Some("TopicAuthorizationFailed"));
        assert_eq!(freshness.error_since.as_deref(), Some("2026-11-28T10:00:00.500Z"));
        assert_eq!(failing.partitions[0].freshness.error, None);
        // The cluster's trouble comes and goes; the partition's stays.
        world.set(|answers| answers.cluster.error = error("AllBrokersDown", "3/3 brokers are down"));
        let both =
            world.turn_until("both", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.error.is_some()));
        assert_eq!(both.last_error.as_deref(), Some("jobs/0: not allowed to read; 3/3 brokers are down"));
        world.set(|answers| answers.cluster.error = None);
        let one =
            world.turn_until("one", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.error.is_none()));
        assert_eq!(one.last_error.as_deref(), Some("jobs/0: not allowed to read"));
        world.set(|answers| answers.jobs_error = None);
        let none = world.turn_until("none", |report| report.last_error.is_none());
        assert_eq!((none.last_error_since, none.state), (None, State::Live));
    });
}

#[test]
fn the_status_shows_how_the_cluster_answers() {
    with_live_projector(|world| {
        let never = world.turn_until("a report of the cluster", |report| report.kafka.is_some()).kafka.unwrap();
        assert_eq!((never.up, never.last_answer_seconds_ago, never.renewals), (false, None, 0));
        let renewed = "2026-11-28T11:00:00Z".parse().unwrap();
        let now = world.0.clock.instant();
        world.set(|answers| {
            answers.cluster.last_answer = Some(now);
            (answers.cluster.renewals, answers.cluster.last_renewal) = (2, Some(renewed));
        });
        let up =
            world.turn_until("renewed", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.renewals == 2));
        let up = up.kafka.unwrap();
        assert_eq!(up.last_renewal_at.as_deref(), Some("2026-11-28T11:00:00.000Z"));
        assert!(up.last_answer_seconds_ago.is_some());
        let long_ago = world.0.clock.instant() - Duration::from_secs(720);
        world.set(|answers| answers.cluster.last_answer = Some(long_ago));
        let down = world.turn_until("down", |report| report.kafka.as_ref().is_some_and(|kafka| !kafka.up));
        assert!(down.kafka.unwrap().last_answer_seconds_ago.is_some_and(|age| age >= 720.0));
    });
}

#[test]
fn what_an_open_transaction_hides_is_seen_and_is_no_lag() {
    with_live_projector(|world| {
        world.set(|answers| answers.jobs = Some((0, 0, 103)));
        let hidden = world.turn_until("hidden", |report| {
            jobs(report).freshness.hidden_records == Some(103) && jobs(report).lag_records == Some(0)
        });
        assert_eq!((jobs(&hidden).high, jobs(&hidden).freshness.last_stable), (Some(103), Some(0)));
        assert!(jobs(&hidden).freshness.hidden_since.is_some());
        assert_eq!(hidden.last_error, None);
        world.set(|answers| answers.jobs = Some((0, 0, 0)));
        world.turn_until("nothing hidden", |report| jobs(report).freshness.hidden_since.is_none());
    });
}

#[test]
fn a_trouble_of_the_source_stands_since_it_was_first_reported() {
    with_live_projector(|world| {
        world.set(|answers| answers.trouble = Some("attempt 1 failed".to_owned()));
        let first = world.turn_until("an error", |report| report.last_error.is_some());
        world.set(|answers| answers.trouble = Some("attempt 2 failed".to_owned()));
        let second = world.turn_until("the next", |report| report.last_error != first.last_error);
        assert_eq!(second.last_error.as_deref(), Some("attempt 2 failed"));
        assert_eq!((second.last_error_since.is_some(), &second.last_error_since), (true, &first.last_error_since));
    });
}
