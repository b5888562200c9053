//! An archive of real topics contains what they hold, and restores the same records on other topics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use optview::domain::{OwnedRecord, PartitionOffset, Topic, TopicPartition};
use optview::source::TopicNames;
use optview::source::archive::{ArchiveReader, Manifest};
use optview::source::kafka::admin;
use rdkafka::Message;
use rdkafka::message::{Headers, OwnedMessage};
use serde_json::Value;

use crate::Test;
use crate::cluster::{PutRecord, delete_records, delete_topic, put};
use crate::events::{created, job};
use crate::rig::{Rig, wait_until};
use crate::transactions::{transaction, transactional};

pub const TESTS: &[Test] = &[
    test!(what_is_archived_and_imported_is_what_was_there_to_the_byte, Broker),
    test!(an_import_of_an_archive_that_was_killed_goes_on_without_doubles, Broker),
    test!(an_archive_that_follows_misses_nothing_through_kills_and_stops, Broker),
    test!(transactions_leave_holes_that_an_archive_does_not_miss, Broker),
    test!(a_topic_that_was_created_again_is_not_taken_for_the_archived_one, Broker),
    test!(history_that_went_before_it_was_archived_is_named, Broker),
    test!(an_export_stops_before_the_disk_is_full_and_goes_on_when_there_is_room, Broker),
];

fn an_export_stops_before_the_disk_is_full_and_goes_on_when_there_is_room(rig: &Rig) {
    const BYTES: u64 = 512 << 20;
    rig.run(&["load", "--optimizations", "100", "--partitions", "3"]);
    let directory = archive(rig, "archive");
    let refused = rig.optview(&["archive", "export", text(&directory), "--min-free-disk", "900PiB"]).output();
    let refused = refused.expect("a program to run");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("too little room on the disk") && stderr.contains("--min-free-disk"), "{stderr}");
    assert!(!directory.exists(), "nothing was begun");

    let free = optview::disk::free_bytes(rig.directory.path()).expect("a disk");
    let floor = free.saturating_sub(BYTES).to_string();
    let exporting = ["archive", "export", text(&directory), "--follow", "--commit-interval", "100ms"];
    let export = rig.spawn(&[&exporting[..], &["--min-free-disk", &floor]].concat());
    wait_until("some is archived", || Manifest::read(&directory).ok().filter(|manifest| manifest.records() > 0));
    let others = rig.directory.path().join("others");
    let file = std::fs::File::create(&others).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 2 * BYTES).expect("room for it");
    assert_eq!(export.wait().code(), Some(1));
    let stderr = std::fs::read_to_string(rig.directory.path().join("stderr")).expect("the file of stderr");
    assert!(stderr.contains("run it again when there is room"), "{stderr}");
    std::fs::remove_file(others).expect("a file");
    rig.run(&["load", "--optimizations", "50", "--seed", "2"]);
    rig.run(&["archive", "export", text(&directory)]);
    let there: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    assert_eq!(Manifest::read(&directory).expect("a manifest").records(), there as u64);
    rig.run(&["archive", "verify", text(&directory)]);
}

fn what_is_archived_and_imported_is_what_was_there_to_the_byte(rig: &Rig) {
    rig.run(&["load", "--optimizations", "2000", "--partitions", "3"]);
    odd(rig);
    let directory = archive(rig, "archive");
    let exported = json(&rig.run(&["archive", "export", text(&directory), "--json"]));
    let there: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    assert_eq!(exported["records"], there);
    assert!(there > 20_000, "{there}");
    let again = json(&rig.run(&["archive", "export", text(&directory), "--json"]));
    assert_eq!(again["records"], 0);
    check_is_whole(rig, &directory, there);

    // The topics hold the archive's own records already, so nothing is left to do.
    let own = json(&rig.run(&["archive", "import", text(&directory), "--json"]));
    assert_eq!((own["records"].as_i64(), own["records_before"].as_i64()), (Some(0), Some(there)));

    let other = Rig {
        own_broker: None,
        settings: other_topics(rig),
        directory: tempfile::tempdir().expect("a directory"),
    };
    let imported = json(&other.run(&["archive", "import", text(&directory), "--json"]));
    assert_eq!((imported["records"].as_i64(), imported["records_before"].as_i64()), (Some(there), Some(0)));
    // No record was removed here, so that even the offsets are equal.
    assert_eq!(consumed(&other), by_partition(&directory));

    put(&other, &[created("of-others").to(0)]);
    let refused = other.optview(&["archive", "import", text(&directory)]).output().expect("a program to run");
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("nothing was written") && error.contains("/0: holds"), "{error}");
}

