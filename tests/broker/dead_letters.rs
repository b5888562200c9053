//! A topic of which too much is not understood stops, goes on when it is told to, and skips nothing, however often it is killed.

use optview::codec::Encoding;
use optview::codec::encode::{encode, key};
use optview::domain::{Event, Topic};
use optview::synthetic::{History, HistorySettings};
use serde_json::Value;

use crate::Test;
use crate::cluster::{PutRecord, put};
use crate::dice::Dice;
use crate::rig::Rig;
use crate::server::{Report, Server};
use crate::visible_views::VisibleViews;

pub const TESTS: &[Test] = &[test!(a_topic_of_garbage_stops_and_goes_on_when_it_is_told_to, Broker)];

const GARBAGE: usize = 2_000;
const LIMIT: u64 = 300;
const ARGUMENTS: [&str; 2] = ["--dead-letter-limit", "300"];

fn has_stopped(report: &Report) -> bool {
    report.partitions.iter().filter(|held| held.state == "stopped").count() == 3
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
