//! A thousand dead letters of sixty kinds: listed, shown, and mended by a `serve` that understands most of them, after which the views
//! are those of a fold that never refused any.

use std::collections::BTreeMap;
use std::process::Stdio;

use optview::codec::encode::{encode, key};
use optview::codec::{self, Encoding, Framing};
use optview::domain::{Event, Record, Topic, TopicPartition};
use optview::synthetic::{History, HistorySettings};
use serde_json::{Value, json};

use super::workflow::Letters;
use crate::fixtures::Random;
use crate::program::{Program, World};
use crate::support::MapStore;

/// Number of events that come in frames, which `--framing none` does not take off.
const FRAMED: usize = 600;
/// Number of records that are no events, whatever is set.
const GARBAGE: usize = 400;

/// A record on its way to a topic, with the event in it if there is one.
struct SentRecord<'a> {
    topic: Topic,
    key: String,
    value: Vec<u8>,
    event: Option<&'a Event<'a>>,
}

/// Puts an event into one of the frames of schema registries.
fn framed(number: usize, event: &Event<'_>) -> Vec<u8> {
    let guid = [0x89; 16];
    let (frame, encoding): (Vec<u8>, Encoding) = match number % 5 {
        0 => (vec![0, 0, 0, 3, 9], Encoding::Json),
        1 => (vec![0, 0, 0, 3, 9, 0], Encoding::Protobuf),
        2 => ([&[1][..], &guid].concat(), Encoding::Json),
        3 => ([&[1][..], &guid, &[0]].concat(), Encoding::Protobuf),
        _ => ([&[3, 0][..], &guid].concat(), Encoding::Json),
    };
    let mut value = frame;
    let mut payload = Vec::new();
    encode(event, encoding, &mut payload);
    value.extend(payload);
    value
}