/// Puts records that no event looks like: null, empty, not text, with headers.
fn odd(rig: &Rig) {
    let odd = |key: Option<&[u8]>, value: Option<&[u8]>| PutRecord {
        topic: Topic::Jobs,
        partition: Some(2),
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        content_type: Some("application/json"),
    };
    put(
        rig,
        &[
            odd(None, None),
            odd(Some(b""), Some(b"")),
            odd(Some(b"\xff\xfe"), Some(b"\x00\x80")),
            PutRecord { content_type: None, ..odd(Some("ключ".as_bytes()), Some(b"{\"a\":\n\"\\u0000\"}")) },
        ],
    );
}

fn an_import_of_an_archive_that_was_killed_goes_on_without_doubles(rig: &Rig) {
    rig.run(&["load", "--optimizations", "3000", "--partitions", "2"]);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    let other = Rig {
        own_broker: None,
        settings: other_topics(rig),
        directory: tempfile::tempdir().expect("a directory"),
    };
    other.create_topics(2);
    // The queue is so small that the import takes a while.
    let slow = ["--kafka-property", "queue.buffering.max.messages=20", "--kafka-property", "linger.ms=0"];
    let import = ["archive", "import", text(&directory), "--json"];
    for round in 1..=3 {
        let process = other.spawn(&[&import[..], &slow[..]].concat());
        let wanted = round * 1500;
        wait_until("some records are there", || (other.count(Topic::MultistartRuns) > wanted).then_some(()));
        process.kill();
    }
    let there = Manifest::read(&directory).expect("a manifest").records();
    let imported = json(&other.run(&import));
    let before = imported["records_before"].as_u64().expect("a number");
    assert!(before > 4500 && before < there, "{before} of {there}");
    assert_eq!(imported["problems"], Value::Array(Vec::new()));
    // No record was removed here, so that even the offsets are equal.
    assert_eq!(consumed(&other), by_partition(&directory));
}

fn an_archive_that_follows_misses_nothing_through_kills_and_stops(rig: &Rig) {
    rig.create_topics(2);
    let flow = rig.spawn(&["load", "--optimizations", "100000", "--rate", "3000"]);
    let directory = archive(rig, "archive");
    let export = ["archive", "export", text(&directory), "--follow", "--commit-interval", "50ms"];
    let listed = || Manifest::read(&directory).map_or(0, |manifest| manifest.records());
    for round in 1..=3 {
        let export = rig.spawn(&export);
        wait_until("more is listed", || (listed() > round * 3000).then_some(()));
        if round == 2 { assert!(export.stop().success()) } else { export.kill() }
    }
    flow.kill();
    rig.run(&["archive", "export", text(&directory)]);
    check_is_whole(rig, &directory, Topic::ALL.iter().map(|&topic| rig.count(topic)).sum());
}

fn transactions_leave_holes_that_an_archive_does_not_miss(rig: &Rig) {
    rig.create_topics(1);
    let producer = transactional(rig);
    let all = |records: &[PutRecord], commit: bool| transaction(rig, &producer, records, commit);
    all(&[created("a"), job("a", "pending", 1)], true);
    all(&[job("a", "failed", 2)], false);
    let directory = archive(rig, "archive");
    let export = || json(&rig.run(&["archive", "export", text(&directory), "--json"]));
    assert_eq!(export()["records"], 2, "what was aborted never happened");
    // All records are removed together with the markers at the end. The archive misses none of them.
    delete_records(rig, Topic::Jobs, 0, rig.end(Topic::Jobs));
    all(&[job("a", "processing", 3)], true);
    assert_eq!(export()["records"], 1);
    let verified = json(&rig.run(&["archive", "verify", text(&directory), "--json"]));
    assert_eq!((verified["records"].as_i64(), verified["problems"].as_array().map(Vec::len)), (Some(3), Some(0)));
}

