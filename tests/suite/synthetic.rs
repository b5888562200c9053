//! The synthetic history is like that of real producers: it decodes to the events that it was made of, and folds
//! to its own expectation.

use optview::codec::Encoding;
use optview::codec::encode::{encode, key};
use optview::domain::{Event, PartitionOffset, Status, Topic};
use optview::synthetic::{Expectation, History, HistorySettings};
use serde_json::Value;

use crate::support::{MapStore, OwnedRecord};

fn history(optimizations: u64) -> (Vec<Event<'static>>, Expectation) {
    let settings = HistorySettings { optimizations, concurrent: 50, runs: 3, ..HistorySettings::default() };
    let mut history = History::new(settings);
    (history.by_ref().collect(), history.expectation().clone())
}

fn records(events: &[Event<'_>], encoding: Encoding) -> Vec<OwnedRecord> {
    (0..)
        .zip(events)
        .map(|(offset, event)| {
            let mut value = Vec::new();
            encode(event, encoding, &mut value);
            let position = PartitionOffset { topic: event.body.topic(), partition: 0, offset };
            OwnedRecord { position, key: key(event).as_bytes().to_vec(), value: Some(value) }
        })
        .collect()
}

#[test]
fn every_event_decodes_to_what_it_was() {
    let (events, _) = history(300);
    assert!(events.len() > 3000);
    for (event, record) in events.iter().zip(records(&events, Encoding::Json)) {
        assert_eq!(record.decode().event, *event);
    }
    for (event, record) in events.iter().zip(records(&events, Encoding::Protobuf)) {
        let decoded = record.decode();
        // A Struct sorts names and makes every number a double, so that free objects differ.
        assert_eq!(decoded.event.metadata, event.metadata);
        assert_eq!(decoded.event.body.topic(), event.body.topic());
        assert_eq!(key(&decoded.event), key(event));
    }
}

#[test]
fn the_fold_shows_what_is_expected_in_whatever_order_the_topics_are_read() {
    let (events, expectation) = history(300);
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        for topics in [
            [Topic::Optimizations, Topic::Jobs, Topic::MultistartRuns],
            [Topic::MultistartRuns, Topic::Jobs, Topic::Optimizations],
        ] {
            let mut records = records(&events, encoding);
            records.sort_by_key(|record| topics.iter().position(|&topic| topic == record.position.topic));
            assert_eq!(shown(&records, &events), expectation, "{encoding:?}, {topics:?}");
        }
    }
}

/// Counts the views that readers get.
fn shown(records: &[OwnedRecord], events: &[Event<'_>]) -> Expectation {
    let mut store = MapStore::default();
    for record in records {
        store.fold(&record.decode());
    }
    store.write();
    let mut shown = Expectation::default();
    let optimizations = events.iter().filter(|event| event.body.topic() == Topic::Optimizations);
    let ids: std::collections::BTreeSet<&str> = optimizations.map(|event| key(event)).collect();
    for id in ids {
        match store.response(id) {
            None => shown.add(None, 0, true),
            Some(view) => {
                let status = |name: &str| Status::ALL.into_iter().find(|status| status.as_str() == name);
                let status = view["status"].as_str().map(|name| status(name).expect("a known status"));
                assert!(status.is_some() || view["status"] == Value::Null);
                shown.add(status, view["run_count"].as_u64().expect("a count"), false);
            }
        }
    }
    shown
}
