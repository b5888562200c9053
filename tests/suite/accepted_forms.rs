//! The forms that real producers write are accepted, even those that the mapping's own printers never write.

use optview::codec;
use optview::domain::event::{JobChange, JsonObject, OptimizationChange, RunChange};
use optview::domain::record::Header;
use optview::domain::{Body, Envelope, PartitionOffset, Record, Topic};

const METADATA: &str = r#""metadata":{"eventId":"e-1","occurredAt":"2026-03-01T09:00:00Z","sequence":"1"}"#;

/// Decodes a record, and passes the envelope to `then`.
fn decoded<T>(topic: Topic, value: &[u8], headers: &[Header<'_>], then: impl FnOnce(&Envelope<'_>) -> T) -> T {
    let position = PartitionOffset { topic, partition: 0, offset: 0 };
    let headers = headers.to_vec();
    let record = Record { position, timestamp_millis: Some(0), key: Some(b"key"), value: Some(value), headers };
    match codec::decode(&record) {
        Ok(envelope) => then(&envelope),
        Err(error) => panic!("{}: {error}", String::from_utf8_lossy(value)),
    }
}

fn job(event: &str) -> String {
    format!(r#"{{{METADATA},"jobId":"job-1",{event}}}"#)
}

fn created(objectives: &str) -> String {
    format!(
        r#"{{{METADATA},"optimizationId":"opt-1","created":{{"organizationId":"o","projectId":"p","objectives":{objectives}}}}}"#
    )
}

/// Returns the free object of an event, and the number of its numbers that became null.
fn object(topic: Topic, value: &str) -> (String, u32) {
    decoded(topic, value.as_bytes(), &[], |envelope| {
        let object = match &envelope.event.body {
            Body::Job { change: JobChange::Completed { metrics }, .. } => metrics.clone(),
            Body::Optimization { change: OptimizationChange::Created(created), .. } => created.objectives.clone(),
            body => panic!("{body:?}"),
        };
        let JsonObject(text) = object.expect("there is one");
        (text.into_owned(), envelope.nulled_numbers)
    })
}

#[test]
fn json_may_begin_with_a_byte_order_mark_and_white_space() {
    let event = job(r#""pending":{}"#);
    for before in ["\u{feff}", " ", "\n", "\r\n\t ", "\n\n", "\u{feff}\n"] {
        for headers in [&[][..], &[("content-type", Some(&b"application/json"[..]))]] {
            let value = format!("{before}{event}\n");
            let id = decoded(Topic::Jobs, value.as_bytes(), headers, |envelope| match &envelope.event.body {
                Body::Job { job_id, change: JobChange::Pending, .. } => job_id.to_string(),
                body => panic!("{body:?}"),
            });
            assert_eq!(id, "job-1", "{value:?}");
        }
    }
    // Leading white space is accepted together with a number that is not finite.
    assert_eq!(object(Topic::Jobs, &format!("\n{}", job(r#""completed":{"metrics":{"a":NaN}}"#))).1, 1);
}

#[test]
fn numbers_that_json_cannot_say_are_null_and_the_rest_counts() {
    let metrics = |metrics: &str| object(Topic::Jobs, &job(&format!(r#""completed":{{"metrics":{metrics}}}"#)));
    let shown = |text: &str, nulled| (text.to_owned(), nulled);
    assert_eq!(
        metrics(r#"{"a": NaN, "b": [1.50, -Infinity, Infinity], "NaN": "NaN"}"#),
        shown(r#"{"a":null,"b":[1.5,null,null],"NaN":"NaN"}"#, 3)
    );
    assert_eq!(metrics(r#"{"a":1e400,"b":-1E+999,"c":1}"#), shown(r#"{"a":null,"b":null,"c":1}"#, 2));
    assert_eq!(metrics(r#"{"a":null}"#), shown(r#"{"a":null}"#, 0));
    assert_eq!(
        object(Topic::Optimizations, &created(r#"{"a":{"lower":-Infinity}}"#)),
        shown(r#"{"a":{"lower":null}}"#, 1)
    );
}

#[test]
fn a_run_counts_whatever_its_numbers_are() {
    let run = r#""completed":{"cost":NaN,"parameterValues":{"a":-Infinity},"iterations":"12e0"}"#;
    decoded(Topic::MultistartRuns, job(run).as_bytes(), &[], |envelope| match &envelope.event.body {
        Body::Run { change: RunChange::Completed { cost, iterations, .. }, .. } => {
            assert!(cost.is_some_and(|cost| !cost.is_finite()));
            assert_eq!(*iterations, Some(12));
        }
        body => panic!("{body:?}"),
    });
}

#[test]
fn integers_may_have_an_exponent_or_a_fraction_of_zeros_quoted_or_not() {
    for number in ["3", "3.0", "3e0", "30E-1", "0.3e+1"] {
        for written in [number.to_owned(), format!("\"{number}\"")] {
            let value = job(&format!(r#""runIndex":{written},"completed":{{"evaluations":{written}}}"#));
            let value = value.replace(r#""sequence":"1""#, &format!(r#""sequence":{written}"#));
            decoded(Topic::MultistartRuns, value.as_bytes(), &[], |envelope| {
                assert_eq!(envelope.event.metadata.sequence, 3, "{value}");
                match &envelope.event.body {
                    Body::Run {
                        run_index: 3, change: RunChange::Completed { evaluations: Some(3), .. }, ..
                    } => {}
                    body => panic!("{value}: {body:?}"),
                }
            });
        }
    }
}

#[test]
fn of_a_key_that_is_there_twice_the_last_counts_where_the_first_stood() {
    let text = r#"{"a": 1, "b": {"c": 1.0, "\u0063": [{"d": 1, "d": 1e2}]}, "a": 2, "e": {"a": 3}}"#;
    let expected = (r#"{"a":2,"b":{"c":[{"d":100.0}]},"e":{"a":3}}"#.to_owned(), 0);
    assert_eq!(object(Topic::Optimizations, &created(text)), expected);
    assert_eq!(object(Topic::Jobs, &job(&format!(r#""completed":{{"metrics":{text}}}"#))), expected);
}

#[test]
fn of_a_doubled_header_the_last_counts() {
    let value = job(r#""pending":{}"#).replace(r#""eventId":"e-1","occurredAt":"2026-03-01T09:00:00Z","#, "");
    let header = |name, value: &'static str| (name, Some(value.as_bytes()));
    let headers = [
        header("content-type", "text/plain"),
        header("ce_id", "first"),
        header("CE_Time", "never"),
        header("ce_type", "MultistartRunEvent"),
        header("Content-Type", "application/json"),
        header("ce_id", "last"),
        header("ce_time", "2026-03-01T09:00:00Z"),
        header("ce_type", "JobEvent"),
    ];
    let id =
        decoded(Topic::Jobs, value.as_bytes(), &headers, |envelope| envelope.event.metadata.event_id.to_string());
    assert_eq!(id, "last");
}
