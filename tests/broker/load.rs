//! `load` puts on the topics exactly what its summary claims.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use optview::codec;
use optview::domain::event::OptimizationChange;
use optview::domain::{Body, Event, PartitionOffset, Record, Status, Topic};
use optview::load::LoadSummary;
use optview::synthetic::Expectation;

use crate::rig::{ConsumedRecord, Rig, wait_until};
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    Test {
        name: "what_load_puts_on_the_topics_as_json_is_what_it_prints",
        needs: Requirement::Broker,
        run: |rig| check(rig, "json"),
    },
    Test {
        name: "what_load_puts_on_the_topics_as_protobuf_is_what_it_prints",
        needs: Requirement::Broker,
        run: |rig| check(rig, "protobuf"),
    },
    test!(a_load_that_was_killed_and_is_run_again_only_repeats_itself, Broker),
    test!(a_load_at_a_rate_leaves_the_processor_to_others, Broker),
    test!(load_fails_where_no_broker_answers, Broker),
];

const PARTITIONS: i32 = 6;

fn check(rig: &Rig, encoding: &str) {
    let output = rig.run(&["load", "--optimizations", "2000", "--partitions", "6", "--encoding", encoding]);
    let loaded: LoadSummary =
        serde_json::from_slice(&output.stdout).expect("one line of JSON on stdout, and no more");
    let mut seen = Vec::new();
    for topic in Topic::ALL {
        let records = rig.consume(topic);
        each_key_is_in_one_partition_and_all_are_used(&records);
        seen.extend(records.iter().map(|record| read(topic, encoding, record)));
    }
    assert_eq!(seen.len(), loaded.records);
    let ids: BTreeSet<&str> = seen.iter().map(|seen| seen.event_id.as_str()).collect();
    assert_eq!(ids.len(), loaded.records, "an event is there twice");
    assert!(loaded.expectation.optimizations > 1900, "{loaded:?}");
    assert_eq!(recount(&seen), loaded.expectation);
}

fn each_key_is_in_one_partition_and_all_are_used(records: &[ConsumedRecord]) {
    let mut partition_of = BTreeMap::new();
    for record in records {
        assert_eq!(
            *partition_of.entry(&record.key).or_insert(record.partition),
            record.partition,
            "{}",
            record.key
        );
    }
    let used: BTreeSet<i32> = partition_of.into_values().collect();
    assert_eq!(used, (0..PARTITIONS).collect());
}

fn a_load_that_was_killed_and_is_run_again_only_repeats_itself(rig: &Rig) {
    let arguments = ["load", "--optimizations", "200", "--partitions", "6"];
    rig.create_topics(PARTITIONS);
    let slow = rig.spawn(&[&arguments[..], &["--rate", "500"]].concat());
    wait_until("some records are there", || (rig.count(Topic::Jobs) > 20).then_some(()));
    slow.kill();
    let before: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    let loaded: LoadSummary = serde_json::from_slice(&rig.run(&arguments).stdout).expect("one line of JSON");
    assert!((1..loaded.records as i64).contains(&before), "{before} of {}", loaded.records);
    let seen: Vec<SeenEvent> = Topic::ALL
        .iter()
        .flat_map(|&topic| rig.consume(topic).into_iter().map(move |record| read(topic, "json", &record)))
        .collect();
    assert_eq!(seen.len() as i64, before + loaded.records as i64);
    let ids: BTreeSet<&str> = seen.iter().map(|seen| seen.event_id.as_str()).collect();
    assert_eq!(ids.len(), loaded.records);
    assert_eq!(recount(&seen), loaded.expectation);
}

fn a_load_at_a_rate_leaves_the_processor_to_others(rig: &Rig) {
    rig.create_topics(PARTITIONS);
    let load = rig.spawn(&["load", "--optimizations", "100000", "--rate", "1000"]);
    let loaded = || Topic::ALL.iter().map(|&topic| rig.count(topic)).sum::<i64>();
    wait_until("it has begun", || (loaded() > 0).then_some(()));
    let (begin, before) = (Instant::now(), load.cpu_seconds());
    wait_until("it goes on for some seconds", || (loaded() > 3000).then_some(()));
    let share = (load.cpu_seconds() - before) / begin.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share} of a processor");
}

