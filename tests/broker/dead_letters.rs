//! A topic of which too much is not understood stops, goes on when it is told to, and skips nothing, however often it is killed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use optview::codec::Encoding;
use optview::codec::encode::{encode, key};
use optview::domain::{Event, NamedPartition, Topic};
use optview::source::TopicNames;
use optview::source::kafka::letter_reading::read_letters;
use optview::source::kafka::{KafkaSettings, admin};
use optview::source::returned_letter;
use optview::synthetic::{History, HistorySettings};
use serde_json::Value;

use crate::Test;
use crate::cluster::{PutRecord, create_topic, put};
use crate::dice::Dice;
use crate::events::created;
use crate::other_version::fold_otherwise;
use crate::rebuild::{check_rebuilt, data, run};
use crate::rig::{Rig, wait_until};
use crate::server::{Report, Server};
use crate::visible_views::VisibleViews;

pub const TESTS: &[Test] = &[
    test!(a_topic_of_garbage_stops_and_goes_on_when_it_is_told_to, Broker),
    test!(dead_letters_go_to_a_topic_of_their_own_and_come_back_from_it, Broker),
    test!(every_letter_of_what_readers_see_is_on_the_topic_after_rebuilds_and_a_frozen_generation, Broker),
];

const GARBAGE: usize = 2_000;
const LIMIT: u64 = 300;
const ARGUMENTS: [&str; 2] = ["--dead-letter-limit", "300"];

fn has_stopped(report: &Report) -> bool {
    report.partitions.iter().filter(|held| held.state == "stopped").count() == 3
}

/// The values of the letters of a topic by the positions that they come from.
fn letters_of(rig: &Rig, topic: &str) -> BTreeMap<String, Vec<u8>> {
    let mut letters = BTreeMap::new();
    read_letters(&rig.settings, topic, &mut |record, _| {
        let letter = returned_letter(record, &rig.settings.topics).expect("a letter of optview's");
        letters.insert(rig.settings.topics.offset(letter.position), letter.value.expect("a value"));
        ControlFlow::Continue(())
    })
    .expect("a topic that can be read");
    letters
}

/// Runs a command under `dead-letters`, and gives its answer.
fn letters(rig: &Rig, arguments: &[&str]) -> Value {
    let mut command = rig.optview(&["dead-letters"]);
    command.args(arguments).arg("--json").arg("--data-dir").arg(rig.directory.path().join("data"));
    let output = command.output().expect("a program to run");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn a_topic_of_garbage_stops_and_goes_on_when_it_is_told_to(rig: &Rig) {
    let mut history = History::new(HistorySettings { optimizations: 200, runs: 2, ..HistorySettings::default() });
    let events: Vec<Event<'static>> = history.by_ref().collect();
    let mut records: Vec<PutRecord> = events
        .iter()
        .map(|event| {
            let mut value = Vec::new();
            encode(event, Encoding::Json, &mut value);
            PutRecord::new(event.body.topic(), key(event), value)
        })
        .collect();
    let mut dice = Dice::new(3);
    for number in 0..GARBAGE {
        let garbage = PutRecord::new(Topic::Jobs, format!("garbage-{number}"), "{ no event");
        records.insert(dice.below(records.len() + 1), garbage);
    }
    rig.create_topics(3);
    put(rig, &records);
    let mut server = Server::start(rig, &ARGUMENTS);
    let mut stops = 0;
    let mut letters_before = 0;
    loop {
        let what = "the topic stops, or is read to its end";
        let report = server.wait_for(what, |report| {
            report.state == "live" || has_stopped(report) && report.dead_letters > letters_before + LIMIT
        });
        if report.state == "live" {
            break;
        }
        letters_before = report.dead_letters;
        stops += 1;
        if stops % 2 == 0 {
            server.kill();
            server = Server::start(rig, &ARGUMENTS);
            server.wait_for("it has stopped as before", has_stopped);
        }
        let resumed = letters(rig, &["resume"]);
        assert_eq!(resumed["partitions"].as_array().expect("a list").len(), 3, "{resumed}");
    }
    assert!(stops >= 4, "{stops}");
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.dead_letters, GARBAGE as u64);
    VisibleViews::of(&server).check_counts(history.expectation());
    assert_eq!(letters(rig, &["list"])["count"], GARBAGE);
    assert_eq!(letters(rig, &["discard", "--all"])["discarded"], GARBAGE);
    let (ended, _) = server.stop();
    assert!(ended.success());
    let server = Server::start(rig, &ARGUMENTS);
    assert_eq!(server.wait_until_all_is_kept(rig).dead_letters, 0);
}

