//! The meaning of a record's key and of a null value: an event is of the ids that it has, whatever its key is; a null value is of its
//! key.

use optview::codec;
use optview::domain::{Body, OptimizationEvent, Record, Topic, TopicPartition};

/// The meaning of a record: the id that it is about with its kind, or the reason for which it is refused.
fn meaning(topic: Topic, key: Option<&[u8]>, value: Option<&str>) -> String {
    let position = TopicPartition::new(topic, 0).at(0);
    let value = value.map(str::as_bytes);
    let record = Record { position, timestamp_millis: Some(1), key, value, headers: Vec::new() };
    match codec::decode(&record) {
        Ok(envelope) => match &envelope.event.body {
            Body::Optimization { optimization_id, change } => {
                let kind: &str = OptimizationEvent::from(change).into();
                format!("{optimization_id} {kind}")
            }
            Body::Job { job_id, .. } => format!("{job_id} of a job"),
            Body::Run { job_id, run_index, .. } => format!("{job_id} run {run_index}"),
        },
        Err(error) => format!("refused: {error}"),
    }
}

const METADATA: &str = r#""metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"}"#;

#[test]
fn a_null_value_deletes_the_optimization_that_its_key_names_and_nothing_without_one() {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let only_there = "refused: the value is null, which only the optimizations topic gives a meaning (deleted)";
    for (topic, key, expected) in [
        (Optimizations, Some(&b"opt-1"[..]), "opt-1 deleted"),
        // A key is taken as it is: no serializer's quotes and no white space are taken off.
        (Optimizations, Some(b"\"opt-1\""), "\"opt-1\" deleted"),
        (Optimizations, Some(b" opt-1"), " opt-1 deleted"),
        (Optimizations, None, "refused: key: is missing or empty"),
        (Optimizations, Some(b""), "refused: key: is missing or empty"),
        (Optimizations, Some(b"\xff"), "refused: key: invalid utf-8 sequence of 1 bytes from index 0"),
        (Jobs, Some(b"job-1"), only_there),
        (Jobs, None, only_there),
        (MultistartRuns, Some(b"job-1"), only_there),
        (MultistartRuns, None, only_there),
    ] {
        assert_eq!(meaning(topic, key, None), expected, "{topic} {key:?}");
    }
    // An empty value is no null value: it is nothing that a serializer for deletions writes.
    assert_eq!(meaning(Optimizations, Some(b"opt-1"), Some("")), "refused: the value is empty");
}

#[test]
fn an_event_is_of_the_id_that_it_has_whatever_its_key_is() {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let events = [
        (Optimizations, r#""optimizationId":"opt-1","deleted":{}"#, "opt-1 deleted"),
        (Jobs, r#""jobId":"job-1","pending":{}"#, "job-1 of a job"),
        (MultistartRuns, r#""jobId":"job-1","runIndex":3,"started":{}"#, "job-1 run 3"),
    ];
    for (topic, event, expected) in events {
        let value = format!("{{{METADATA},{event}}}");
        for key in [
            None,
            Some(&b""[..]),
            Some(b"opt-1"),
            Some(b"job-1"),
            Some(b"another"),
            Some(b"\xff\x00"),
            Some(&[b'k'; 5000]),
        ] {
            assert_eq!(meaning(topic, key, Some(&value)), expected, "{key:?}");
        }
    }
}

#[test]
fn an_id_that_is_empty_or_missing_is_refused_and_no_key_takes_its_place() {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    for (topic, field, event) in [
        (Optimizations, "optimization_id", r#""deleted":{}"#),
        (Jobs, "job_id", r#""pending":{}"#),
        (MultistartRuns, "job_id", r#""started":{}"#),
    ] {
        for id in ["", &format!(r#""{field}":"","#), &format!(r#""{field}":null,"#)] {
            let value = format!("{{{METADATA},{id}{event}}}");
            let expected = format!("refused: {field}: is missing or empty");
            for key in [None, Some(&b"opt-1"[..])] {
                assert_eq!(meaning(topic, key, Some(&value)), expected, "{value}");
            }
        }
    }
    // The optimization of a job is optional: an empty one is none.
    let value = format!(r#"{{{METADATA},"jobId":"job-1","optimizationId":"","pending":{{}}}}"#);
    assert_eq!(meaning(Jobs, None, Some(&value)), "job-1 of a job");
}
