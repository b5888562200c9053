//! A topic that is deleted and created again has other records at the same offsets. It is recognized by its id: at
//! the start, while it is read, and while it is archived.

use optview::domain::Topic;
use optview::source::archive::Manifest;
use optview::source::kafka::admin;

use crate::cluster::{delete_topic, put};
use crate::events::{created, job, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;
use crate::transactions::{transaction, transactional};
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "a_longer_topic_that_is_created_again_while_it_is_read_stops_and_no_restart_takes_it",
        needs: Requirement::BrokerOfItsOwn,
        run: |rig| check_stops(rig, 7),
    },
    Test {
        name: "a_shorter_topic_that_is_created_again_while_it_is_read_stops_and_no_restart_takes_it",
        needs: Requirement::BrokerOfItsOwn,
        run: |rig| check_stops(rig, 1),
    },
    test!(no_record_of_a_topic_that_is_created_again_is_folded, Broker),
    test!(a_topic_that_is_deleted_is_an_error_that_stands, Broker),
    test!(a_topic_that_was_created_again_is_known_though_no_record_has_the_offset_that_was_read_last, Broker),
    test!(an_archive_that_follows_takes_nothing_of_a_topic_that_was_created_again, Broker),
];

/// Checks that the partition stops. `count` is the number of records of the new topic; the old one had three.
fn check_stops(rig: &Rig, count: u64) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    // After this, the partitions' leaders have an epoch above that of a new topic's.
    broker.kill();
    broker.restart();
    put(rig, &[created("a"), job("a", "pending", 1), job("b", "pending", 1), job("c", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    create_again(rig);
    let records: Vec<_> = (0..count).map(|number| job(&format!("new-{number}"), "processing", 1)).collect();
    put(rig, &records);
    let name = rig.settings.topics.get(Topic::Jobs);
    let is_stopped = |server: &Server, why: &str| {
        let report = server.wait_for("stopped", |report| report.state == "stalled" && report.is_stopped(name, 0));
        let error = report.last_error.expect("an error");
        assert!(error.contains(why) && error.contains("optview rebuild"), "{error}");
    };
    is_stopped(&server, "created again");
    // The other topics are read on.
    put(rig, &[created("d")]);
    wait_until("d is there", || (server.get("/optimizations/d").status == 200).then_some(()));
    assert!(server.stop().0.success());
    let server = Server::start(rig, &[]);
    is_stopped(&server, "its id was");
}

fn no_record_of_a_topic_that_is_created_again_is_folded(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "processing", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    create_topic_again(rig, Topic::Optimizations);
    // The brokers agree on the new id within seconds, and all of these can be read before that.
    for number in 0..200 {
        put(rig, &[created(&format!("new-{number}"))]);
    }
    let name = rig.settings.topics.get(Topic::Optimizations);
    let report = server.wait_for("stopped", |report| report.state == "stalled" && report.is_stopped(name, 0));
    let error = report.last_error.expect("an error");
    assert!(error.contains("created again"), "{error}");
    let folded: Vec<u32> =
        (0..200).filter(|number| server.get(&format!("/optimizations/new-{number}")).status == 200).collect();
    assert!(folded.is_empty(), "{folded:?}");
    assert_eq!(server.get("/optimizations/a").body["status"], "running");
}

fn create_again(rig: &Rig) {
    create_topic_again(rig, Topic::Jobs);
}

fn create_topic_again(rig: &Rig, topic: Topic) {
    delete_topic(rig, topic);
    // The topic cannot be created while the old one is still being removed.
    wait_until("it can be created again", || admin::ensure_topics(&rig.settings, 1).ok());
}

fn a_topic_that_is_deleted_is_an_error_that_stands(rig: &Rig) {
    use optview::domain::TopicPartition;
    use optview::source::kafka::KafkaSource;
    use optview::source::{Source as _, SourceEvent};
    let jobs = TopicPartition::new(Topic::Jobs, 0);
    rig.create_topics(1);
    put(rig, &[job("a", "pending", 1)]);
    let mut source = KafkaSource::new(&rig.settings, "optview-tests").expect("a source");
    let mut poll = |is: &dyn Fn(&KafkaSource) -> bool| {
        wait_until("the source says it", || {
            let mut found = Vec::new();
            source.poll(std::time::Duration::from_millis(20), &mut |polled| {
                if let SourceEvent::Found { partition, watermarks } = polled {
                    found.push((partition, watermarks.low));
                }
            });
            for (partition, low) in found {
                source.assign(partition, low).expect("a partition that can be read");
            }
            is(&source).then_some(())
        });
    };
    poll(&|source| source.observation(jobs).is_some_and(|observed| observed.topic_id.is_some()));
    delete_topic(rig, Topic::Jobs);
    poll(&|source| source.partition_error(jobs).is_some());
    for _ in 0..20 {
        poll(&|source| source.partition_error(jobs).is_some());
    }
}

fn a_topic_that_was_created_again_is_known_though_no_record_has_the_offset_that_was_read_last(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1), job("a", "processing", 2)]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "running");
    server.wait_until_all_is_kept(rig).check();
    assert!(server.stop().0.success());
    create_again(rig);
    // Offset 1, where the last record was, is a transaction marker now, and so is offset 3.
    let producer = transactional(rig);
    for sequence in [3, 4] {
        transaction(rig, &producer, &[job("a", "failed", sequence)], true);
    }
    check_verify_tells(rig);
    let server = Server::start(rig, &[]);
    let report = server.wait_for("stopped", |report| report.state == "stalled");
    let error = report.last_error.expect("an error");
    assert!(error.contains("its id was"), "{error}");
    check_verify_tells(rig);
    assert_eq!(server.get("/optimizations/a").body["status"], "running");
}

/// Checks that the store's own verification detects it, with a process that serves the store and without one,
/// although the new topic reaches the store's positions.
fn check_verify_tells(rig: &Rig) {
    let data = rig.directory.path().join("data");
    let data = data.to_str().expect("text");
    let verified = rig.optview(&["verify", "--data-dir", data]).output().expect("a program to run");
    let stdout = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(3), "{verified:?}");
    assert!(stdout.contains("created again: its id was"), "{stdout}");
}

fn an_archive_that_follows_takes_nothing_of_a_topic_that_was_created_again(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1), job("b", "pending", 1)]);
    let directory = rig.directory.path().join("archive");
    let text = directory.to_str().expect("text");
    let follow = rig.spawn(&["archive", "export", text, "--follow", "--commit-interval", "50ms"]);
    let records = || Manifest::read(&directory).ok().map(|manifest| manifest.records());
    wait_until("all is archived", || records().filter(|records| *records == 3));
    create_again(rig);
    let new: Vec<_> = (0..9).map(|number| job(&format!("new-{number}"), "processing", 1)).collect();
    put(rig, &new);
    assert_eq!(follow.wait().code(), Some(1), "it ends, and not as if all were well");
    let error = std::fs::read_to_string(rig.directory.path().join("stderr")).expect("the file of stderr");
    assert!(error.contains("created again"), "{error}");
    assert_eq!(records(), Some(3), "none of the new topic's");
    let again = rig.optview(&["archive", "export", text]).output().expect("a program to run");
    let error = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && error.contains("created again"), "{error}");
    let verified = rig.optview(&["archive", "verify", text]).output().expect("a program to run");
    assert!(verified.status.success(), "{verified:?}");
}
