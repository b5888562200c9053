//! What the status says of a partition and of the cluster is what the cluster says, as long as it says so: an error that was
//! told once stands until its own proof has come, and what is not known is not taken for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::domain::Topic;
use optview::projector::{self, Control};
use optview::source::{ClusterHealth, PartitionObservation, Source, SourceEvent, StandingError, Watermarks};
use optview::status::{PartitionReport, Report, State, Status};
use parking_lot::Mutex;

use super::script;
use crate::fixtures;

/// What a cluster says of its partitions when it is asked.
#[derive(Clone, Default)]
struct Said {
    /// The low watermark, the last stable offset and the high watermark of `jobs`.
    jobs: Option<(i64, i64, i64)>,
    jobs_error: Option<StandingError>,
    cluster: ClusterHealth,
    trouble: Option<String>,
}

/// Three empty topics, and a cluster that says what the test wants.
struct Cluster {
    said: Arc<Mutex<Said>>,
    is_found: bool,
}

impl Source for Cluster {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) {
        if !std::mem::replace(&mut self.is_found, true) {
            for topic in Topic::ALL {
                take(SourceEvent::Found { topic, partition: 0, watermarks: Watermarks { low: 0, high: 0 } });
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    fn assign(&mut self, _: Topic, _: i32, _: i64) -> Result<(), String> {
        Ok(())
    }

    fn stop(&mut self, _: Topic, _: i32) {}

    fn watermarks(&self, _: Topic, _: i32) -> Option<Watermarks> {
        Some(Watermarks { low: 0, high: 0 })
    }

    fn trouble(&self) -> Option<String> {
        self.said.lock().trouble.clone()
    }

    fn is_complete(&self) -> bool {
        self.is_found
    }

    fn observation(&self, topic: Topic, _: i32) -> Option<PartitionObservation> {
        let said = if topic == Topic::Jobs { self.said.lock().jobs } else { Some((0, 0, 0)) };
        let (low, last_stable, high) = said?;
        Some(PartitionObservation { topic_id: None, low, last_stable, high, asked_at: Instant::now() })
    }

    fn partition_error(&self, topic: Topic, _: i32) -> Option<StandingError> {
        self.said.lock().jobs_error.clone().filter(|_| topic == Topic::Jobs)
    }

    fn cluster_health(&self) -> ClusterHealth {
        self.said.lock().cluster.clone()
    }

    fn publish(&mut self, _: &[(Topic, i32, i64)]) {}
}

/// A projector that is live, and the cluster that it asks.
struct World {
    said: Arc<Mutex<Said>>,
    status: Status,
}

impl World {
    fn says(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock());
    }

    /// Waits until the report is as it should be.
    fn wait_for(&self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let begin = Instant::now();
        loop {
            let report = self.status.report();
            if is(&report) {
                return report;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "still not: {what}: {report:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn jobs(report: &Report) -> &PartitionReport {
    report.partitions.iter().find(|held| held.topic == "jobs").expect("it is told of")
}

fn error(code: &str, text: &str) -> Option<StandingError> {
    let since = "2026-11-28T10:00:00.5Z".parse().unwrap();
    Some(StandingError { code: code.to_owned(), text: text.to_owned(), since })
}

/// Runs a projector as long as the test looks at it.
fn with_live_projector(test: impl FnOnce(&World)) {
    let data = tempfile::tempdir().unwrap();
    let opened = fixtures::open(data.path());
    let settings = script::settings(&opened.path, 1 << 20);
    let (status, control) = (Status::new(1), Control::default());
    let said = Arc::new(Mutex::new(Said { jobs: Some((0, 0, 0)), ..Said::default() }));
    let mut source = Cluster { said: said.clone(), is_found: false };
    /// Also where the test fails: the projector would go on for ever.
    struct Stop<'a>(&'a Control);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    std::thread::scope(|scope| {
        scope.spawn(|| projector::run(&mut source, opened.writer, settings, status.clone(), &control).unwrap());
        let _stop = Stop(&control);
        let world = World { said, status: status.clone() };
        world.wait_for("live", |report| report.state == State::Live);
        test(&world);
    });
}

#[test]
fn what_the_broker_of_one_partition_does_not_say_is_unknown_of_that_one_and_of_the_whole() {
    with_live_projector(|world| {
        world.wait_for("all confirmed", |report| report.lag_records == Some(0) && report.lag_seconds == Some(0.0));
        world.says(|said| said.jobs = Some((0, 7, 7)));
        let behind = world.wait_for("behind", |report| report.lag_records == Some(7));
        assert_eq!((jobs(&behind).high, jobs(&behind).freshness.last_stable), (Some(7), Some(7)));
        assert!(jobs(&behind).lag_seconds.is_some(), "{behind:?}");
        let first = jobs(&behind).freshness.confirmed_at.clone();
        world.says(|said| said.jobs = Some((0, 0, 0)));
        let back = world.wait_for("confirmed again", |report| report.lag_records == Some(0));
        assert_eq!(back.last_error, None);
        world.wait_for("a later time", |report| jobs(report).freshness.confirmed_at > first);
        // As of a cluster that answers about the others only.
        world.says(|said| said.jobs = None);
        let is_known = |report: &Report| (report.partitions[0].lag_records, jobs(report).lag_records);
        let unknown = world.wait_for("unknown", |report| is_known(report) == (Some(0), None));
        assert_eq!(unknown.lag_records, None, "not the sum of what is known");
    });
}

#[test]
fn an_error_of_one_partition_stands_while_the_others_are_read_and_ends_by_its_own_proof() {
    with_live_projector(|world| {
        world.says(|said| said.jobs_error = error("TopicAuthorizationFailed", "not allowed to read"));
        let failing = world.wait_for("an error", |report| report.last_error.is_some());
        assert_eq!(failing.last_error.as_deref(), Some("jobs/0: not allowed to read"));
        world.says(|said| said.jobs_error = error("TopicAuthorizationFailed", "jobs/0: still not"));
        let named = world.wait_for("the next", |report| report.last_error != failing.last_error);
        assert_eq!(named.last_error.as_deref(), Some("jobs/0: still not"), "it is named once");
        world.says(|said| said.jobs_error = error("TopicAuthorizationFailed", "not allowed to read"));
        world.wait_for("the first again", |report| report.last_error == failing.last_error);
        assert_eq!(failing.last_error_since.as_deref(), Some("2026-11-28T10:00:00.500Z"));
        let freshness = &jobs(&failing).freshness;
        assert_eq!(freshness.error_code.as_deref(), Some("TopicAuthorizationFailed"));
        assert_eq!(freshness.error_since.as_deref(), Some("2026-11-28T10:00:00.500Z"));
        assert_eq!(failing.partitions[0].freshness.error, None);
        // The cluster's trouble comes and goes; the partition's stays.
        world.says(|said| said.cluster.error = error("AllBrokersDown", "3/3 brokers are down"));
        let both =
            world.wait_for("both", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.error.is_some()));
        assert_eq!(both.last_error.as_deref(), Some("jobs/0: not allowed to read; 3/3 brokers are down"));
        world.says(|said| said.cluster.error = None);
        let one = world.wait_for("one", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.error.is_none()));
        assert_eq!(one.last_error.as_deref(), Some("jobs/0: not allowed to read"));
        world.says(|said| said.jobs_error = None);
        let none = world.wait_for("none", |report| report.last_error.is_none());
        assert_eq!((none.last_error_since, none.state), (None, State::Live));
    });
}

#[test]
fn the_status_says_how_the_cluster_answers() {
    with_live_projector(|world| {
        let never = world.wait_for("told of", |report| report.kafka.is_some()).kafka.unwrap();
        assert_eq!((never.up, never.last_answer_seconds_ago, never.renewals), (false, None, 0));
        let renewed = "2026-11-28T11:00:00Z".parse().unwrap();
        world.says(|said| {
            said.cluster.last_answer = Some(Instant::now());
            (said.cluster.renewals, said.cluster.last_renewal) = (2, Some(renewed));
        });
        let up =
            world.wait_for("renewed", |report| report.kafka.as_ref().is_some_and(|kafka| kafka.renewals == 2));
        let up = up.kafka.unwrap();
        assert_eq!(up.last_renewal_at.as_deref(), Some("2026-11-28T11:00:00.000Z"));
        assert!(up.last_answer_seconds_ago.is_some());
        let long_ago = Instant::now() - Duration::from_secs(720);
        world.says(|said| said.cluster.last_answer = Some(long_ago));
        let down = world.wait_for("down", |report| report.kafka.as_ref().is_some_and(|kafka| !kafka.up));
        assert!(down.kafka.unwrap().last_answer_seconds_ago.is_some_and(|age| age >= 720.0));
    });
}

#[test]
fn what_an_open_transaction_hides_is_seen_and_is_no_lag() {
    with_live_projector(|world| {
        world.says(|said| said.jobs = Some((0, 0, 103)));
        let hidden = world.wait_for("hidden", |report| {
            jobs(report).freshness.hidden_records == Some(103) && jobs(report).lag_records == Some(0)
        });
        assert_eq!((jobs(&hidden).high, jobs(&hidden).freshness.last_stable), (Some(103), Some(0)));
        assert!(jobs(&hidden).freshness.hidden_since.is_some());
        assert_eq!(hidden.last_error, None);
        world.says(|said| said.jobs = Some((0, 0, 0)));
        world.wait_for("nothing hidden", |report| jobs(report).freshness.hidden_since.is_none());
    });
}

#[test]
fn a_trouble_of_the_source_stands_since_it_was_first_told() {
    with_live_projector(|world| {
        world.says(|said| said.trouble = Some("attempt 1 failed".to_owned()));
        let first = world.wait_for("an error", |report| report.last_error.is_some());
        world.says(|said| said.trouble = Some("attempt 2 failed".to_owned()));
        let second = world.wait_for("the next", |report| report.last_error != first.last_error);
        assert_eq!(second.last_error.as_deref(), Some("attempt 2 failed"));
        assert_eq!((second.last_error_since.is_some(), &second.last_error_since), (true, &first.last_error_since));
    });
}