fn load_fails_where_no_broker_answers(rig: &Rig) {
    let mut command = rig.optview(&["load", "--brokers", "127.0.0.1:1", "--optimizations", "1"]);
    let output = command.output().expect("a program to run");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("127.0.0.1:1 does not answer"), "{error}");
    // librdkafka reports the reason apart from the failure.
    assert!(error.contains("Connection refused"), "{error}");
}

/// The content of one record, as far as the recount needs it.
struct SeenEvent {
    event_id: String,
    sequence: u64,
    what: Fact,
}

enum Fact {
    Created { id: String, job: Option<String> },
    Linked { id: String, job: String },
    Deleted { id: String },
    Job { job: String, status: Status },
    Run { job: String, run: u32 },
    Nothing,
}

/// Recounts from the event with the greatest sequence of each aggregate, which is all that the views depend on.
fn recount(seen: &[SeenEvent]) -> Expectation {
    let mut links: BTreeMap<&str, (u64, Option<&str>)> = BTreeMap::new();
    let mut statuses: BTreeMap<&str, (u64, Status)> = BTreeMap::new();
    let mut runs: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    for SeenEvent { sequence, what, .. } in seen {
        match what {
            Fact::Created { id, job } => {
                let link = links.entry(id).or_default();
                *link = (*link).max((*sequence, job.as_deref()));
            }
            Fact::Linked { id, job } => {
                let link = links.entry(id).or_default();
                *link = (*link).max((*sequence, Some(job)));
            }
            Fact::Deleted { id } => drop(deleted.insert(id.as_str())),
            Fact::Job { job, status } => {
                let latest = statuses.entry(job).or_insert((*sequence, *status));
                *latest = (*latest).max((*sequence, *status));
            }
            Fact::Run { job, run } => drop(runs.entry(job).or_default().insert(*run)),
            Fact::Nothing => {}
        }
    }
    let mut expectation = Expectation::default();
    for (id, (_, job)) in links {
        let status = job.map(|job| statuses.get(job).map_or(Status::Queued, |(_, status)| *status));
        let run_count = job.and_then(|job| runs.get(job)).map_or(0, BTreeSet::len);
        expectation.add(status, run_count as u64, deleted.contains(id));
    }
    expectation
}

/// Decodes a record. It checks the encoding, because the codec would accept either one.
fn read(topic: Topic, encoding: &str, record: &ConsumedRecord) -> SeenEvent {
    assert_eq!(record.value[0] == b'{', encoding == "json");
    let envelope = codec::decode(&Record {
        position: PartitionOffset { topic, partition: record.partition, offset: record.offset },
        timestamp_millis: None,
        key: Some(record.key.as_bytes()),
        value: Some(&record.value),
        headers: Vec::new(),
    });
    let Event { metadata, body } = envelope.expect("a record that can be understood").event;
    assert_eq!(body.topic(), topic);
    let what = match body {
        Body::Optimization { optimization_id, change } => {
            let id = optimization_id.into_owned();
            match change {
                OptimizationChange::Created(facts) => Fact::Created { id, job: facts.job_id.map(Cow::into_owned) },
                OptimizationChange::JobLinked { job_id } => Fact::Linked { id, job: job_id.into_owned() },
                OptimizationChange::Deleted => Fact::Deleted { id },
                OptimizationChange::DetailsChanged { .. } | OptimizationChange::DisplayNamesChanged { .. } => {
                    Fact::Nothing
                }
            }
        }
        Body::Job { job_id, change, .. } => {
            Fact::Job { job: job_id.into_owned(), status: change.status().view_status() }
        }
        Body::Run { job_id, run_index, .. } => Fact::Run { job: job_id.into_owned(), run: run_index },
    };
    SeenEvent { event_id: metadata.event_id.into_owned(), sequence: metadata.sequence, what }
}
