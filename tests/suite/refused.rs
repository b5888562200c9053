//! What is not understood is refused with the field and the reason, and never with a panic: a record from outside can
//! hold anything.

use std::sync::LazyLock;

use optview::codec::{self, DecodeError};
use optview::domain::record::Header;
use optview::domain::{Position, Record, Topic};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::published;

/// What a record is made of, and what must be said of it.
struct Case {
    topic: Topic,
    key: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
    value: Option<Vec<u8>>,
    expected: &'static str,
}

impl Case {
    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Case {
        self.headers.push((name, value.into()));
        self
    }

    fn key(self, key: impl Into<Vec<u8>>) -> Case {
        Case { key: key.into(), ..self }
    }

    fn refusal(&self) -> Result<(), DecodeError> {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| (*name, Some(&value[..]))).collect();
        decode(self.topic, &self.key, self.value.as_deref(), &headers)
    }
}

fn decode(topic: Topic, key: &[u8], value: Option<&[u8]>, headers: &[Header<'_>]) -> Result<(), DecodeError> {
    let position = Position { topic, partition: 0, offset: 0 };
    let headers = headers.to_vec();
    codec::decode(&Record { position, timestamp_millis: Some(0), key: Some(key), value, headers }).map(|_| ())
}

fn bytes(topic: Topic, value: impl Into<Vec<u8>>, expected: &'static str) -> Case {
    Case { topic, key: b"key".to_vec(), headers: Vec::new(), value: Some(value.into()), expected }
}

fn null(topic: Topic, expected: &'static str) -> Case {
    Case { value: None, ..bytes(topic, "", expected) }
}

/// JSON with sound metadata before `rest`.
fn json(topic: Topic, rest: &str, expected: &'static str) -> Case {
    let metadata = r#"{"metadata":{"eventId":"e-1","occurredAt":"2026-03-01T09:00:00Z","sequence":"1"}"#;
    bytes(topic, format!("{metadata},{rest}}}"), expected)
}

fn job(rest: &str, expected: &'static str) -> Case {
    json(Topic::Jobs, &format!(r#""jobId":"job-1",{rest}"#), expected)
}

fn run(rest: &str, expected: &'static str) -> Case {
    json(Topic::MultistartRuns, &format!(r#""jobId":"job-1",{rest}"#), expected)
}

fn created(fields: &str, expected: &'static str) -> Case {
    let created = format!(r#""created":{{"organizationId":"org-1","projectId":"prj-1",{fields}}}"#);
    json(Topic::Optimizations, &format!(r#""optimizationId":"opt-1",{created}"#), expected)
}

/// A job event whose metadata is not sound.
fn metadata(metadata: &str, expected: &'static str) -> Case {
    bytes(Topic::Jobs, format!(r#"{{"metadata":{metadata},"jobId":"job-1","pending":{{}}}}"#), expected)
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// A field of a protobuf message that has a length.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A job event's protobuf with an event and a job, and this as its metadata.
fn protobuf(metadata: &[u8], expected: &'static str) -> Case {
    bytes(Topic::Jobs, [field(1, metadata), field(2, b"job-1"), field(4, b"")].concat(), expected)
}

const TIME: &[u8] = b"\x12\x06\x08\x80\x90\x80\xcd\x06";

/// A protobuf value that holds this many lists, one in the other.
fn nested_lists(levels: usize) -> Vec<u8> {
    // From the inside out, written backwards: adding to the end is cheap.
    let mut reversed: Vec<u8> = Vec::new();
    for _ in 0..levels {
        for number in [1, 6] {
            let mut head = Vec::new();
            prost::encoding::encode_varint(u64::from(number << 3 | 2u32), &mut head);
            prost::encoding::encode_varint(reversed.len() as u64, &mut head);
            reversed.extend(head.iter().rev());
        }
    }
    reversed.reverse();
    reversed
}

fn protobuf_created(objectives: &[u8], expected: &'static str) -> Case {
    let metadata = [field(1, b"e-1"), TIME.to_vec()].concat();
    let created = [field(1, b"org-1"), field(2, b"prj-1"), field(13, objectives)].concat();
    let value = [field(1, &metadata), field(2, b"opt-1"), field(3, &created)].concat();
    bytes(Topic::Optimizations, value, expected)
}

const NO_OPTIMIZATION_EVENT: &str =
    "event: none of created, details_changed, display_names_changed, job_linked, deleted is set";
const NO_JOB_EVENT: &str = "event: none of pending, processing, waiting, completed, failed, canceled is set";
const NO_RUN_EVENT: &str = "event: none of started, completed, failed, canceled is set";
const SHORT_HEADER: &str = "the payload is not in the Confluent wire format: it ends within its header of 5 bytes";
const BAD_INDEXES: &str =
    "the payload is not in the Confluent wire format: its message indexes are cut short or out of range";
const NOT_DECLARED: &str =
    "the payload is JSON, which the header content-type says it is not: send application/json, or no such header";
const ARRAY: &str = "the payload is a JSON array: send one event a record";
const NULL: &str = "the value is null, which only the optimizations topic gives a meaning (deleted)";

/// What the expected texts below stand for in brackets.
const ABBREVIATIONS: [(&str, &str); 7] = [
    ("(JSON)", "the payload is not JSON of the expected shape:"),
    ("(protobuf)", "the payload is not protobuf: failed to decode Protobuf message:"),
    ("(unsigned)", "expected an unsigned integer, or one in a string"),
    ("(time)", "is not an RFC 3339 time in the years 1 to 9999"),
    ("(unsupported)", "is not supported: send application/json or application/protobuf"),
    ("(compress)", "data: compress by the producer's `compression.type`, not the value"),
    ("(long)", ", more than the 1024 that it may have"),
];

const CASES: &[fn() -> Vec<Case>] = &[
    framing,
    foreign,
    json_shapes,
    identities,
    metadata_and_times,
    numbers,
    nesting,
    protobuf_messages,
    null_values,
];

fn framing() -> Vec<Case> {
    use Topic::Jobs;
    let pending = || job(r#""pending":{}"#, "");
    let with = |content_type: &[u8], expected| Case { expected, ..pending() }.header("content-type", content_type);
    vec![
        bytes(Jobs, "", "the value is empty"),
        with(b"text/plain", "the content-type `text/plain` (unsupported)"),
        with(b"application/avro; version=1", "the content-type `application/avro; version=1` (unsupported)"),
        with(
            b"application/cloudevents+json; charset=UTF-8",
            "the content-type `application/cloudevents+json, CloudEvents in structured mode` (unsupported)",
        ),
        with(b"application/\xff", "header content-type: invalid utf-8 sequence of 1 bytes from index 12"),
        with(b"application/protobuf", NOT_DECLARED),
        bytes(Jobs, field(2, b"job-1"), "(JSON) expected value at line 1 column 1")
            .header("Content-Type", "application/json"),
        bytes(Jobs, b"\0\0\0\0\x01", SHORT_HEADER),
        bytes(Jobs, b"\0\0", SHORT_HEADER),
        bytes(Jobs, b"\0\0\0\0\x01\0", NO_JOB_EVENT),
        bytes(Jobs, b"\0\0\0\0\x01\x04\x02", BAD_INDEXES),
        bytes(Jobs, b"\0\0\0\0\x01\x04\x02\x01", BAD_INDEXES),
        bytes(Jobs, b"\0\0\0\0\x01\x01", BAD_INDEXES),
        bytes(Jobs, b"\0\0\0\0\x01\xfe\x01", BAD_INDEXES),
        bytes(Jobs, b"\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BAD_INDEXES),
        bytes(Jobs, b"\0\0\0\0\x01[]", ARRAY).header("content-type", "application/json"),
    ]
}

/// What producers send by mistake.
fn foreign() -> Vec<Case> {
    use Topic::Jobs;
    let event = std::str::from_utf8(&job(r#""pending":{}"#, "").value.unwrap()).unwrap().to_owned();
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let in_text = serde_json::to_string(&event).unwrap();
    let compressed = |magic: &[u8], expected| bytes(Jobs, [magic, b"\x00\x01\x02"].concat(), expected);
    vec![
        compressed(b"\x1f\x8b\x08", "the payload is gzip (compress)"),
        compressed(b"\x1f\x8b\x08", "the payload is gzip (compress)").header("content-type", "application/json"),
        compressed(b"\x1f\x8b\x08", "the payload is gzip (compress)").header("content-encoding", "gzip"),
        compressed(b"\x28\xb5\x2f\xfd", "the payload is zstd (compress)"),
        compressed(b"\x04\x22\x4d\x18", "the payload is lz4 (compress)"),
        compressed(b"\x78\x9c", "the payload is zlib (deflate) (compress)"),
        compressed(b"\x82SNAPPY\0", "the payload is snappy (compress)"),
        bytes(Jobs, format!("[{event}]"), ARRAY),
        bytes(Jobs, format!(" \n[{event}]"), ARRAY),
        bytes(Jobs, format!("\u{feff}[{event}]"), ARRAY).header("content-type", "application/json"),
        bytes(Jobs, format!("{event}\n{event}\n"), "the payload is several JSON values: send one event a record"),
        bytes(Jobs, in_text, "the payload is a JSON string: send the event as an object, encoded once"),
        bytes(Jobs, utf_16(&event), "the payload is text in UTF-16: send UTF-8"),
        bytes(Jobs, utf_16(&format!("\u{feff}{event}")), "the payload is text in UTF-16: send UTF-8"),
        bytes(Jobs, "<event/>", "the payload is XML or HTML: send protobuf or JSON"),
        bytes(Jobs, "job-1 is pending", "the payload is text that is no JSON object: send protobuf or JSON"),
        bytes(Jobs, "Obj\x01\x04", "the payload is an Avro file: send protobuf or JSON"),
        bytes(Jobs, event, NOT_DECLARED).header("content-type", "application/protobuf"),
        // What only looks like it is refused for what it is.
        bytes(Jobs, "{\"a\":", "(JSON) EOF while parsing a value at line 1 column 5"),
        bytes(Jobs, "\n{", "(protobuf) JobEvent.metadata: buffer underflow"),
    ]
}

fn json_shapes() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    vec![
        bytes(Jobs, "{", "(JSON) EOF while parsing an object at line 1 column 1"),
        bytes(Jobs, "{}", NO_JOB_EVENT),
        bytes(Jobs, "{} {}", "the payload is several JSON values: send one event a record"),
        bytes(Jobs, b"{\"jobId\":\"\xff\"}", "(JSON) invalid utf-8 sequence of 1 bytes from index 10"),
        bytes(Jobs, "[]", ARRAY).header("content-type", "application/json"),
        bytes(Jobs, "null", "(JSON) invalid type: null, expected an object at line 1 column 4")
            .header("content-type", "application/json"),
        bytes(Jobs, " {}", NO_JOB_EVENT).header("content-type", "application/json"),
        job(r#""pending":[]"#, "pending: invalid type: sequence, expected an object at line 1 column 107"),
        job(
            r#""pending":"yes""#,
            r#"pending: invalid type: string "yes", expected an object at line 1 column 112"#,
        ),
        job(
            r#""failed":["solver did not converge","SOLVER_ERROR"]"#,
            "failed: invalid type: sequence, expected an object at line 1 column 106",
        ),
        job(
            r#""failed":{"error":5}"#,
            "failed.error: invalid type: integer `5`, expected a string at line 1 column 116",
        ),
        job(
            r#""failed":{"errorCode":["A"]}"#,
            "failed.errorCode: invalid type: sequence, expected a string at line 1 column 119",
        ),
        job(
            r#""failed":{"error_code":{}}"#,
            "failed.error_code: invalid type: map, expected a string at line 1 column 120",
        ),
        job(r#""failed":{"error":"\ud800"}"#, "failed.error: unexpected end of hex escape at line 1 column 123"),
        job(r#""completed":{"metrics":[1]}"#, "completed.metrics: is not a JSON object"),
        job(r#""completed":{"metrics":"none"}"#, "completed.metrics: is not a JSON object"),
        run(r#""completed":{"parameterValues":[1]}"#, "completed.parameter_values: is not a JSON object"),
        created(r#""objectives":7"#, "created.objectives: is not a JSON object"),
        created(
            r#""objectives":{"a":"\ud800"}"#,
            r#"created.objectives: has the text "\ud800", which is not Unicode"#,
        ),
        created(
            r#""objectives":{"\udc00":1}"#,
            r#"created.objectives: has the text "\udc00", which is not Unicode"#,
        ),
        created(
            r#""name":true"#,
            "created.name: invalid type: boolean `true`, expected a string at line 1 column 173",
        ),
        created(r#""organization_id":"org-2""#, "created: duplicate field `organizationId` at line 1 column 179"),
        job(r#""exploded":{}"#, NO_JOB_EVENT),
        json(Optimizations, r#""optimizationId":"opt-1","pending":{}"#, NO_OPTIMIZATION_EVENT),
        run(r#""pending":{}"#, NO_RUN_EVENT),
        job(
            r#""pending":{},"processing":{}"#,
            "event: more than one of pending, processing, waiting, completed, failed, canceled is set",
        ),
        job(r#""pending":{},"pending":{}"#, "(JSON) duplicate field `pending` at line 1 column 119"),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","deleted":{},"job_linked":{"jobId":"j"}"#,
            "event: more than one of created, details_changed, display_names_changed, job_linked, deleted is set",
        ),
        run(r#""started":{},"failed":{}"#, "event: more than one of started, completed, failed, canceled is set"),
        json(
            MultistartRuns,
            r#""job_id":"job-1","jobId":"job-1","started":{}"#,
            "(JSON) duplicate field `jobId` at line 1 column 105",
        ),
    ]
}

fn identities() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let long = "i".repeat(1025);
    vec![
        json(Jobs, r#""pending":{}"#, "job_id: is missing or empty"),
        json(Jobs, r#""jobId":"","pending":{}"#, "job_id: is missing or empty"),
        json(Jobs, r#""jobId":null,"pending":{}"#, "job_id: is missing or empty"),
        json(
            Jobs,
            r#""jobId":1,"pending":{}"#,
            "jobId: invalid type: integer `1`, expected a string at line 1 column 90",
        ),
        json(Jobs, &format!(r#""jobId":"{long}","pending":{{}}"#), "job_id: has 1025 bytes(long)"),
        job(&format!(r#""optimizationId":"{long}","pending":{{}}"#), "optimization_id: has 1025 bytes(long)"),
        json(MultistartRuns, r#""runIndex":1,"started":{}"#, "job_id: is missing or empty"),
        json(Optimizations, r#""deleted":{}"#, "optimization_id: is missing or empty"),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","created":{"projectId":"prj-1"}"#,
            "created.organization_id: is missing or empty",
        ),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","created":{"organizationId":"org-1"}"#,
            "created.project_id: is missing or empty",
        ),
        json(
            Optimizations,
            r#""optimizationId":"opt-1","jobLinked":{}"#,
            "job_linked.job_id: is missing or empty",
        ),
        created(r#""jobId":"""#, "created.job_id: is missing or empty"),
        created(&format!(r#""jobId":"{long}""#), "created.job_id: has 1025 bytes(long)"),
        created(&format!(r#""kind":"{long}""#), "created.kind: has 1025 bytes(long)"),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn metadata_and_times() -> Vec<Case> {
    let time = r#""occurredAt":"2026-03-01T09:00:00Z""#;
    let id = r#""eventId":"e-1""#;
    vec![
        metadata("null", "metadata.event_id: is missing, and so is the header ce_id"),
        metadata("[]", "metadata: invalid type: sequence, expected an object at line 1 column 12"),
        metadata(&format!("{{{time}}}"), "metadata.event_id: is missing, and so is the header ce_id"),
        metadata(
            &format!(r#"{{"eventId":"",{time}}}"#),
            "metadata.event_id: is missing, and so is the header ce_id",
        ),
        metadata(
            &format!(r#"{{"eventId":"{}",{time}}}"#, "e".repeat(1025)),
            "metadata.event_id: has 1025 bytes(long)",
        ),
        metadata(&format!("{{{time}}}"), "metadata.event_id: has 1025 bytes(long)")
            .header("ce_id", "e".repeat(1025)),
        metadata(&format!("{{{time}}}"), "header ce_id: incomplete utf-8 byte sequence from index 0")
            .header("ce_id", b"\xc3"),
        metadata(&format!("{{{id}}}"), "metadata.occurred_at: is missing, and so is the header ce_time"),
        metadata(&format!("{{{id}}}"), "header ce_time: `yesterday` (time)").header("ce_time", "yesterday"),
        metadata(&format!(r#"{{{id},"occurredAt":""}}"#), "metadata.occurred_at: `` (time)"),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"+5"}}"#),
            "metadata.sequence: invalid value: \"+5\", expected an unsigned integer, or one in a string at line 1 column 81",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-03-01 09:00:00Z"}}"#),
            "metadata.occurred_at: `2026-03-01 09:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":1772355600}}"#),
            "metadata.occurredAt: invalid type: integer `1772355600`, expected a string at line 1 column 52",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-03-01T09:00:00"}}"#),
            "metadata.occurred_at: `2026-03-01T09:00:00` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurred_at":"+300000-01-01T00:00:00Z"}}"#),
            "metadata.occurred_at: `+300000-01-01T00:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"0000-12-31T00:00:00Z"}}"#),
            "metadata.occurred_at: `0000-12-31T00:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"2026-02-30T09:00:00Z"}}"#),
            "metadata.occurred_at: `2026-02-30T09:00:00Z` (time)",
        ),
        metadata(
            &format!(r#"{{{id},"occurredAt":"{}"}}"#, "9".repeat(1000)),
            "metadata.occurred_at: `9999999999999999999999999999999999999999999999999999999999999999` (time)",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":-1}}"#),
            "metadata.sequence: invalid value: -1, (unsigned) at line 1 column 79",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":1.5}}"#),
            "metadata.sequence: invalid value: 1.5, (unsigned) at line 1 column 80",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"one"}}"#),
            r#"metadata.sequence: invalid value: "one", (unsigned) at line 1 column 82"#,
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":18446744073709551616}}"#),
            "metadata.sequence: invalid value: 18446744073709551616, (unsigned) at line 1 column 97",
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":"18446744073709551616"}}"#),
            r#"metadata.sequence: invalid value: "18446744073709551616", (unsigned) at line 1 column 99"#,
        ),
        metadata(
            &format!(r#"{{{id},{time},"sequence":true}}"#),
            "metadata.sequence: invalid value: true, (unsigned) at line 1 column 81",
        ),
        created(r#""createdAt":"never""#, "created.created_at: `never` (time)"),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        run(
            r#""completed":{"cost":"1e400"}"#,
            r#"completed.cost: invalid value: "1e400", expected a number, or one in a string at line 1 column 125"#,
        ),
        run(
            r#""completed":{"cost":"low"}"#,
            r#"completed.cost: invalid value: "low", expected a number, or one in a string at line 1 column 123"#,
        ),
        job(r#""failed":{"error":NaN}"#, "failed.error: expected value at line 1 column 116"),
        run(r#""runIndex":NaN,"started":{}"#, "runIndex: expected value at line 1 column 109"),
        run(r#""runIndex":1e-1,"started":{}"#, "runIndex: invalid value: 1e-1, (unsigned) at line 1 column 112"),
        run(
            r#""runIndex":"1.5","started":{}"#,
            r#"runIndex: invalid value: "1.5", (unsigned) at line 1 column 113"#,
        ),
        run(
            r#""completed":{"iterations":-1}"#,
            "completed.iterations: invalid value: -1, (unsigned) at line 1 column 126",
        ),
        run(
            r#""completed":{"evaluations":"many"}"#,
            r#"completed.evaluations: invalid value: "many", (unsigned) at line 1 column 131"#,
        ),
        run(r#""runIndex":4294967296,"started":{}"#, "run_index: 4294967296 is above 4294967295"),
        run(r#""runIndex":-1,"started":{}"#, "runIndex: invalid value: -1, (unsigned) at line 1 column 110"),
        run(r#""runIndex":0.5,"started":{}"#, "runIndex: invalid value: 0.5, (unsigned) at line 1 column 111"),
    ]
}

fn nesting() -> Vec<Case> {
    let deep = nested(100_000);
    vec![
        created(&format!(r#""objectives":{{"a":{deep}}}"#), "created.objectives: nests deeper than 100 levels"),
        created(
            &format!(r#""objectives":{}"#, r#"{"a":"#.repeat(100_000)),
            "created.objectives: expected value at line 1 column 500176",
        ),
        created(
            &format!(r#""objectives":{{"a":{}}}"#, nested(100)),
            "created.objectives: nests deeper than 100 levels",
        ),
        job(
            &format!(r#""completed":{{"metrics":{{"a":{deep}}}}}"#),
            "completed.metrics: nests deeper than 100 levels",
        ),
        job(&format!(r#""completed":{{"metrics":{deep}}}"#), "completed.metrics: is not a JSON object"),
        job(
            &format!(r#""pending":{deep}"#),
            "pending: invalid type: sequence, expected an object at line 1 column 107",
        ),
        job(&format!(r#""later":{deep}"#), NO_JOB_EVENT),
        bytes(Topic::Jobs, deep.clone(), ARRAY).header("content-type", "application/json"),
        bytes(
            Topic::Jobs,
            "{\"pending\":".repeat(100_000),
            "(JSON) EOF while parsing a value at line 1 column 1100000",
        ),
        // Groups that nobody knows, one in the other.
        bytes(Topic::Jobs, [0x7b].repeat(100_000), "(protobuf) recursion limit reached")
            .header("content-type", "application/protobuf"),
    ]
}

fn protobuf_messages() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    let sound = || [field(1, b"e-1"), TIME.to_vec()].concat();
    let message = |rest: &[&[u8]]| [field(1, &sound()), rest.concat()].concat();
    vec![
        bytes(Jobs, b"\xff\xff", "(protobuf) invalid varint"),
        bytes(Jobs, b"\x12\x05job", "(protobuf) JobEvent.job_id: buffer underflow"),
        bytes(
            Jobs,
            b"\x10\x05",
            "(protobuf) JobEvent.job_id: invalid wire type: Varint (expected LengthDelimited)",
        ),
        bytes(
            Jobs,
            message(&[&field(2, b"job-\xff"), &field(4, b"")]),
            "(protobuf) JobEvent.job_id: invalid string value: data is not UTF-8 encoded",
        ),
        bytes(Jobs, message(&[&field(2, b"job-1")]), NO_JOB_EVENT),
        bytes(Jobs, message(&[&field(2, b"job-1"), &field(99, b"")]), NO_JOB_EVENT),
        bytes(Jobs, message(&[&field(4, b"")]), "job_id: is missing or empty"),
        bytes(Jobs, message(&[&field(2, &b"j".repeat(1025)), &field(4, b"")]), "job_id: has 1025 bytes(long)"),
        bytes(Optimizations, message(&[&field(2, b"opt-1")]), NO_OPTIMIZATION_EVENT),
        bytes(
            Optimizations,
            message(&[&field(2, b"opt-1"), &field(6, b"")]),
            "job_linked.job_id: is missing or empty",
        ),
        bytes(
            Optimizations,
            message(&[&field(2, b"opt-1"), &field(3, b"")]),
            "created.organization_id: is missing or empty",
        ),
        bytes(MultistartRuns, message(&[&field(2, b"job-1")]), NO_RUN_EVENT),
        protobuf(&[], "metadata.event_id: is missing, and so is the header ce_id"),
        protobuf(&field(1, b"e-1"), "metadata.occurred_at: is missing, and so is the header ce_time"),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f")].concat(),
            "metadata.occurred_at: 9223372036854775807 s and 0 ns since 1970 is not a time in the years 1 to 9999",
        ),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x10\x80\x94\xeb\xdc\x03")].concat(),
            "metadata.occurred_at: 0 s and 1000000000 ns since 1970 is not a time in the years 1 to 9999",
        ),
        protobuf(
            &[field(1, b"e-1"), field(2, b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")].concat(),
            "metadata.occurred_at: 0 s and -1 ns since 1970 is not a time in the years 1 to 9999",
        ),
    ]
}

fn null_values() -> Vec<Case> {
    use Topic::{Jobs, MultistartRuns, Optimizations};
    vec![
        null(Jobs, NULL),
        null(MultistartRuns, NULL),
        null(Optimizations, "key: is missing or empty").key(""),
        null(Optimizations, "key: invalid utf-8 sequence of 1 bytes from index 0").key(b"\xff"),
        null(Optimizations, "key: has 1025 bytes(long)").key("k".repeat(1025)),
        null(Optimizations, "header ce_time: `soon` (time)").header("ce_time", "soon"),
        null(Optimizations, "header ce_id: has 1025 bytes(long)").header("ce_id", "e".repeat(1025)),
    ]
}

#[test]
fn what_is_not_understood_is_refused_with_the_field_and_the_reason() {
    let mut wrong = String::new();
    for (group, cases) in CASES.iter().enumerate() {
        for (number, case) in cases().iter().enumerate() {
            let refusal = match case.refusal() {
                Ok(()) => "it was understood".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            let expected = ABBREVIATIONS
                .iter()
                .fold(case.expected.to_owned(), |expected, (short, long)| expected.replace(short, long));
            if refusal != expected {
                wrong += &format!("@@{group}/{number}@@{refusal}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_a_reason_quotes_of_a_record_is_short() {
    let megabyte = "A".repeat(1 << 20);
    let deep = field(1, &[field(1, b"a"), field(2, &nested_lists(100_000))].concat());
    let pending = || job(r#""pending":{}"#, "");
    for (case, begin, end) in [
        (pending().header("content-type", megabyte.clone()), "the content-type `AAA", "application/protobuf"),
        (
            job(&format!(r#""pending":"{megabyte}""#), ""),
            "pending: invalid type: string",
            "expected an object at line",
        ),
        (job(&format!(r#""{megabyte}":NaN"#), ""), "AAA", "expected value at line 1 column"),
        (created(&format!(r#""createdAt":"{megabyte}""#), ""), "created.created_at: `AAA", "1 to 9999"),
        (
            created(&format!(r#""objectives":{{"a":"\ud800{}"}}"#, "0".repeat(1 << 20)), ""),
            "created.objectives",
            "not Unicode",
        ),
        (null(Topic::Optimizations, "").header("ce_time", megabyte.clone()), "header ce_time: `AAA", "1 to 9999"),
        (protobuf_created(&deep, ""), "the payload is not protobuf: ", "recursion limit reached"),
    ] {
        let refusal = case.refusal().unwrap_err().to_string();
        assert!(refusal.len() < 1_000, "{} bytes: {refusal:.200}", refusal.len());
        assert!(refusal.starts_with(begin) && refusal.contains(end), "{refusal}");
    }
}

/// How a record may say what it is.
const CONTENT_TYPES: [&str; 4] = ["", "application/json", "application/protobuf", "application/cloudevents+json"];

fn any_topic() -> impl Strategy<Value = Topic> {
    prop_oneof![Just(Topic::Optimizations), Just(Topic::Jobs), Just(Topic::MultistartRuns)]
}

/// One change to a record's bytes.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), proptest::collection::vec(any::<u8>(), 1..6))
            .prop_map(|(at, new)| Damage::Insert(at, new)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(damage: &Damage, value: &mut Vec<u8>) {
    let at = |index: &Index, value: &[u8]| index.index(value.len() + 1);
    match damage {
        Damage::Replace(index, byte) => {
            let at = at(index, value);
            value.splice(at..(at + 1).min(value.len()), [*byte]);
        }
        Damage::Insert(index, new) => {
            let at = at(index, value);
            value.splice(at..at, new.iter().copied());
        }
        Damage::Cut(index) => value.truncate(at(index, value)),
        Damage::Repeat(from, to) => {
            let (from, to) = (at(from, value), at(to, value));
            let part = value[from.min(to)..from.max(to)].to_vec();
            value.splice(to..to, part);
        }
    }
}

/// Whatever is said of it, it is said in few words.
fn check(topic: Topic, key: &[u8], value: Option<&[u8]>, content_type: &str) {
    let headers: &[Header<'_>] = &[("content-type", Some(content_type.as_bytes())), ("ce_id", Some(b"e"))];
    if let Err(refusal) = decode(topic, key, value, headers) {
        let refusal = refusal.to_string();
        assert!(!refusal.is_empty() && refusal.len() < 1_000, "{refusal:.500}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        topic in any_topic(),
        key in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::option::weighted(0.95, proptest::collection::vec(any::<u8>(), 0..200)),
        frame in proptest::sample::select(&["", "\0\0\0\0\x01", "\0\0\0\0\x01\0", "{"]),
        content_type in proptest::sample::select(&CONTENT_TYPES),
    ) {
        let value = value.map(|value| [frame.as_bytes(), &value].concat());
        check(topic, &key, value.as_deref(), content_type);
    }

    #[test]
    fn no_damage_to_a_sound_record_makes_it_panic(
        which in any::<Index>(),
        damages in proptest::collection::vec(damage(), 1..4),
        other_topic in proptest::option::weighted(0.1, any_topic()),
        content_type in proptest::sample::select(&CONTENT_TYPES),
    ) {
        static VALUES: LazyLock<Vec<(Topic, Vec<u8>)>> = LazyLock::new(published::values);
        let (topic, mut value) = which.get(&VALUES).clone();
        damages.iter().for_each(|damage| apply(damage, &mut value));
        check(other_topic.unwrap_or(topic), b"key", Some(&value), content_type);
    }
}
