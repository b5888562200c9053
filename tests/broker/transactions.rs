//! Events of an aborted transaction never happened, and transaction markers are no records.

use optview::domain::Topic;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};

use crate::Test;
use crate::cluster::{PutRecord, put, send};
use crate::events::{created, deleted, job, wait_for_status};
use crate::rig::{DEADLINE, Rig};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(what_was_aborted_is_not_folded_and_a_topic_that_ends_in_markers_is_read_to_its_end, Broker),
    test!(a_transaction_under_way_keeps_nobody_from_becoming_live, Broker),
];

fn what_was_aborted_is_not_folded_and_a_topic_that_ends_in_markers_is_read_to_its_end(rig: &Rig) {
    rig.create_topics(1);
    let producer = transactional(rig);
    let all = |records: &[PutRecord], commit: bool| transaction(rig, &producer, records, commit);
    all(&[created("a"), job("a", "pending", 1)], true);
    all(&[deleted("a"), job("a", "failed", 2), created("never")], false);
    let server = Server::start(rig, &[]);
    check_is_at_the_end(&server);
    assert_eq!(server.get("/optimizations/a").body["status"], "queued");
    all(&[job("a", "processing", 3)], true);
    wait_for_status(&server, "a", "running");
    all(&[job("a", "failed", 4), created("never")], false);
    put(rig, &[created("b")]);
    wait_for_status(&server, "b", "queued");
    assert_eq!(server.get("/optimizations/a").body["status"], "running");
    assert_eq!(server.get("/optimizations/never").status, 404);
    check_is_at_the_end(&server);
    assert!(server.stop().0.success());
    // The server starts again, with a checkpoint below the markers.
    let server = Server::start(rig, &[]);
    check_is_at_the_end(&server);
    assert_eq!(server.get("/optimizations").body["total"], 2);
}

/// Checks that the server is live without a lag: an offset that no record has is no lag.
fn check_is_at_the_end(server: &Server) {
    let report =
        server.wait_for("live, without lag", |report| report.state == "live" && report.lag_records == Some(0));
    report.check();
    assert_eq!(report.dead_letters, 0);
}

fn a_transaction_under_way_keeps_nobody_from_becoming_live(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a")]);
    let producer = transactional(rig);
    producer.begin_transaction().expect("a transaction");
    send(rig, &producer, &job("a", "completed", 2));
    producer.flush(DEADLINE).expect("a record that is delivered");
    let server = Server::start(rig, &[]);
    server.wait_until_live().check();
    assert_eq!(server.get("/optimizations/a").body["status"], "queued", "it has not happened yet");
    producer.commit_transaction(DEADLINE).expect("a transaction that ends");
    wait_for_status(&server, "a", "succeeded");
}

/// Puts these records on the topics in one transaction, which is committed or aborted.
pub fn transaction(
    rig: &Rig,
    producer: &BaseProducer<DefaultProducerContext>,
    records: &[PutRecord],
    commit: bool,
) {
    producer.begin_transaction().expect("a transaction");
    records.iter().for_each(|record| send(rig, producer, record));
    producer.flush(DEADLINE).expect("records that are delivered");
    let ended = if commit { producer.commit_transaction(DEADLINE) } else { producer.abort_transaction(DEADLINE) };
    ended.expect("a transaction that ends");
}

pub fn transactional(rig: &Rig) -> BaseProducer<DefaultProducerContext> {
    let mut config = rig.settings.client_config();
    config.set("transactional.id", rig.settings.topics.get(Topic::Jobs));
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(DEADLINE).expect("a broker with transactions");
    producer
}
