//! A server that gets SIGTERM stops soon, and starts again where it was.

use std::time::Duration;

use optview::domain::Topic;

use crate::Test;
use crate::rig::{Rig, wait_until};
use crate::server::{Report, Server};

pub const TESTS: &[Test] = &[
    test!(told_to_stop_while_records_flow_it_stops_soon_and_reads_nothing_again, Broker),
    test!(a_second_process_on_the_same_directory_fails_at_once_and_says_why, Broker),
];

const SOON: Duration = Duration::from_secs(10);
/// Options by which only the last checkpoint can cover the records that were read while live.
const NO_SYNC: [&str; 2] = ["--sync-interval", "1h"];

fn told_to_stop_while_records_flow_it_stops_soon_and_reads_nothing_again(rig: &Rig) {
    rig.create_topics(6);
    let flow = rig.spawn(&["load", "--optimizations", "100000", "--rate", "3000"]);
    wait_until("some records are there", || (rig.count(Topic::Jobs) > 500).then_some(()));
    let server = Server::start(rig, &NO_SYNC);
    let live = server.wait_until_live();
    let read = server.wait_for("many more are read", |report| report.records_read() > live.records_read() + 3000);
    let (ended, took) = server.stop();
    assert_eq!(ended.code(), Some(0));
    assert!(took < SOON, "{took:?}");
    flow.kill();
    let there: i64 = Topic::ALL.iter().map(|&topic| rig.end(topic)).sum();
    assert!(there > read.records_read(), "records flowed until the end");

    let server = Server::start(rig, &NO_SYNC);
    let again = server.wait_for("all is read", |report| report.records_read() == there);
    // To know each partition by, its last record is read once more.
    let new = there - read.records_read() + again.partitions.len() as i64;
    let taken = server.metric("optview_records_total");
    assert!(taken as i64 <= new, "{taken} records were read, of which {new} were new");
    let (ended, took) = server.stop();
    assert!(ended.success() && took < SOON, "{ended}, {took:?}");

    let server = Server::start(rig, &NO_SYNC);
    let begun = server.wait_for("partitions found", |report: &Report| report.partitions.len() == 18);
    for partition in begun.partitions {
        assert_eq!(partition.checkpoint, Some(partition.position), "{}/{}", partition.topic, partition.partition);
    }
}

fn a_second_process_on_the_same_directory_fails_at_once_with_the_reason(rig: &Rig) {
    rig.create_topics(1);
    let mut first = Server::start(rig, &[]);
    first.wait_until_live();
    let mut second = Server::start(rig, &[]);
    let ended = second.wait();
    assert_eq!(ended.code(), Some(1));
    let log = second.log();
    let last = log.lines().last().expect("a message");
    let directory = rig.directory.path().join("data");
    for part in ["is held by another process", "--data-dir", directory.to_str().expect("a path")] {
        assert!(last.contains(part), "{last}");
    }
    assert!(first.is_running());
    assert_eq!(first.get("/readyz").status, 200);
    assert!(first.stop().0.success());
}
