//! History that is removed before it is read, and a topic that is not the one that was read, stop their partition
//! with an instruction; the other partitions go on.

use optview::domain::Topic;

use crate::cluster::{PutRecord, delete_records, delete_topic, put};
use crate::events::{created, job, wait_for_status};
use crate::rig::Rig;
use crate::server::Server;
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    test!(records_that_were_removed_before_they_were_read_stop_their_partition_only, Broker),
    Test {
        name: "a_topic_made_anew_with_fewer_records_stops",
        needs: Requirement::Broker,
        run: |rig| check_made_anew(rig, 1),
    },
    Test {
        name: "a_topic_made_anew_with_as_many_records_stops",
        needs: Requirement::Broker,
        run: |rig| check_made_anew(rig, 3),
    },
    Test {
        name: "a_topic_made_anew_with_more_records_stops",
        needs: Requirement::Broker,
        run: |rig| check_made_anew(rig, 7),
    },
    test!(a_topic_made_anew_while_it_is_read_stops, Broker),
    test!(records_that_were_read_may_be_removed, Broker),
];

fn records_that_were_removed_before_they_were_read_stop_their_partition_only(rig: &Rig) {
    rig.create_topics(2);
    put(
        rig,
        &[created("a").to(0), created("b").to(1), job("a", "pending", 1).to(0), job("b", "pending", 1).to(1)],
    );
    read_all_and_stop(rig);
    // A part of the next records is lost.
    put(rig, &[job("a", "processing", 2).to(0), job("a", "completed", 3).to(0), job("a", "pending", 4).to(0)]);
    delete_records(rig, Topic::Jobs, 0, 3);
    put(rig, &[job("b", "completed", 2).to(1)]);
    // The other partitions go on, as fast as in normal operation.
    let server = Server::start(rig, &["--catch-up-sync-interval", "1h"]);
    check_stopped(rig, &server, Topic::Jobs);
    wait_for_status(&server, "b", "succeeded");
    put(rig, &[created("c").to(0)]);
    wait_for_status(&server, "c", "queued");
    assert_eq!(server.get("/optimizations/a").body["status"], "queued", "as it was");
    let report = server.report();
    assert_eq!(report.state, "stalled");
    let stopped = report.partitions.iter().filter(|partition| partition.state == "stopped").count();
    assert_eq!(stopped, 1, "{report:?}");
}

fn check_made_anew(rig: &Rig, records: u64) {
    rig.create_topics(1);
    let jobs: Vec<PutRecord> = ["pending", "waiting", "processing"].map(|became| job("a", became, 1)).into();
    put(rig, &jobs);
    put(rig, &[created("a")]);
    read_all_and_stop(rig);
    delete_topic(rig, Topic::Jobs);
    rig.create_topics(1);
    let others: Vec<PutRecord> = (1..=records).map(|sequence| job("other", "pending", sequence)).collect();
    put(rig, &others);
    let server = Server::start(rig, &[]);
    check_stopped(rig, &server, Topic::Jobs);
    assert_eq!(server.get("/optimizations/a").body["status"], "running", "as it was");
}

fn a_topic_made_anew_while_it_is_read_stops(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[job("a", "pending", 1), job("a", "processing", 2), created("a")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    delete_topic(rig, Topic::Jobs);
    rig.create_topics(1);
    put(rig, &[job("other", "pending", 1)]);
    check_stopped(rig, &server, Topic::Jobs);
}

fn records_that_were_read_may_be_removed(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1), job("a", "processing", 2)]);
    read_all_and_stop(rig);
    delete_records(rig, Topic::Jobs, 0, 2);
    put(rig, &[job("a", "completed", 3)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    wait_for_status(&server, "a", "succeeded");
}

fn read_all_and_stop(rig: &Rig) {
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
}

/// Checks that partition 0 of the topic has stopped, and that the status shows it with an instruction.
fn check_stopped(rig: &Rig, server: &Server, topic: Topic) {
    let name = rig.settings.topics.get(topic);
    // The state changes a moment after the partition's report.
    let report = server.wait_for("stopped", |report| report.is_stopped(name, 0) && report.state == "stalled");
    let message = report.last_error.as_deref().expect("a message");
    for part in [name, "optview rebuild"] {
        assert!(message.contains(part), "{message}");
    }
    let ready = server.get_admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body["message"].as_str().expect("a message").contains(message), "{ready:?}");
    assert_eq!(server.get_admin("/healthz").body["last_error"], message);
}
