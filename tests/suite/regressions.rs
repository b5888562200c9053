//! Regressions of `serve` as readers and operators meet them: an earlier version answered wrongly or not at all. The tests use
//! nothing that only one version has, so that they run against both.

use std::process::Stdio;

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::program::{Log, Program, World};

fn start(world: &World, arguments: &[&str]) -> (Program, Log) {
    let mut program = world.serve(arguments, &[], Stdio::piped());
    let log = program.listening();
    (program, log)
}

fn created(world: &World) {
    let created = json!({"organizationId": "org-1", "projectId": "prj-1", "name": "Fast", "jobId": "job-7"});
    world.put(
        Topic::Optimizations,
        "opt-7",
        &json!({"metadata": metadata(1), "optimizationId": "opt-7", "created": created}),
    );
}

fn metadata(sequence: u64) -> Value {
    json!({"eventId": format!("event-{sequence}"), "occurredAt": "2026-03-01T09:00:00Z", "sequence": sequence})
}

#[test]
fn an_instance_whose_broker_never_answered_denies_no_id() {
    let world = World::without_broker();
    let (program, _log) = start(&world, &[]);
    program.wait_for("it cannot reach the broker", |status| status["last_error"].is_string());
    for path in ["/optimizations/opt-7", "/optimizations"] {
        let (status, retry_after, body) = program.read(path);
        assert_eq!(status, 503, "{path}: {body}");
        assert!(retry_after.is_some(), "{path}: {body}");
    }
}

#[test]
fn a_job_that_nothing_links_for_long_is_there_when_an_optimization_links_it() {
    let world = World::new();
    world.put(Topic::Jobs, "job-7", &json!({"metadata": metadata(1), "jobId": "job-7", "processing": {}}));
    let (program, _log) = start(&world, &["--orphan-retention", "1s"]);
    // The log reports the job; an earlier version forgot the job instead, and counted that.
    let is_reported = |line: &str| {
        line.strip_suffix(" 1")
            .is_some_and(|name| ["optview_orphan_jobs", "optview_orphan_jobs_dropped_total"].contains(&name))
    };
    program.wait_for("it is looked for", |_| program.metrics().lines().any(is_reported));
    created(&world);
    program.wait_for("the optimization is shown", |_| program.read("/optimizations/opt-7").0 == 200);
    assert_eq!(program.read("/optimizations/opt-7").2["status"], "running");
}

#[test]
fn an_event_that_loses_though_it_is_newer_is_reported_to_operators() {
    let world = World::new();
    created(&world);
    world.put(Topic::Jobs, "job-7", &json!({"metadata": metadata(1), "jobId": "job-7", "pending": {}}));
    // By a producer that gives no sequence.
    let late = json!({"eventId": "late", "occurredAt": "2026-03-01T09:00:05Z"});
    world.put(Topic::Jobs, "job-7", &json!({"metadata": late, "jobId": "job-7", "completed": {}}));
    let (program, _log) = start(&world, &[]);
    let status = program.wait_for("all is read", |status| status["state"] == "live" && status["lag_records"] == 0);
    assert_eq!(program.read("/optimizations/opt-7").2["status"], "queued", "the order is the contract's");
    let last = program.wait_for("it is reported", |_| program.read("/optimizations/opt-7").0 == 200);
    let reports = [status, last].map(|status| status.to_string());
    assert!(reports.iter().any(|report| report.contains("job-7")), "nothing is reported of it: {}", reports[1]);
}
