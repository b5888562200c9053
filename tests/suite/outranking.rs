//! An event that loses although it is newer is noticed, by the fold and in the stored records, whatever the order.

use std::collections::BTreeMap;

use optview::codec::stored_record;
use optview::domain::outranking::{is_newer, is_outranked, later_of};
use optview::domain::{Body, Envelope, Outranking, PartitionOffset, Stamp, Topic};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fold::{fold_all, history};
use crate::support::{MapStore, OwnedRecord};

/// The second from which the events of these tests count.
const BEGIN_SECONDS: i64 = 1_772_355_600;

/// An event of a test: its stream, its content, its sequence and its second.
struct EventSpec {
    topic: Topic,
    change: Value,
    sequence: u64,
    second: i64,
}

fn job(change: &str, sequence: u64, second: i64) -> EventSpec {
    let change = json!({"jobId": "j1", change: {}});
    EventSpec { topic: Topic::Jobs, change, sequence, second }
}

fn optimization(change: &str, value: Value, sequence: u64, second: i64) -> EventSpec {
    let change = json!({"optimizationId": "o1", change: value});
    EventSpec { topic: Topic::Optimizations, change, sequence, second }
}

fn created(sequence: u64, second: i64) -> EventSpec {
    let value = json!({"organizationId": "org", "projectId": "p", "name": "a", "jobId": "j1"});
    optimization("created", value, sequence, second)
}

/// Returns the records of events, at successive offsets of one partition a topic. Each is written when its event occurs, or in the
/// second that `written_second` gives.
fn records(events: &[EventSpec], written_second: impl Fn(usize) -> Option<i64>) -> Vec<(OwnedRecord, i64)> {
    events
        .iter()
        .enumerate()
        .map(|(offset, event)| {
            let mut value = event.change.clone();
            let occurred_at = optview::domain::Timestamp::new(BEGIN_SECONDS + event.second, 0).unwrap();
            value["metadata"] = json!({
                "eventId": format!("e{offset}"), "sequence": event.sequence, "occurredAt": occurred_at.to_string(),
            });
            let position = PartitionOffset { topic: event.topic, partition: 0, offset: offset as i64 };
            let record =
                OwnedRecord { position, key: b"key".to_vec(), value: Some(serde_json::to_vec(&value).unwrap()) };
            (record, (BEGIN_SECONDS + written_second(offset).unwrap_or(event.second)) * 1000)
        })
        .collect()
}

fn decoded((record, written_millis): &(OwnedRecord, i64)) -> Envelope<'_> {
    Envelope { written_millis: Some(*written_millis), ..record.decode() }
}

/// Folds records, and returns the lost event of each one's effects.
fn lost(store: &mut MapStore, records: &[(OwnedRecord, i64)]) -> Vec<Option<Outranking>> {
    records.iter().map(|record| store.effects(&decoded(record)).outranked.map(|outranked| *outranked)).collect()
}

/// Folds events. Returns the kinds of those that lost, the reason for the last of them, and the status that readers see.
fn folded(
    events: &[EventSpec],
    written_second: impl Fn(usize) -> Option<i64>,
) -> (Vec<&'static str>, String, Value) {
    let records = records(events, written_second);
    let mut store = MapStore::default();
    let lost_at_first = lost(&mut store, &records);
    store.write();
    let bytes = store.optimizations.clone();
    // A restart reads the tail again.
    store.forget();
    for from in 0..records.len() {
        assert!(lost(&mut store, &records[from..]).iter().all(Option::is_none), "read again from {from}");
    }
    store.write();
    assert_eq!(store.optimizations, bytes);
    let lost: Vec<Outranking> = lost_at_first.into_iter().flatten().collect();
    let why = lost.last().map(|lost| optview::domain::outranking::explanation(&lost.event, &lost.winner));
    let status = store.response("o1").unwrap()["status"].clone();
    (lost.iter().map(|lost| lost.kind).collect(), why.unwrap_or_default(), status)
}