/// Returns a record that is no event, of one of many kinds.
fn garbage(number: usize) -> (Topic, Vec<u8>) {
    let metadata = r#""metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"}"#;
    let letter = char::from(b'a' + (number % 26) as u8);
    let (topic, value) = match number % 7 {
        0 => (Topic::Jobs, format!(r#"{{{metadata},"jobId":"j","exploded{letter}":{{}}}}"#)),
        1 => (Topic::Optimizations, format!(r#"{{{metadata},"optimizationId":"o","created{letter}":{{}}}}"#)),
        2 => (Topic::MultistartRuns, format!(r#"{{{metadata},"jobId":"j","started{letter}":{number}}}"#)),
        3 => (Topic::Jobs, format!(r#"{{{metadata},"pending":{{}}}} "#)),
        4 => (Topic::Jobs, format!(r#"{{"jobId":"j-{number}","pending":{{}}}}"#)),
        5 => {
            (Topic::Optimizations, format!(r#"{{{metadata},"optimizationId":"o","created":{{"name":{number}}}}}"#))
        }
        _ => (Topic::Jobs, format!("<job>{number}</job>")),
    };
    (topic, value.into_bytes())
}

fn records<'a>(events: &'a [Event<'a>]) -> Vec<SentRecord<'a>> {
    let mut records: Vec<SentRecord<'a>> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let value = if number % 2 == 0 && number / 2 < FRAMED {
            framed(number / 2, event)
        } else {
            let mut value = Vec::new();
            encode(event, Encoding::Json, &mut value);
            value
        };
        let (topic, key) = (event.body.topic(), key(event).to_owned());
        records.push(SentRecord { topic, key, value, event: Some(event) });
    }
    let mut random = Random(7);
    for number in 0..GARBAGE {
        let (topic, value) = garbage(number);
        let at = random.below(records.len() as u64) as usize;
        records.insert(at, SentRecord { topic, key: "garbage".to_owned(), value, event: None });
    }
    records
}

/// Returns a count of a result.
fn number(done: &Value, name: &str) -> u64 {
    done[name].as_u64().unwrap()
}

/// Serves the topics with these frames until all is read.
fn serve(world: &World, framing: &str) -> Program {
    let mut program = world.serve(&["--framing", framing], &[], Stdio::piped());
    let _log = program.listening();
    let status = program.wait_for("all is read", |status| status["state"] == "live");
    assert_eq!(status["dead_letters"], FRAMED + GARBAGE, "{status}");
    program
}

/// Checks that each view is that of a fold of all events.
fn check_views(program: &Program, events: &[Event<'_>]) {
    let mut fold = MapStore::default();
    for (offset, event) in (0..).zip(events) {
        let mut value = Vec::new();
        encode(event, Encoding::Json, &mut value);
        let position = TopicPartition::new(event.body.topic(), 0).at(offset);
        let record =
            Record { position, timestamp_millis: Some(0), key: None, value: Some(&value), headers: Vec::new() };
        fold.fold(&codec::decode(&record).unwrap());
    }
    fold.write();
    assert!(fold.optimizations.len() > 50);
    for id in fold.optimizations.keys() {
        let (code, _, view) = program.read(&format!("/optimizations/{id}"));
        let expected = fold.response(id);
        assert_eq!((code, Some(view)), (if expected.is_some() { 200 } else { 404 }, expected), "{id}");
    }
}

#[test]
fn a_thousand_letters_of_sixty_kinds_are_listed_shown_and_mended_and_no_view_shows_that_they_were_refused() {
    let settings = HistorySettings { seed: 5, optimizations: 140, runs: 4, concurrent: 12, ..Default::default() };
    let events: Vec<Event<'static>> = History::new(settings).collect();
    let world = World::new();
    let records = records(&events);
    let refused = records.iter().filter(|record| {
        let position = TopicPartition::new(record.topic, 0).at(0);
        let value = Some(&record.value[..]);
        let decoded = Record { position, timestamp_millis: Some(0), key: None, value, headers: Vec::new() };
        let is_event = codec::decode(&decoded).is_ok();
        assert_eq!(is_event, record.event.is_some(), "{}", String::from_utf8_lossy(&record.value));
        codec::decode_framed(&decoded, Framing::None).is_err()
    });
    assert_eq!(refused.count(), FRAMED + GARBAGE);
    world.put_values(records.iter().map(|record| (record.topic, record.key.as_str(), &record.value[..])));

    let mut program = serve(&world, "none");
    let letters = Letters::of(&world);
    let (_, listed) = letters.json(&["list"]);
    let groups = listed["groups"].as_array().unwrap();
    assert!(groups.len() >= 60, "{}", groups.len());
    let counts: BTreeMap<(&str, &str), u64> = groups
        .iter()
        .map(|group| {
            let text = |name: &str| group[name].as_str().unwrap();
            ((text("topic"), text("kind")), group["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!((counts.len(), counts.values().sum::<u64>()), (groups.len(), (FRAMED + GARBAGE) as u64));
    for group in groups {
        let (code, shown) = letters.json(&["show", group["newest"]["id"].as_str().unwrap()]);
        assert_eq!(
            (code, &shown["kind"], &shown["reason"]),
            (Some(0), &group["kind"], &group["newest"]["reason"])
        );
        assert!(!shown["value"]["text"].as_str().unwrap().is_empty(), "{shown}");
    }
    // Nothing is understood by the same settings.
    let (code, retried) = letters.json(&["retry", "--all"]);
    assert_eq!((code, &retried["folded"], &retried["refused"]), (Some(3), &json!(0), &json!(FRAMED + GARBAGE)));
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));

    // At rest, those of one topic, by the frames that are given; then the rest beside an instance, and once more.
    let (code, at_rest) = letters.json(&["retry", "--topic", "multistart-runs", "--framing", "confluent"]);
    // Of five frames, one is not Confluent's.
    let of_runs = records.iter().filter(|record| record.topic == Topic::MultistartRuns && record.event.is_some());
    let confluent = of_runs.filter(|record| matches!(record.value[0], 0 | 1)).count();
    assert_eq!((code, number(&at_rest, "folded")), (Some(3), confluent as u64), "{at_rest}");
    let framed_left = FRAMED as u64 - number(&at_rest, "folded");
    let mut program = world.serve(&["--framing", "auto"], &[], Stdio::piped());
    let _log = program.listening();
    program.wait_for("it is live", |status| status["state"] == "live");
    let (code, retried) = letters.json(&["retry", "--all"]);
    assert_eq!((code, number(&retried, "folded")), (Some(3), framed_left));
    assert_eq!(number(&retried, "refused"), GARBAGE as u64);
    let (_, again) = letters.json(&["retry", "--all"]);
    assert_eq!((number(&again, "chosen"), number(&again, "folded")), (GARBAGE as u64, 0));
    check_views(&program, &events);
    assert_eq!(letters.json(&["discard", "--all"]).1["discarded"], GARBAGE);
    program.wait_for("none is left", |status| status["dead_letters"] == 0);
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
}