fn dead_letters_go_to_a_topic_of_their_own_and_come_back_from_it(rig: &Rig) {
    let mut history = History::new(HistorySettings { optimizations: 100, runs: 2, ..HistorySettings::default() });
    let events: Vec<Event<'static>> = history.by_ref().collect();
    // Each third event is in a frame, and is not understood at first.
    let mut framed = 0_u64;
    let records: Vec<PutRecord> = events
        .iter()
        .enumerate()
        .map(|(number, event)| {
            let mut value = Vec::new();
            encode(event, Encoding::Json, &mut value);
            if number % 3 == 0 {
                framed += 1;
                value.splice(0..0, [0, 0, 0, 3, 9]);
            }
            PutRecord::new(event.body.topic(), key(event), value)
        })
        .collect();
    rig.create_topics(3);
    put(rig, &records);
    let topic = format!("{}-letters", rig.settings.topics.get(Topic::Jobs));
    let arguments = ["--framing", "none", "--dead-letter-topic", &topic];
    // The topic is not there: all is read, and no checkpoint passes the letters.
    let server = Server::start(rig, &arguments);
    server.wait_for("all is read", |report| report.state == "live" && report.dead_letters == framed);
    let report = server.wait_for("it says what waits", |report| {
        let error = report.last_error.as_deref().unwrap_or_default();
        error.contains(&format!("{framed} dead letters wait for the topic `{topic}`"))
    });
    assert!(report.records_kept() < report.records_read(), "{report:?}");
    server.kill();
    let letters_rig = Rig {
        own_broker: None,
        settings: KafkaSettings {
            topics: TopicNames::new(topic.clone(), "none-1".to_owned(), "none-2".to_owned()),
            ..rig.settings.clone()
        },
        directory: tempfile::tempdir().expect("a directory"),
    };
    create_topic(&letters_rig, Topic::Optimizations, 2);
    let server = Server::start(rig, &arguments);
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!((report.dead_letters, report.records_kept()), (framed, report.records_read()));
    let written = letters_of(rig, &topic);
    assert_eq!(written.len() as u64, framed);
    let listed = letters(rig, &["list"]);
    let newest = listed["groups"][0]["newest"]["id"].as_str().expect("an id");
    assert!(written[newest].starts_with(&[0, 0, 0, 3, 9]), "{newest}");
    // A restart writes none of them again.
    server.kill();
    let server = Server::start(rig, &arguments);
    server.wait_until_all_is_kept(rig);
    assert_eq!(letters(rig, &["discard", "--all"])["discarded"], framed);
    let (ended, _) = server.stop();
    assert!(ended.success());
    // They come back from the topic, by the frames that are given: at rest some, and then all beside an instance, and once more.
    let jobs = rig.settings.topics.get(Topic::Jobs);
    let done = letters(rig, &["retry", "--from-topic", &topic, "--topic", jobs]);
    assert_eq!((&done["refused"], &done["unusable"]), (&Value::from(0), &Value::from(0)), "{done}");
    assert!(done["folded"].as_u64().is_some_and(|folded| folded > 0 && folded < framed), "{done}");
    let server = Server::start(rig, &["--dead-letter-topic", &topic]);
    server.wait_until_live();
    for _ in 0..2 {
        let done = letters(rig, &["retry", "--from-topic", &topic]);
        assert_eq!((&done["folded"], &done["unusable"]), (&done["chosen"], &Value::from(0)), "{done}");
        assert!(done["folded"].as_u64() >= Some(framed), "{done}");
        VisibleViews::of(&server).check_counts(history.expectation());
    }
    // A record that is no letter is named.
    put(&letters_rig, &[PutRecord::new(Topic::Optimizations, "key", "{}").to(1)]);
    let done = letters(rig, &["retry", "--from-topic", &topic]);
    assert_eq!(done["unusable"], 1, "{done}");
    let id = done["not_tried"][0]["id"].as_str().expect("an id");
    assert!(id.starts_with(&NamedPartition::new(topic.as_str(), 1).to_string()), "{done}");
    assert_eq!(letters(rig, &["list"])["total"], 0);
}

/// Puts records on the topic of jobs that are no events.
fn put_garbage(rig: &Rig, count: usize) {
    let garbage = (0..count).map(|number| PutRecord::new(Topic::Jobs, format!("garbage-{number}"), "{ no event"));
    put(rig, &garbage.collect::<Vec<PutRecord>>());
}

fn every_letter_of_what_readers_see_is_on_the_topic_after_rebuilds_and_a_frozen_generation(rig: &Rig) {
    rig.create_topics(1);
    let topic = format!("{}-letters", rig.settings.topics.get(Topic::Jobs));
    admin::ensure_topic(&rig.settings, &topic, 1, None, &[]).expect("a topic");
    put(rig, &[created("a"), created("b")]);
    put_garbage(rig, 5);
    let arguments = ["--dead-letter-topic", &topic];
    let server = Server::start(rig, &arguments);
    server.wait_until_all_is_kept(rig);
    assert_eq!((letters_of(rig, &topic).len(), rig.end_of(&topic)), (5, 5));
    // A rebuild finds the same letters, which are on the topic.
    check_rebuilt(&run(rig, &["rebuild", "--json"]), true);
    server.wait_until_all_is_kept(rig);
    assert_eq!(rig.end_of(&topic), 5);
    // What was discarded is found anew, and so all letters are written again.
    assert_eq!(
        letters(rig, &["discard", &format!("{}/0@3", rig.settings.topics.get(Topic::Jobs))])["discarded"],
        1
    );
    check_rebuilt(&run(rig, &["rebuild", "--json"]), true);
    wait_until("all are written again", || (rig.end_of(&topic) == 10).then_some(()));
    server.wait_until_all_is_kept(rig);
    let (ended, _) = server.stop();
    assert!(ended.success());
    // What comes while another version's generation is shown is written once that is replaced.
    let current = std::fs::read_to_string(data(rig).join("CURRENT")).expect("a live generation");
    fold_otherwise(&data(rig).join("generations").join(current.trim()));
    put_garbage(rig, 3);
    // Its place is taken by the generation before, in which a letter was discarded.
    let server = Server::start(rig, &arguments);
    server.wait_for("this version's generation is live", |report| {
        report.state == "live" && report.dead_letters == 7
    });
    wait_until("all are on the topic", || (letters_of(rig, &topic).len() == 8).then_some(()));
    server.wait_until_all_is_kept(rig);
    let ended = rig.end_of(&topic);
    assert!(server.stop().0.success());
    // And that is remembered.
    let server = Server::start(rig, &arguments);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    assert_eq!(rig.end_of(&topic), ended);
}