fn as_it_occurred(_: usize) -> Option<i64> {
    None
}

#[test]
fn events_without_a_sequence_lose_to_one_that_has_one_and_are_noted() {
    let events = [created(0, 0), job("pending", 1, 1), job("processing", 0, 2), job("completed", 0, 3)];
    let (lost, why, status) = folded(&events, as_it_occurred);
    assert_eq!((lost, status), (vec!["processing", "completed"], json!("queued")));
    assert!(why.contains("all producers of one aggregate must give sequences, or none"), "{why}");
}

#[test]
fn a_counter_that_begins_again_is_noted() {
    let events = [
        created(1, 0),
        job("pending", 1, 1),
        job("processing", 2, 2),
        job("failed", 3, 3),
        job("pending", 1, 4),
        job("processing", 2, 5),
    ];
    let (lost, why, status) = folded(&events, as_it_occurred);
    assert_eq!((lost, status), (vec!["pending", "processing"], json!("failed")));
    assert!(why.contains("counter began again"), "{why}");
}

#[test]
fn what_comes_after_the_greatest_sequence_is_noted() {
    let events = [created(1, 0), job("processing", u64::MAX, 1), job("completed", 2, 2)];
    let (lost, why, status) = folded(&events, as_it_occurred);
    assert_eq!((lost, status), (vec!["completed"], json!("running")));
    assert!(why.contains("18446744073709551615 was wrong"), "{why}");
}

#[test]
fn an_event_that_loses_to_a_clock_that_is_years_ahead_is_noted() {
    let years = 3 * 365 * 86_400;
    let events = [created(0, 0), job("pending", 0, years), job("processing", 0, 2), job("completed", 0, 3)];
    let (lost, why, status) = folded(&events, |at| (at == 1).then_some(1));
    assert_eq!((lost, status), (vec!["processing", "completed"], json!("queued")));
    assert!(why.contains("that producer's clock was ahead"), "{why}");
}

#[test]
fn names_links_and_creations_that_lose_are_noted_too() {
    let events = [
        created(7, 0),
        optimization("detailsChanged", json!({"name": "b"}), 2, 1),
        optimization("displayNamesChanged", json!({"cellName": "c"}), 0, 2),
        optimization("jobLinked", json!({"jobId": "j2"}), 3, 3),
        optimization("created", json!({"organizationId": "org", "projectId": "q"}), 4, 4),
    ];
    let (kinds, ..) = folded(&events, as_it_occurred);
    assert_eq!(kinds, ["details_changed", "display_names_changed", "job_linked", "created"]);
    let mut store = MapStore::default();
    let events = [
        created(0, 0),
        optimization("deleted", json!({}), 0, 1),
        optimization("created", json!({"organizationId": "org", "projectId": "p"}), 0, 2),
    ];
    let lost = lost(&mut store, &records(&events, as_it_occurred));
    let lost = lost[2].as_ref().expect("it was created again, for nothing");
    assert!(optview::domain::outranking::explanation(&lost.event, &lost.winner).contains("had been deleted"));
}

#[test]
fn what_is_as_it_should_be_is_not_noted() {
    for events in [
        // A resubmission, and late events of what came before.
        vec![
            created(1, 0),
            job("pending", 1, 1),
            job("failed", 2, 2),
            job("pending", 3, 3),
            job("processing", 2, 2),
            job("completed", 4, 4),
        ],
        // Clocks differ a little.
        vec![created(1, 5), job("pending", 1, 4), job("processing", 2, 3), job("completed", 3, 2)],
        // None has a sequence.
        vec![created(0, 0), job("pending", 0, 1), job("completed", 0, 9), job("processing", 0, 5)],
        // An optimization is deleted, and events of its job follow.
        vec![
            created(1, 0),
            job("pending", 1, 1),
            optimization("deleted", json!({}), 2, 3),
            job("completed", 2, 4),
        ],
    ] {
        let mut store = MapStore::default();
        assert!(lost(&mut store, &records(&events, as_it_occurred)).iter().all(Option::is_none));
    }
}

