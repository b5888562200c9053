//! The findings of the projector in the records are counted, and shown by the status, once.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optview::codec::Encoding;
use optview::codec::encode::encode;
use optview::domain::event::JobChange;
use optview::domain::{Body, Event, Metadata, Timestamp, Topic};
use optview::projector::{self, PauseHandle};
use optview::status::{Findings, RebuildCounts, State, Status};
use parking_lot::Mutex;
use serde_json::Value;

use super::script::{self, Partition, Run, ScriptPlayer, partitions, play, project};
use super::stepped_projector::{Clock, SteppedProjector};
use super::{check, counted, expected, history};
use crate::fixtures;

fn partition(partitions: &mut [Partition], topic: Topic) -> &mut Partition {
    partitions.iter_mut().find(|partition| partition.topic == topic).unwrap()
}

fn findings(directory: &Path, partitions: &[Partition]) -> Findings {
    project(directory, partitions, Run::to_the_end(1), |_| {}).expect("it is not killed").report().findings
}

/// An event of a job that no optimization links.
fn unlinked(
    job_id: &str,
    change: JobChange<'_>,
    sequence: u64,
    occurred_at: Timestamp,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let body = Body::Job { job_id: job_id.to_owned().into(), optimization_id: None, change };
    let event_id = format!("{job_id} {sequence} {occurred_at}").into();
    let mut value = Vec::new();
    encode(&Event { metadata: Metadata { event_id, occurred_at, sequence }, body }, Encoding::Json, &mut value);
    (job_id.as_bytes().to_vec(), Some(value))
}

fn second(second: i64) -> Timestamp {
    Timestamp::new(1_767_225_600 + second, 0).unwrap()
}

#[test]
fn events_that_lose_are_counted_once_and_the_newest_is_shown() {
    let mut partitions = partitions(&history(3, 5));
    let jobs = partition(&mut partitions, Topic::Jobs);
    for (change, sequence, at) in
        [(JobChange::Pending, 1, 1), (JobChange::Processing, 0, 2), (JobChange::Canceled, 0, 3)]
    {
        let (key, value) = unlinked("job-1", change, sequence, second(at));
        jobs.push(key, value);
    }
    let last = jobs.records.len() as i64 - 1;
    let directory = tempfile::tempdir().unwrap();
    let mut found = Findings::default();
    let canceled = r#"optview_outranked_events_total{stream="jobs",kind="canceled"}"#;
    assert_eq!(counted(canceled, || found = findings(directory.path(), &partitions)), 1);
    assert_eq!(found.outranked_events.count, 2);
    let newest = found.outranked_events.newest.expect("there is one");
    assert_eq!((newest.id.as_str(), newest.event.kind, newest.event.offset), ("job-1", Some("canceled"), last));
    assert_eq!(newest.lost_to.offset, last - 2);
    // The next start reads the last record of each partition again.
    assert_eq!(findings(directory.path(), &partitions).outranked_events.count, 0);
}

/// A history with two events that lose, one deletion of what is not there, and three records that are no events.
fn with_findings() -> Vec<Partition> {
    let mut partitions = partitions(&history(3, 5));
    partition(&mut partitions, Topic::Optimizations).push(b"unknown".to_vec(), None);
    let jobs = partition(&mut partitions, Topic::Jobs);
    for (change, sequence, at) in
        [(JobChange::Pending, 1, 1), (JobChange::Processing, 0, 2), (JobChange::Canceled, 0, 3)]
    {
        let (key, value) = unlinked("job-1", change, sequence, second(at));
        jobs.push(key, value);
    }
    for _ in 0..3 {
        jobs.push(b"key".to_vec(), Some(b"{ no event".to_vec()));
    }
    partitions
}

