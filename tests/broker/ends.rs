//! A partition's end is a position, whatever its last offsets are: transaction markers may be removed, and nothing
//! is lost.

use std::process::Output;

use optview::domain::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Test;
use crate::cluster::{delete_records, put};
use crate::events::{created, job, wait_for_status};
use crate::rig::{DEADLINE, Rig, wait_until};
use crate::server::Server;
use crate::transactions::{transaction, transactional};

pub const TESTS: &[Test] = &[
    test!(a_partition_that_ended_in_markers_goes_on_when_retention_has_removed_all_of_it, Broker),
    test!(an_archive_of_a_partition_that_ended_in_markers_goes_on_when_retention_has_removed_all_of_it, Broker),
];

/// Puts records so that the optimizations end in a commit's marker, the jobs in an aborted record and its marker,
/// and the runs have never had a committed record.
fn put_ends(rig: &Rig) {
    rig.create_topics(1);
    let producer = transactional(rig);
    transaction(rig, &producer, &[created("a"), job("a", "pending", 1)], true);
    transaction(rig, &producer, &[job("a", "failed", 2), crate::events::run_started("a", 0)], false);
}

fn remove_all(rig: &Rig) {
    for topic in Topic::ALL {
        delete_records(rig, topic, 0, rig.end(topic));
    }
}

fn a_partition_that_ended_in_markers_goes_on_when_retention_has_removed_all_of_it(rig: &Rig) {
    put_ends(rig);
    let group = rig.settings.topics.get(Topic::Jobs).to_owned();
    let arguments = ["--group-id", group.as_str()];
    let server = Server::start(rig, &arguments);
    server.wait_until_all_is_kept(rig).check();
    // Lag tools see no lag: the group's published offset is the end.
    for topic in Topic::ALL {
        let end = rig.end(topic);
        wait_until("the group's offset is the end", || (published(rig, &group, topic) == Some(end)).then_some(()));
    }
    assert!(server.stop().0.success());
    remove_all(rig);
    let server = Server::start(rig, &arguments);
    server.wait_until_live().check();
    assert_eq!(server.get("/optimizations/a").body["status"], "queued");
    put(rig, &[job("a", "completed", 3)]);
    wait_for_status(&server, "a", "succeeded");
}

fn published(rig: &Rig, group: &str, topic: Topic) -> Option<i64> {
    let mut config = rig.settings.client_config();
    let consumer: BaseConsumer = config.set("group.id", group).create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition(rig.settings.topics.get(topic), 0);
    let committed = consumer.committed_offsets(partitions, DEADLINE).ok()?;
    match committed.elements().first()?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn an_archive_of_a_partition_that_ended_in_markers_goes_on_when_retention_has_removed_all_of_it(rig: &Rig) {
    put_ends(rig);
    let directory = rig.directory.path().join("archive");
    let directory = directory.to_str().expect("text");
    let export = || rig.optview(&["archive", "export", directory]).output().expect("a program to run");
    check(&export());
    // No record has come, and the archive lists that too.
    check(&export());
    remove_all(rig);
    check(&export());
    put(rig, &[job("a", "completed", 3)]);
    check(&export());
    let verified = rig.optview(&["archive", "verify", directory]).output().expect("a program to run");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("3 records"), "{verified:?}");
    check(&verified);
}

fn check(ended: &Output) {
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
