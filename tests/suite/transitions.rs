//! The statuses that an optimization took, as readers get them: of all its submissions, and without the ids of jobs.

use std::sync::Arc;
use std::time::Duration;

use optview::domain::event::JobChange;
use optview::domain::{Commit, Job, Optimization};
use serde_json::{Value, json};

use crate::fixtures::{self, stamp};
use crate::live_instance::{FOREIGN, Instance, OWN, deleted, view};

fn job(changes: &[(JobChange<'_>, u64)]) -> Job {
    let mut job = Job::default();
    for (change, sequence) in changes {
        job.apply(change, stamp(*sequence));
    }
    job
}

fn failed() -> JobChange<'static> {
    JobChange::Failed { error: None, error_code: None }
}

async fn transitions(optimization: Optimization, parked: Vec<(&str, Job)>) -> Value {
    let instance = Instance::new(Duration::ZERO);
    let id = optimization.id.clone();
    let jobs = parked.into_iter().map(|(id, job)| (Arc::from(id), Some(Arc::new(job)))).collect();
    let commit = Commit { optimizations: vec![Arc::new(optimization)], jobs };
    instance.generation.writer.commit(commit, Vec::new(), 1).unwrap();
    fixtures::wait_until_written(&instance.generation.writer, 1);
    let path = format!("/optimizations/{id}/transitions");
    let theirs = instance.get(&path, &[FOREIGN]).await;
    assert_eq!((theirs.status, theirs.json()["error_code"].clone()), (404, json!("NOT_FOUND")));
    let answer = instance.get(&path, &[OWN]).await;
    assert_eq!((answer.status, answer.header("x-optview-state")), (200, "live"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("job-"), "ids of jobs are not shown");
    answer.json()["transitions"].clone()
}

fn change(status: &str, second: u64, submission: u64, odd: bool) -> Value {
    let occurred_at = format!("1970-01-01T00:00:{second:02}Z");
    json!({"status": status, "occurred_at": occurred_at, "submission": submission, "odd": odd})
}

#[tokio::test]
async fn an_optimization_without_a_job_has_none_and_one_whose_job_is_silent_is_queued() {
    assert_eq!(transitions(view("a", 1), Vec::new()).await, json!([]));
    let mut linked = view("a", 1);
    linked.link(&Arc::from("job-1"), stamp(7));
    assert_eq!(transitions(linked, Vec::new()).await, json!([change("queued", 7, 1, false)]));
}

#[tokio::test]
async fn every_submission_shows_its_statuses_the_oldest_first() {
    let mut optimization = view("a", 1);
    optimization.link(&Arc::from("job-1"), stamp(1));
    optimization.link(&Arc::from("job-2"), stamp(5));
    // It ran on after its end, which is odd, and was submitted again as the same job.
    optimization.job = job(&[
        (JobChange::Pending, 6),
        (failed(), 7),
        (JobChange::Processing, 8),
        (failed(), 9),
        (JobChange::Pending, 10),
    ]);
    let first = job(&[(JobChange::Pending, 2), (JobChange::Waiting, 3), (failed(), 4)]);
    assert_eq!(
        transitions(optimization, vec![("job-1", first)]).await,
        json!([
            change("queued", 2, 1, false),
            change("running", 3, 1, false),
            change("failed", 4, 1, false),
            change("queued", 6, 2, false),
            change("failed", 7, 2, false),
            change("running", 8, 2, true),
            change("failed", 9, 2, false),
            change("queued", 10, 3, false),
        ])
    );
}

#[tokio::test]
async fn what_readers_do_not_see_has_no_transitions() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write(vec![deleted("gone", 1)]);
    for id in ["gone", "unknown"] {
        assert_eq!(instance.get(&format!("/optimizations/{id}/transitions"), &[OWN]).await.status, 404);
    }
    assert_eq!(instance.get("/optimizations/gone/transitions", &[]).await.status, 401);
}