fn history_that_went_before_it_was_archived_is_named(rig: &Rig) {
    rig.create_topics(1);
    let events: Vec<PutRecord> = (1..=10).map(|sequence| job("a", "processing", sequence)).collect();
    put(rig, &events[..4]);
    put(rig, &[created("a")]);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    put(rig, &events[4..]);
    delete_records(rig, Topic::Jobs, 0, 7);
    let refused = rig.optview(&["archive", "export", text(&directory)]).output().expect("a program to run");
    assert_eq!(refused.status.code(), Some(1));
    let (error, name) = (String::from_utf8_lossy(&refused.stderr), rig.settings.topics.get(Topic::Jobs));
    assert!(error.contains(&format!("{name}/0: the records from 4 to 7 were removed")), "{error}");
    let left = archive(rig, "left");
    rig.run(&["archive", "export", text(&left)]);
    let verified = json(&rig.run(&["archive", "verify", text(&left), "--json"]));
    assert_eq!(verified["records"], 4);
}

fn a_topic_that_was_created_again_is_not_taken_for_the_archived_one(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[job("a", "pending", 1), job("a", "processing", 2)]);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    delete_topic(rig, Topic::Jobs);
    // The topic cannot be created while the old one is still being removed.
    wait_until("it can be created again", || admin::ensure_topics(&rig.settings, 1).ok());
    let refused = || {
        let output = rig.optview(&["archive", "export", text(&directory)]).output().expect("a program to run");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = refused();
    assert!(error.contains("had the id ") && error.contains("created again"), "{error}");
    // An archive of a version that did not know ids is compared as well as possible.
    let path = directory.join("MANIFEST.json");
    let manifest = std::fs::read(&path).expect("a manifest");
    let mut without: Value = serde_json::from_slice(&manifest).expect("JSON");
    for topic in without["topics"].as_array_mut().expect("topics") {
        assert!(topic.as_object_mut().expect("a topic").remove("id").is_some(), "{topic}");
    }
    std::fs::write(&path, without.to_string()).expect("a manifest");
    let error = refused();
    assert!(error.contains("/0: it was read up to 2, and ends at 0 now"), "{error}");
    std::fs::write(&path, without.to_string()).expect("a manifest");
    let others: Vec<PutRecord> = (1..=5).map(|sequence| job("b", "processing", sequence)).collect();
    put(rig, &others);
    let error = refused();
    assert!(error.contains("/0: the record at 1 is not the one that was read there before"), "{error}");
    assert_eq!(Manifest::read(&directory).expect("a manifest").records(), 2);
}

/// Checks that the archive has every record of the topics once and in order, as a consumer gets it.
fn check_is_whole(rig: &Rig, directory: &Path, there: i64) {
    let verified = json(&rig.run(&["archive", "verify", text(directory), "--json"]));
    assert_eq!(verified["problems"], Value::Array(Vec::new()));
    assert_eq!(verified["records"], there);
    assert_eq!(by_partition(directory), consumed(rig));
}

/// Reads the topics with none of optview's code.
fn consumed(rig: &Rig) -> BTreeMap<TopicPartition, Vec<OwnedRecord>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for topic in Topic::ALL {
        for message in rig.messages(topic) {
            let record = record(topic, &message);
            partitions.entry(record.position.topic_partition()).or_default().push(record);
        }
    }
    partitions
}

fn record(topic: Topic, message: &OwnedMessage) -> OwnedRecord {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    OwnedRecord {
        position: PartitionOffset { topic, partition: message.partition(), offset: message.offset() },
        timestamp_millis: message.timestamp().to_millis(),
        key: owned(message.key()),
        value: owned(message.payload()),
        headers: headers.map(|header| (header.key.to_owned(), owned(header.value))).collect(),
    }
}

fn by_partition(directory: &Path) -> BTreeMap<TopicPartition, Vec<OwnedRecord>> {
    let manifest = Manifest::read(directory).expect("a manifest");
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in ArchiveReader::new(directory, &manifest) {
        let record = record.expect("a record");
        partitions.entry(record.position.topic_partition()).or_default().push(record);
    }
    partitions
}

fn other_topics(rig: &Rig) -> optview::source::kafka::KafkaSettings {
    let name = |topic| format!("{}-other", rig.settings.topics.get(topic));
    let topics = TopicNames::new(name(Topic::Optimizations), name(Topic::Jobs), name(Topic::MultistartRuns));
    optview::source::kafka::KafkaSettings { topics, ..rig.settings.clone() }
}

pub fn archive(rig: &Rig, name: &str) -> PathBuf {
    rig.directory.path().join(name)
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Parses the last line of the output.
fn json(output: &Output) -> Value {
    let last = output.stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a line");
    serde_json::from_slice(last).expect("JSON")
}