/// Returns the log of a run.
fn logged(run: impl FnOnce()) -> String {
    let log = Log::default();
    let writing = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writing.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(log.0.lock().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Projects as a rebuild does, beside a generation that readers see.
fn projected_quietly(partitions: &[Partition], until: fn(&ScriptPlayer<'_>) -> bool) -> Status {
    let directory = tempfile::tempdir().unwrap();
    let opened = fixtures::open(directory.path());
    let (status, control) = (Status::new(1), Arc::new(PauseHandle::default()));
    control.set_quiet(true);
    let run = Run { until, ..Run::to_the_end(1) };
    let clock = Clock::new();
    let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let settings = script::settings(&opened.path, 0);
    let source = play(SteppedProjector::new(opened.writer, settings, source, status.clone(), &control, clock));
    assert!(source.delivered > 0);
    status
}

/// The metrics and log lines of a projector whose generation readers see.
const COUNTED: [&str; 6] = [
    "optview_records_total",
    "optview_dead_letters_total",
    "optview_outranked_events_total{stream=\"jobs\",kind=\"canceled\"}",
    "optview_deletions_without_effect_total",
    "optview_store_loads_total",
    "optview_store_writes_total",
];
const LOGGED: [&str; 3] =
    ["could not be understood", "changed nothing although it is newer", "a deletion deleted nothing"];

#[test]
fn what_is_found_for_the_generation_that_readers_see_is_counted_and_logged() {
    let partitions = with_findings();
    let project = || {
        let directory = tempfile::tempdir().unwrap();
        drop(project(directory.path(), &partitions, Run::to_the_end(1), |_| {}));
    };
    for metric in COUNTED {
        assert!(counted(metric, project) > 0, "{metric}");
    }
    let log = logged(project);
    for line in LOGGED {
        assert!(log.contains(line), "no {line}: {log}");
    }
}

#[test]
fn nothing_is_counted_or_logged_for_a_generation_that_readers_do_not_see() {
    let partitions = with_findings();
    let until = |playing: &ScriptPlayer<'_>| playing.status.state() == State::Live;
    for metric in COUNTED {
        assert_eq!(counted(metric, || drop(projected_quietly(&partitions, until))), 0, "{metric}");
    }
    let mut status = None;
    let log = logged(|| status = Some(projected_quietly(&partitions, until)));
    for line in LOGGED {
        assert!(!log.contains(line), "{log}");
    }
    let report = status.unwrap().report();
    assert_eq!(report.findings, Findings::default());
    let found = report.rebuild_counts();
    let expected = RebuildCounts { dead_letters: 3, outranked_events: 2, deletions_without_effect: 1, ..found };
    assert_eq!(found, expected);
    assert!(found.views > 0);
}

#[test]
fn what_was_found_before_readers_saw_a_generation_is_not_counted_once_they_do() {
    let partitions = with_findings();
    let until = |playing: &ScriptPlayer<'_>| {
        if playing.status.state() == State::Live {
            playing.control.set_quiet(false);
        }
        !playing.status.report().findings.streams.is_empty()
    };
    let report = projected_quietly(&partitions, until).report();
    let found = &report.findings;
    assert_eq!((found.outranked_events.count, found.deletions_without_effect.count), (0, 0));
    assert!(found.streams.iter().all(|stream| stream.understood + stream.not_understood == 0), "{found:?}");
    assert_eq!(report.rebuild_counts().outranked_events, 2);
}

#[test]
fn deletions_that_delete_nothing_are_shown_with_what_is_odd_about_the_key() {
    let mut partitions = partitions(&history(3, 5));
    let optimizations = partition(&mut partitions, Topic::Optimizations);
    let known = String::from_utf8(optimizations.records[0].key.clone()).unwrap();
    for key in ["unknown".to_owned(), format!("\u{0}\u{0}\u{0}\u{0}\u{7}{known}"), format!("\"{known}\"")] {
        optimizations.push(key.into_bytes(), None);
    }
    let directory = tempfile::tempdir().unwrap();
    let found = findings(directory.path(), &partitions).deletions_without_effect;
    assert_eq!(found.count, 3);
    let newest = found.newest.expect("there is one");
    assert_eq!(newest.id, format!("\"{known}\""));
    let hint = newest.hint.expect("it is in quotes");
    assert!(hint.contains("in quotes") && hint.contains("which is there, and stays shown"), "{hint}");
    assert_eq!(findings(directory.path(), &partitions).deletions_without_effect.count, 0, "they are deleted now");
}

#[test]
fn numbers_that_are_none_are_counted_and_the_newest_event_is_shown() {
    let mut partitions = partitions(&history(3, 5));
    let jobs = partition(&mut partitions, Topic::Jobs);
    for (id, metrics) in
        [("job-1", r#"{"a":NaN}"#), ("job-2", r#"{"a":null}"#), ("job-3", r#"{"a":Infinity,"b":1e400}"#)]
    {
        let value = format!(
            r#"{{"metadata":{{"eventId":"{id}","occurredAt":"2026-03-01T09:00:00Z"}},"jobId":"{id}","completed":{{"metrics":{metrics}}}}}"#
        );
        jobs.push(id.into(), Some(value.into_bytes()));
    }
    let last = jobs.records.len() as i64 - 1;
    let directory = tempfile::tempdir().unwrap();
    let mut found = Findings::default();
    assert_eq!(counted("optview_nulled_numbers_total", || found = findings(directory.path(), &partitions)), 3);
    assert_eq!(found.nulled_numbers.count, 2, "events");
    let newest = found.nulled_numbers.newest.expect("there is one");
    assert_eq!((newest.id.as_str(), newest.numbers), ("job-3", 2));
    assert_eq!((newest.event.kind, newest.event.offset), (Some("completed"), last));
}

#[test]
fn jobs_that_nothing_links_are_kept_however_old_and_counted_once_they_have_waited() {
    let mut partitions = partitions(&history(3, 5));
    for topic in [Topic::Optimizations, Topic::MultistartRuns] {
        assert!(!partition(&mut partitions, topic).records.is_empty());
    }
    let jobs = partition(&mut partitions, Topic::Jobs);
    for at in [-3_000_000_000, 0] {
        let (key, value) = unlinked(&format!("job-{at}"), JobChange::Pending, 1, second(at));
        jobs.push(key, value);
    }
    let expected = expected(&partitions, |_, _| false);
    let directory = tempfile::tempdir().unwrap();
    // While a topic is missing, what links them may be still to come.
    let until = |playing: &ScriptPlayer<'_>| playing.is_over() && !playing.published.is_empty();
    let run = Run { complete: false, until, ..Run::to_the_end(1) };
    let soon = |settings: &mut projector::Settings| settings.orphan_retention = Duration::from_millis(20);
    let status = project(directory.path(), &partitions, run, soon).expect("it is not killed");
    assert_eq!(status.report().findings.orphan_jobs, None);
    check(directory.path(), &expected);
    // Once live, by how long they have been known here, and not by when their events occurred.
    let until = |playing: &ScriptPlayer<'_>| {
        playing.status.state() == State::Live && playing.status.report().findings.orphan_jobs.is_some()
    };
    let run = Run { until, ..Run::to_the_end(1) };
    let status = project(directory.path(), &partitions, run, |_| {}).expect("it is not killed");
    let counted = status.report().findings.orphan_jobs.expect("they were counted");
    let waiting = counted.waiting;
    assert!(waiting >= 2, "{counted:?}");
    assert_eq!((counted.count, counted.longest), (0, None), "none has waited for an hour");
    let until = |playing: &ScriptPlayer<'_>| {
        playing.status.report().findings.orphan_jobs.is_some_and(|orphans| orphans.count >= 2)
    };
    let run = Run { until, ..Run::to_the_end(1) };
    let status = project(directory.path(), &partitions, run, soon).expect("it is not killed");
    let counted = status.report().findings.orphan_jobs.expect("they were counted");
    assert_eq!((counted.count, counted.waiting), (waiting, waiting));
    assert!(counted.longest.is_some());
    check(directory.path(), &expected);
}

/// A link that comes late finds all that was heard of its job.
#[test]
fn a_job_that_is_linked_at_last_is_shown_and_counted_no_more() {
    let mut partitions = partitions(&history(3, 5));
    let (key, value) = unlinked("job-1", JobChange::Failed { error: None, error_code: None }, 1, second(0));
    partition(&mut partitions, Topic::Jobs).push(key, value);
    let directory = tempfile::tempdir().unwrap();
    let orphans = |until: fn(&ScriptPlayer<'_>) -> bool, partitions: &[Partition]| {
        let soon = |settings: &mut projector::Settings| settings.orphan_retention = Duration::from_millis(20);
        let run = Run { until, ..Run::to_the_end(1) };
        let status = project(directory.path(), partitions, run, soon).expect("it is not killed");
        status.report().findings.orphan_jobs.expect("they were counted")
    };
    let is_counted = |playing: &ScriptPlayer<'_>| {
        playing.status.report().findings.orphan_jobs.is_some_and(|orphans| orphans.count > 0)
    };
    let before = orphans(is_counted, &partitions).count;
    let created = serde_json::json!({
        "metadata": {"eventId": "late", "occurredAt": "2026-02-01T00:00:00Z"}, "optimizationId": "late",
        "created": {"organizationId": "org", "projectId": "p", "jobId": "job-1"},
    });
    let value = Some(serde_json::to_vec(&created).unwrap());
    partition(&mut partitions, Topic::Optimizations).push(b"late".to_vec(), value);
    let is_counted = |playing: &ScriptPlayer<'_>| playing.status.report().findings.orphan_jobs.is_some();
    let after = orphans(is_counted, &partitions);
    assert_eq!((after.waiting, after.count), (before - 1, before - 1));
    let writer = fixtures::open(directory.path()).writer;
    let view = writer.reader().get("late", None).unwrap().expect("it is shown");
    assert_eq!(serde_json::from_slice::<Value>(&view.body).unwrap()["status"], "failed");
    writer.finish().unwrap();
}

#[test]
fn topics_that_are_swapped_are_named_and_a_restart_does_not_forget_it() {
    let mut partitions = partitions(&history(3, 40));
    for partition in &mut partitions {
        partition.topic = match partition.topic {
            Topic::Jobs => Topic::MultistartRuns,
            Topic::MultistartRuns => Topic::Jobs,
            Topic::Optimizations => continue,
        };
        partition.records.iter_mut().for_each(|record| record.position.topic = partition.topic);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut status = None;
    for _ in 0..2 {
        status = project(directory.path(), &partitions, Run::to_the_end(1), |_| {});
        let report = status.as_ref().expect("it is not killed").report();
        let problem = |stream: &str| {
            report.findings.streams.iter().find(|held| held.stream == stream).unwrap().problem.clone()
        };
        assert!(problem("jobs").is_some(), "{:?}", report.findings.streams);
        assert_eq!(problem("optimizations"), None);
        let error = report.last_error.as_deref().expect("the report names it");
        assert!(error.contains("events of jobs") && error.contains("--topic-jobs"), "{error}");
    }
    drop(status);
    let directory = tempfile::tempdir().unwrap();
    let found = findings(directory.path(), &partitions);
    let problem = found.streams.iter().find(|held| held.stream == "jobs").unwrap().problem.clone().unwrap();
    let advice = "most of those that were tried are events of multistart-runs: is `jobs` the topic that was meant by \
                  --topic-jobs, and `multistart-runs` by --topic-multistart-runs?";
    assert!(problem.contains(advice), "{problem}");
}

#[test]
fn some_records_that_are_not_understood_are_no_wrong_topic() {
    let mut partitions = partitions(&history(3, 40));
    let jobs = partition(&mut partitions, Topic::Jobs);
    assert!(jobs.records.len() > 40);
    for _ in 0..20 {
        jobs.push(b"key".to_vec(), Some(b"{ no event".to_vec()));
    }
    let directory = tempfile::tempdir().unwrap();
    let report = project(directory.path(), &partitions, Run::to_the_end(1), |_| {}).expect("not killed").report();
    let jobs = report.findings.streams.iter().find(|held| held.stream == "jobs").unwrap();
    assert_eq!((jobs.not_understood, &jobs.problem), (20, &None));
    assert!(jobs.understood > 40);
    assert_eq!(report.last_error, None);
}
