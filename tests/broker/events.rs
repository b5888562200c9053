//! Hand-written events for tests that need a few.

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::cluster::PutRecord;
use crate::server::Server;

/// Returns the creation of an optimization that links the job `j-ID`.
pub fn created(id: &str) -> PutRecord {
    let created = json!({
        "organizationId": "org-1", "projectId": "prj-1", "name": "Fast charge", "kind": "optimize",
        "objectives": {"Fast charge": {"weight": 1}}, "jobId": format!("j-{id}"),
    });
    of(Topic::Optimizations, id, json!({"optimizationId": id, "created": created}), 1)
}

pub fn renamed(id: &str, name: &str, sequence: u64) -> PutRecord {
    of(Topic::Optimizations, id, json!({"optimizationId": id, "detailsChanged": {"name": name}}), sequence)
}

pub fn deleted(id: &str) -> PutRecord {
    of(Topic::Optimizations, id, json!({"optimizationId": id, "deleted": {}}), 9)
}

/// Returns the event by which the job `j-ID` becomes `pending`, `processing`, ...
pub fn job(id: &str, became: &str, sequence: u64) -> PutRecord {
    job_with(id, became, json!({}), sequence)
}

pub fn completed(id: &str, sequence: u64) -> PutRecord {
    job_with(id, "completed", json!({"metrics": {"Charge time [s]": 2874.918273}}), sequence)
}

pub fn failed(id: &str, sequence: u64) -> PutRecord {
    let outcome = json!({"error": "solver did not converge", "errorCode": "SOLVER_ERROR"});
    job_with(id, "failed", outcome, sequence)
}

fn job_with(id: &str, became: &str, outcome: Value, sequence: u64) -> PutRecord {
    let job_id = format!("j-{id}");
    of(Topic::Jobs, &job_id, json!({"jobId": job_id, became: outcome}), sequence)
}

pub fn run_started(id: &str, run_index: u32) -> PutRecord {
    let job_id = format!("j-{id}");
    let message = json!({"jobId": job_id.clone(), "runIndex": run_index, "started": {}});
    of(Topic::MultistartRuns, &job_id, message, 1 + u64::from(run_index))
}

fn of(topic: Topic, key: &str, mut message: Value, sequence: u64) -> PutRecord {
    let event_id = format!("{topic}-{key}-{sequence}");
    message["metadata"] = json!({
        "eventId": event_id, "occurredAt": "2026-03-01T09:00:00Z", "sequence": sequence,
    });
    PutRecord::new(topic, key, serde_json::to_vec(&message).expect("JSON"))
}

/// Waits until readers see this status.
pub fn wait_for_status(server: &Server, id: &str, status: &str) {
    crate::rig::wait_until(&format!("{id} is {status}"), || {
        (server.get(&format!("/optimizations/{id}")).body["status"] == status).then_some(())
    });
}
