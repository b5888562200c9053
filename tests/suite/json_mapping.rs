//! Protobuf's JSON mapping to the letter: null is absent, both spellings of every name are taken, and times are taken in any
//! precision and with any offset.

use optview::codec;
use optview::domain::{Record, Topic, TopicPartition};
use proptest::prelude::*;

/// A field: its name as JSON and as the proto spell it, and a value.
type Field = (&'static str, &'static str, &'static str);

/// An event of a topic: its name, and its fields.
type Shape = (Topic, &'static str, &'static [Field]);

/// All events of the contract with all of their fields.
const FIELDS: &[Shape] = &[
    (
        Topic::Optimizations,
        "created",
        &[
            ("organizationId", "organization_id", r#""o""#),
            ("projectId", "project_id", r#""p""#),
            ("name", "name", r#""n""#),
            ("description", "description", r#""d""#),
            ("kind", "kind", r#""k""#),
            ("createdAt", "created_at", r#""2026-03-01T09:00:00Z""#),
            ("createdByEmail", "created_by_email", r#""m""#),
            ("cellSpecId", "cell_spec_id", r#""cs""#),
            ("cellName", "cell_name", r#""cn""#),
            ("parameterizedModelId", "parameterized_model_id", r#""pm""#),
            ("parameterizedModelName", "parameterized_model_name", r#""pn""#),
            ("optimizationTemplateId", "optimization_template_id", r#""ot""#),
            ("objectives", "objectives", r#"{"a":1}"#),
            ("jobId", "job_id", r#""j""#),
        ],
    ),
    (
        Topic::Optimizations,
        "details_changed",
        &[("name", "name", r#""n""#), ("description", "description", r#""d""#)],
    ),
    (
        Topic::Optimizations,
        "display_names_changed",
        &[("cellName", "cell_name", r#""c""#), ("parameterizedModelName", "parameterized_model_name", r#""m""#)],
    ),
    (Topic::Optimizations, "job_linked", &[("jobId", "job_id", r#""j""#)]),
    (Topic::Optimizations, "deleted", &[]),
    (Topic::Jobs, "pending", &[]),
    (Topic::Jobs, "processing", &[]),
    (Topic::Jobs, "waiting", &[]),
    (Topic::Jobs, "completed", &[("metrics", "metrics", r#"{"a":1}"#)]),
    (Topic::Jobs, "failed", &[("error", "error", r#""e""#), ("errorCode", "error_code", r#""c""#)]),
    (Topic::Jobs, "canceled", &[]),
    (Topic::MultistartRuns, "started", &[]),
    (
        Topic::MultistartRuns,
        "completed",
        &[
            ("cost", "cost", "0.5"),
            ("parameterValues", "parameter_values", r#"{"a":1}"#),
            ("iterations", "iterations", "\"12\""),
            ("evaluations", "evaluations", "34"),
        ],
    ),
    (Topic::MultistartRuns, "failed", &[("error", "error", r#""e""#)]),
    (Topic::MultistartRuns, "canceled", &[]),
];

/// The fields around an event's own, as JSON and as the proto spell them.
fn outer(topic: Topic) -> Vec<Field> {
    let mut fields = vec![("jobId", "job_id", r#""job-1""#), ("optimizationId", "optimization_id", r#""opt-1""#)];
    match topic {
        Topic::Optimizations => drop(fields.remove(0)),
        Topic::Jobs => {}
        Topic::MultistartRuns => fields.push(("runIndex", "run_index", "\"3\"")),
    }
    fields
}

const METADATA: &[Field] = &[
    ("eventId", "event_id", r#""e-1""#),
    ("occurredAt", "occurred_at", r#""2026-03-01T09:00:00Z""#),
    ("sequence", "sequence", "\"7\""),
];

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |camel, word| camel + &word[..1].to_uppercase() + &word[1..])
}

/// Returns the decoded event as text, or the reason for which it is refused.
fn decoded(topic: Topic, text: &str) -> String {
    let position = TopicPartition::new(topic, 0).at(0);
    let value = Some(text.as_bytes());
    let record = Record { position, timestamp_millis: None, key: None, value, headers: Vec::new() };
    match codec::decode(&record) {
        Ok(envelope) => format!("{:?}", envelope.event),
        Err(error) => format!("refused: {error}"),
    }
}

/// Writes an object: `pick` decides for each field on its spelling, and on whether it is there, null or missing.
fn object(fields: &[Field], pick: &mut impl FnMut() -> (bool, Presence)) -> String {
    let written = fields.iter().filter_map(|(camel, snake, value)| {
        let (is_snake, presence) = pick();
        let name = if is_snake { snake } else { camel };
        match presence {
            Presence::There => Some(format!("\"{name}\":{value}")),
            Presence::Null => Some(format!("\"{name}\":null")),
            Presence::Missing => None,
        }
    });
    format!("{{{}}}", written.collect::<Vec<_>>().join(","))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Presence {
    There,
    Null,
    Missing,
}

fn event(
    (topic, kind, fields): Shape,
    is_snake: bool,
    others: &str,
    metadata: &str,
    pick: &mut impl FnMut() -> (bool, Presence),
) -> String {
    let body = object(fields, pick);
    let around = outer(topic)
        .into_iter()
        .map(|(camel, snake, value)| format!("\"{}\":{value}", if is_snake { snake } else { camel }));
    let around = around.collect::<Vec<_>>().join(",");
    let kind = if is_snake { kind.to_owned() } else { camel(kind) };
    format!("{{\"metadata\":{metadata},{around},{others}\"{kind}\":{body}}}")
}

proptest! {
    #[test]
    fn null_is_absent_and_either_spelling_is_taken(
        which in 0..FIELDS.len(),
        picks in proptest::collection::vec((any::<bool>(), 0..3_u8), 14),
        is_snake in any::<bool>(),
    ) {
        let shape = FIELDS[which];
        let presence = |number| match number { 0 => Presence::There, 1 => Presence::Null, _ => Presence::Missing };
        let metadata = object(METADATA, &mut || (is_snake, Presence::There));
        let mut written = picks.iter().map(|(is_snake, number)| (*is_snake, presence(*number)));
        // The other events of the message are null, as a serializer writes them that leaves nothing out.
        let others: String = FIELDS
            .iter()
            .filter(|(topic, kind, _)| *topic == shape.0 && *kind != shape.1)
            .map(|(_, kind, _)| format!("\"{}\":null,", if is_snake { (*kind).to_owned() } else { camel(kind) }))
            .collect();
        let text = event(shape, is_snake, &others, &metadata, &mut || written.next().unwrap());
        let mut plain = picks.iter().map(|(_, number)| match presence(*number) {
            Presence::There => (false, Presence::There),
            Presence::Null | Presence::Missing => (false, Presence::Missing),
        });
        let metadata = object(METADATA, &mut || (false, Presence::There));
        let expected = event(shape, false, "", &metadata, &mut || plain.next().unwrap());
        prop_assert_eq!(decoded(shape.0, &text), decoded(shape.0, &expected), "{}", text);
    }
}

#[test]
fn every_event_with_all_of_its_fields_is_understood_in_both_spellings() {
    for &shape in FIELDS {
        for is_snake in [false, true] {
            let metadata = object(METADATA, &mut || (is_snake, Presence::There));
            let text = event(shape, is_snake, "", &metadata, &mut || (is_snake, Presence::There));
            let decoded = decoded(shape.0, &text);
            assert!(!decoded.starts_with("refused"), "{text}: {decoded}");
        }
    }
}

#[test]
fn one_field_in_both_spellings_is_refused_by_its_name() {
    let text = r#"{"metadata":{"eventId":"e","event_id":"e","occurredAt":"2026-03-01T09:00:00Z"},"jobId":"j","pending":{}}"#;
    let refused = decoded(Topic::Jobs, text);
    assert!(refused.contains("metadata") && refused.contains("duplicate field `eventId`"), "{refused}");
}

/// Decodes a job's event that has this time.
fn at(time: &str) -> String {
    decoded(
        Topic::Jobs,
        &format!(r#"{{"metadata":{{"eventId":"e","occurredAt":{time:?}}},"jobId":"j","pending":{{}}}}"#),
    )
}

#[test]
fn a_time_is_taken_in_any_precision_and_with_any_offset() {
    for (written, plain) in [
        ("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T14:45:00+05:45", "2026-03-01T09:00:00Z"),
        ("2026-02-28T23:00:00-10:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T09:00:00-00:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T09:00:00+00:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T09:00:00.0Z", "2026-03-01T09:00:00Z"),
        ("2026-03-01T09:00:00.1Z", "2026-03-01T09:00:00.100Z"),
        ("2026-03-01T09:00:00.12345+00:00", "2026-03-01T09:00:00.123450Z"),
        ("2026-03-01T09:00:00.123456789Z", "2026-03-01T09:00:00.123456789Z"),
        ("2024-02-29T23:59:59.999999999+14:00", "2024-02-29T09:59:59.999999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999+00:00"),
    ] {
        assert_eq!(at(written), at(plain), "{written}");
        assert!(!at(written).starts_with("refused"), "{written}: {}", at(written));
    }
    for refused in [
        "2026-03-01 09:00:00Z",
        "2026-03-01T09:00Z",
        "2026-03-01T09:00:00",
        "2026-02-30T09:00:00Z",
        "2026-03-01",
        "1772355600",
        "",
        "0000-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
    ] {
        assert!(at(refused).starts_with("refused: metadata.occurred_at: "), "{refused}: {}", at(refused));
    }
}