#[test]
fn a_deletion_of_what_is_not_there_is_noted_and_one_of_what_is_gone_is_not() {
    let events = [optimization("deleted", json!({}), 0, 1), optimization("deleted", json!({}), 0, 2)];
    let mut store = MapStore::default();
    let deleted_nothing: Vec<bool> = records(&events, as_it_occurred)
        .iter()
        .map(|record| store.effects(&decoded(record)).deleted_nothing)
        .collect();
    assert_eq!(deleted_nothing, [true, false]);
    let mut store = MapStore::default();
    let events =
        [created(1, 0), optimization("deleted", json!({}), 2, 1), optimization("deleted", json!({}), 0, 2)];
    let records = records(&events, as_it_occurred);
    assert!(!records.iter().any(|record| store.effects(&decoded(record)).deleted_nothing));
}

/// Returns the winner of some events, and the latest of them by time.
fn greatest(stamps: &[Stamp]) -> (Stamp, Stamp) {
    let winner = stamps.iter().max_by(|one, other| one.version.cmp(&other.version)).unwrap();
    (winner.clone(), stamps.iter().fold(&stamps[0], |latest, stamp| later_of(latest, stamp)).clone())
}

/// Returns the stamps of the events that set the status of each job, and of those that create each optimization.
fn stamps(history: &[Envelope<'_>]) -> (BTreeMap<String, Vec<Stamp>>, BTreeMap<String, Vec<Stamp>>) {
    use optview::domain::event::OptimizationChange;
    let (mut jobs, mut creations) = (BTreeMap::<_, Vec<Stamp>>::new(), BTreeMap::<_, Vec<Stamp>>::new());
    for envelope in history {
        let stamp = |rank| {
            Stamp::new(&envelope.event.metadata, rank, envelope.position).written_at(envelope.written_millis)
        };
        match &envelope.event.body {
            Body::Job { job_id, change, .. } => {
                let rank = change.status().rank();
                jobs.entry(job_id.to_string()).or_default().push(stamp(rank));
            }
            Body::Optimization { optimization_id, change: OptimizationChange::Created(_) } => {
                creations.entry(optimization_id.to_string()).or_default().push(stamp(0));
            }
            _ => {}
        }
    }
    (jobs, creations)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The stored records note the same lost events for any order of the events and any pauses of the fold.
    #[test]
    fn what_is_stored_says_which_events_lost(
        history in history(1..80).prop_shuffle(),
        pauses in proptest::collection::vec(proptest::bool::weighted(0.3), 1..40),
    ) {
        let folded = fold_all(history.iter(), &pauses);
        let (jobs, creations) = stamps(&history);
        let optimizations: Vec<_> =
            folded.optimizations.values().map(|bytes| stored_record::decode_optimization(bytes).unwrap()).collect();
        for (id, stamps) in &jobs {
            let parked = folded.jobs.get(id).map(|bytes| stored_record::decode_job(bytes).unwrap());
            let home = optimizations.iter().find(|held| held.linked_job().is_some_and(|job| **job == *id.as_str()));
            let job = parked.as_ref().or(home.map(|home| &home.job)).expect("its state is somewhere");
            let (winner, latest) = greatest(stamps);
            let expected = is_outranked(&latest, &winner).then_some((&latest, &winner));
            prop_assert_eq!(job.outranked(), expected, "{}", id);
        }
        for (id, stamps) in &creations {
            let held = optimizations.iter().find(|held| *held.id == *id.as_str()).unwrap();
            let (created, latest) = greatest(stamps);
            let expected = match &held.deleted {
                Some(deleted) => is_newer(&latest, &deleted.stamp),
                None => is_outranked(&latest, &created),
            };
            let noted = held.outranked().find(|(part, ..)| *part == optview::domain::optimization::OptimizationPart::Creation);
            prop_assert_eq!(noted.map(|(_, event, _)| event), expected.then_some(&latest));
        }
    }
}
