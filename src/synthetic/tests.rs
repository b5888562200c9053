use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::codec::Encoding;
use crate::codec::encode::{encode, key};
use crate::domain::Body;
use crate::domain::event::{JobChange, OptimizationChange};

fn settings(optimizations: u64) -> HistorySettings {
    HistorySettings { optimizations, concurrent: 50, ..HistorySettings::default() }
}

fn events(settings: HistorySettings) -> Vec<Event<'static>> {
    History::new(settings).collect()
}

/// The expectation recomputed from the events in their order, independently of the plans and of the fold.
#[derive(Default)]
struct Recount {
    linked: BTreeMap<String, Option<String>>,
    deleted: BTreeSet<String>,
    statuses: BTreeMap<String, Status>,
    runs: BTreeMap<String, BTreeSet<u32>>,
}

impl Recount {
    fn of(events: &[Event<'_>]) -> Expectation {
        let mut recount = Recount::default();
        for event in events {
            recount.take(event);
        }
        let mut expectation = Expectation::default();
        for (id, job) in &recount.linked {
            let status = job.as_ref().map(|job| recount.statuses.get(job).copied().unwrap_or(Status::Queued));
            let runs = job.as_ref().and_then(|job| recount.runs.get(job)).map_or(0, BTreeSet::len);
            expectation.add(status, runs as u64, recount.deleted.contains(id));
        }
        expectation
    }

    fn take(&mut self, event: &Event<'_>) {
        match &event.body {
            Body::Optimization { optimization_id: id, change } => match change {
                OptimizationChange::Created(facts) => {
                    self.linked.insert(id.to_string(), facts.job_id.as_ref().map(ToString::to_string));
                }
                OptimizationChange::JobLinked { job_id } => {
                    self.linked.insert(id.to_string(), Some(job_id.to_string()));
                }
                OptimizationChange::Deleted => {
                    self.deleted.insert(id.to_string());
                }
                OptimizationChange::DetailsChanged { .. } | OptimizationChange::DisplayNamesChanged { .. } => {}
            },
            Body::Job { job_id, change, .. } => {
                let status = match change {
                    JobChange::Pending => Status::Queued,
                    JobChange::Processing | JobChange::Waiting => Status::Running,
                    JobChange::Completed { .. } => Status::Succeeded,
                    JobChange::Failed { .. } => Status::Failed,
                    JobChange::Canceled => Status::Canceled,
                };
                self.statuses.insert(job_id.to_string(), status);
            }
            Body::Run { job_id, run_index, .. } => {
                self.runs.entry(job_id.to_string()).or_default().insert(*run_index);
            }
        }
    }
}

#[test]
fn what_is_expected_is_what_the_events_say() {
    for (seed, optimizations, runs, concurrent) in
        [(1, 3000, 8, 1000), (2, 3000, 8, 1), (3, 500, 0, 7), (4, 500, 1, 10_000), (5, 0, 8, 10), (6, 1, 8, 10)]
    {
        let settings = HistorySettings { seed, optimizations, runs, concurrent, ..HistorySettings::default() };
        let mut history = History::new(settings);
        let events: Vec<_> = history.by_ref().collect();
        assert_eq!(*history.expectation(), Recount::of(&events), "seed {seed}");
        assert_eq!(history.expectation().optimizations + history.expectation().deleted, optimizations);
        assert_eq!(history.optimizations_done(), optimizations);
    }
}

#[test]
fn everything_that_can_happen_happens() {
    let mut history = History::new(settings(3000));
    let events: Vec<_> = history.by_ref().collect();
    let Expectation { optimizations, deleted, by_status, run_count } = history.expectation();
    let ByStatus { none, queued, running, succeeded, failed, canceled } = by_status;
    for count in [optimizations, deleted, none, queued, running, succeeded, failed, canceled, run_count] {
        assert!(*count > 0, "{:?}", history.expectation());
    }
    let happened = |what: fn(&Body<'_>) -> bool| events.iter().any(|event| what(&event.body));
    assert!(happened(|body| matches!(body, Body::Job { optimization_id: None, .. })));
    assert!(happened(|body| matches!(body, Body::Run { optimization_id: None, .. })));
    assert!(happened(|body| matches!(body, Body::Job { change: JobChange::Waiting, .. })));
    let a_job_that_is_submitted_again = events
        .iter()
        .filter(|event| matches!(event.body, Body::Job { change: JobChange::Pending, .. }))
        .any(|event| event.metadata.sequence > 1);
    assert!(a_job_that_is_submitted_again);
}

#[test]
fn a_seed_gives_the_same_bytes_in_every_version() {
    let hash = |seed, encoding| {
        let (mut hasher, mut value) = (xxhash_rust::xxh3::Xxh3::new(), Vec::new());
        for event in events(HistorySettings { seed, ..settings(100) }) {
            encode(&event, encoding, &mut value);
            hasher.update(&value);
        }
        hasher.digest()
    };
    // A failure here means that published figures can no longer be compared with new ones: the change that causes
    // it must state that.
    assert_eq!(hash(1, Encoding::Json), JSON_OF_SEED_1);
    assert_ne!(hash(2, Encoding::Json), JSON_OF_SEED_1);
    assert_eq!(hash(1, Encoding::Protobuf), hash(1, Encoding::Protobuf));
}

const JSON_OF_SEED_1: u64 = 3_537_544_392_728_689_457;

#[test]
fn a_longer_history_has_the_same_lives() {
    let mut short: Vec<String> =
        events(settings(50)).iter().map(|event| event.metadata.event_id.to_string()).collect();
    let long: BTreeSet<String> =
        events(settings(200)).iter().map(|event| event.metadata.event_id.to_string()).collect();
    assert!(short.len() > 500);
    short.retain(|id| !long.contains(id));
    assert_eq!(short, Vec::<String>::new());
}

#[test]
fn time_and_each_aggregates_sequence_advance_and_every_event_has_its_own_id() {
    let events = events(settings(300));
    let mut sequences: BTreeMap<(crate::domain::Topic, String, Option<u32>), u64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for pair in events.windows(2) {
        assert!(pair[0].metadata.occurred_at < pair[1].metadata.occurred_at);
    }
    for event in &events {
        let run = if let Body::Run { run_index, .. } = event.body { Some(run_index) } else { None };
        let sequence = sequences.entry((event.body.topic(), key(event).to_owned(), run)).or_default();
        *sequence += 1;
        assert_eq!(event.metadata.sequence, *sequence, "{event:?}");
        assert!(ids.insert(event.metadata.event_id.clone()), "{event:?}");
    }
}

#[test]
fn records_are_as_many_and_as_long_as_those_of_real_topics() {
    let events = events(settings(1000));
    let per_optimization = events.len() as f64 / 1000.0;
    assert!((19.0..24.0).contains(&per_optimization), "{per_optimization}");
    let (mut bytes, mut value) = (0, Vec::new());
    for event in &events {
        encode(event, Encoding::Json, &mut value);
        bytes += value.len();
    }
    let average = bytes / events.len();
    assert!((250..=300).contains(&average), "{average} bytes a record");
}

#[test]
fn as_many_are_under_way_at_a_time_as_asked_for() {
    let mut history = History::new(HistorySettings { concurrent: 7, ..settings(100) });
    let mut most = 0;
    while history.next().is_some() {
        most = most.max(history.under_way.len());
        assert!(history.under_way.len() <= 7);
    }
    assert_eq!(most, 7);
}
