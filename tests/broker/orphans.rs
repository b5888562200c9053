//! A job that is heard of before the optimization that links it waits for it, however long.

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job, run_started, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(a_job_of_long_ago_waits_for_an_optimization_that_is_read_after_it, Broker),
    test!(a_job_that_nothing_links_for_long_is_told_of_and_kept, Broker),
];

/// Its events are older than what is kept of a job that nothing links, but they were read only just now.
fn a_job_of_long_ago_waits_for_an_optimization_that_is_read_after_it(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[job("a", "pending", 1), job("a", "processing", 2), run_started("a", 0)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    // Another sync, after which orphans would have been looked for.
    put(rig, &[job("b", "pending", 1)]);
    server.wait_until_all_is_kept(rig);
    put(rig, &[created("a")]);
    wait_for_status(&server, "a", "running");
    assert_eq!(server.get("/optimizations/a").body["run_count"], 1);
}

fn a_job_that_nothing_links_for_long_is_reported_and_kept(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[job("a", "pending", 1), job("a", "processing", 2), created("b"), job("b", "pending", 1)]);
    let server = Server::start(rig, &["--orphan-retention", "1s"]);
    // The second is of the versions that dropped such jobs.
    let metrics = ["optview_orphan_jobs", "optview_orphan_jobs_dropped_total"];
    wait_until("it is reported", || metrics.iter().any(|name| server.metric(name) == 1).then_some(()));
    put(rig, &[created("a")]);
    wait_for_status(&server, "a", "running");
    wait_for_status(&server, "b", "queued");
    wait_until("it is reported no more", || (server.metric("optview_orphan_jobs") == 0).then_some(()));
}
