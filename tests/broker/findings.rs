//! Findings in the records about their producers, as operators meet them: events that lose, deletions without effect, and topics
//! that are swapped.

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::Test;
use crate::cluster::{PutRecord, put};
use crate::events::{created, job, run_started, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(events_that_lose_and_deletions_without_effect_are_told_where_operators_look, Broker),
    test!(swapped_topics_are_told_where_operators_look, Broker),
];

/// The job `j-a` was completed later, by a producer that gives no sequence.
fn completed_without_a_sequence() -> PutRecord {
    let message = json!({
        "metadata": {"eventId": "late", "occurredAt": "2026-03-01T09:00:05Z"}, "jobId": "j-a", "completed": {},
    });
    PutRecord::new(Topic::Jobs, "j-a", serde_json::to_vec(&message).expect("JSON"))
}

fn events_that_lose_and_deletions_without_effect_are_reported_where_operators_look(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1), completed_without_a_sequence()]);
    let quoted = PutRecord { value: None, ..PutRecord::new(Topic::Optimizations, "\"a\"", "") };
    put(rig, &[quoted]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    let status = wait_until("both are reported", || {
        let metrics = ["optview_outranked_events_total", "optview_deletions_without_effect_total"];
        let status = server.get_admin("/status").body;
        let counts = ["outranked_events", "deletions_without_effect"].map(|found| status[found]["count"].as_u64());
        (metrics.map(|metric| server.metric(metric)) == [1, 1] && counts == [Some(1); 2]).then_some(status)
    });
    let newest = &status["outranked_events"]["newest"];
    assert_eq!((&newest["event"]["offset"], &newest["lost_to"]["offset"]), (&json!(1), &json!(0)), "{status}");
    let hint = status["deletions_without_effect"]["newest"]["hint"].as_str().expect("it is in quotes");
    assert!(hint.contains("\"a\", which is there, and stays shown"), "{hint}");
    // Also after a restart, which reads only what it must.
    server.wait_until_all_is_kept(rig);
    server.kill();
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    let why = server.get_admin("/optimizations/a/why").body;
    assert_eq!(why["outranked"][0]["event"]["event_id"], "late", "{why}");
    let odd: Vec<&Value> = why["odd"].as_array().expect("a list").iter().collect();
    assert!(
        odd.iter().any(|odd| odd.as_str().is_some_and(|odd| odd.contains("give sequences, or none"))),
        "{why}"
    );
}

fn swapped_topics_are_reported_where_operators_look(rig: &Rig) {
    rig.create_topics(1);
    let records =
        (0..12).flat_map(|index| [job("a", "processing", u64::from(index) + 1), run_started("a", index)]);
    put(rig, &records.collect::<Vec<_>>());
    let topics = &rig.settings.topics;
    let (jobs, runs) = (topics.get(Topic::Jobs), topics.get(Topic::MultistartRuns));
    let server = Server::start(rig, &["--topic-jobs", runs, "--topic-multistart-runs", jobs]);
    let report = server.wait_for("it is reported", |report| report.state == "live" && report.last_error.is_some());
    let error = report.last_error.expect("it is reported");
    assert!(error.contains("events of multistart-runs: is") && error.contains("--topic-jobs"), "{error}");
    assert_eq!(server.get_admin("/readyz").body["last_error"], error.as_str());
    assert_eq!(server.metric("optview_stream_not_understood"), 2);
}
