//! Refusals that do not depend on the encoding: headers, wire formats, foreign payloads, and null values.

use optview::domain::Topic;

use super::case::{ARRAY, Case, NO_JOB_EVENT, bytes, check, job, null};
use super::protobuf::field;

const SHORT_HEADER: &str = "the payload is not in the Confluent wire format: it ends within its header of 5 bytes";
const BAD_INDEXES: &str =
    "the payload is not in the Confluent wire format: its message indexes are cut short or out of range";
const NOT_DECLARED: &str =
    "the payload is JSON, which the header content-type says it is not: send application/json, or no such header";
const NULL: &str = "the value is null, which only the optimizations topic gives a meaning (deleted)";

#[test]
fn a_payload_that_no_encoding_fits_is_refused_with_the_reason() {
    check(&[framing, frames, cloud_events, foreign, null_values]);
}

fn framing() -> Vec<Case> {
    use Topic::Jobs;
    let pending = || job(r#""pending":{}"#, "");
    let with = |content_type: &[u8], expected| Case { expected, ..pending() }.header("content-type", content_type);
    vec![
        bytes(Jobs, "", "the value is empty"),
        with(b"text/plain", "the content-type `text/plain` (unsupported)"),
        with(b"application/avro; version=1", "the content-type `application/avro; version=1` (unsupported)"),
        with(
            b"application/cloudevents-batch+json; charset=UTF-8",
            "the content-type `application/cloudevents-batch+json, a batch of CloudEvents (one event a record)` (unsupported)",
        ),
        with(
            b"application/cloudevents+avro",
            "the content-type `application/cloudevents+avro, CloudEvents in another format than JSON` (unsupported)",
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

/// Frames that are cut short, or that have something else in them than they say.
fn frames() -> Vec<Case> {
    use Topic::Jobs;
    let glue = |compression: u8, rest: &[u8]| [&[3, compression], &[7; 16][..], rest].concat();
    vec![
        bytes(
            Jobs,
            b"\x01\x02\x03",
            "the payload is not in the Confluent wire format: it ends within its header of 17 bytes",
        ),
        bytes(Jobs, [0; 9], "the payload is not in Apicurio's wire format: it ends within its header of 9 bytes"),
        bytes(
            Jobs,
            glue(0, b""),
            "the payload is not in AWS Glue's wire format: it ends within its header of 18 bytes",
        ),
        bytes(
            Jobs,
            glue(0, b"\xff"),
            "the payload is not in AWS Glue's wire format: its message indexes are cut short or out of range",
        ),
        bytes(
            Jobs,
            glue(5, b"no zlib"),
            "the payload is not zlib data, which its frame says it is: corrupt deflate stream",
        ),
        bytes(Jobs, glue(0, b"{}"), NO_JOB_EVENT),
        bytes(Jobs, b"\0\0\0\0\0\0\0\0\x05{}", NO_JOB_EVENT),
        // The second byte is none that AWS Glue has, so that this is no frame.
        bytes(Jobs, b"\x03\x01", "(protobuf) invalid tag value: 0"),
    ]
}

/// CloudEvents in structured mode whose attributes or data are wrong.
fn cloud_events() -> Vec<Case> {
    let event = |text: &str, expected| {
        let text = text.replace("V1", r#""specversion":"1.0","id":"e""#);
        bytes(Topic::Jobs, text, expected).header("content-type", "application/cloudevents+json; charset=utf-8")
    };
    vec![
        event(
            "[]",
            "the payload is not a CloudEvent in structured mode: invalid type: sequence, expected an object at line 1 column 0",
        ),
        event(
            "{",
            "the payload is not a CloudEvent in structured mode: EOF while parsing an object at line 1 column 1",
        ),
        event("{}", "specversion: is missing, and so this is no CloudEvent"),
        event(r#"{"specversion":"0.3"}"#, "specversion: `0.3` is not supported: send 1.0"),
        event("{V1}", "data: is missing, and so is data_base64"),
        event(r#"{V1,"data":null}"#, "data: is missing, and so is data_base64"),
        event(r#"{V1,"data":{},"data_base64":"e30="}"#, "data_base64: is there beside data: send one of them"),
        event(r#"{V1,"data_base64":"e30"}"#, "data_base64: Invalid padding"),
        event(r#"{V1,"data_base64":""}"#, "data_base64: is empty"),
        event(
            r#"{V1,"data":{},"datacontenttype":"application/protobuf"}"#,
            "data: is JSON, while datacontenttype says that it is protobuf: send the message as data_base64",
        ),
        event(r#"{V1,"data":{},"datacontenttype":"text/xml"}"#, "datacontenttype: `text/xml` (unsupported)"),
        event(r#"{V1,"data":{}}"#, NO_JOB_EVENT),
        event(r#"{V1,"data":{"createdd":{}}}"#, "(job); there is `createdd`, (unknown)"),
        event(r#"{V1,"data":"text"}"#, "the payload is a JSON string: send the event as an object, encoded once"),
        event(
            r#"{V1,"data":{"jobId":"j","pending":{}}}"#,
            "metadata.occurred_at: is missing, and so is the CloudEvent's time",
        ),
        event(r#"{V1,"time":"soon","data":{"jobId":"j","pending":{}}}"#, "CloudEvent's time: `soon` (time)"),
        event(
            r#"{"specversion":"1.0","data":{"jobId":"j","pending":{}}}"#,
            "metadata.event_id: is missing, and so is the CloudEvent's id",
        ),
        event(
            r#"{V1,"type":"optview.events.v1.OptimizationEvent","data":{"jobId":"j","pending":{}}}"#,
            "the CloudEvent's type says `optview.events.v1.OptimizationEvent`, which is a message of optimizations, and this topic \
             was given as the one of jobs: is --topic-jobs right?",
        ),
    ]
}

/// Payloads that producers send by mistake.
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
        // Payloads that only look foreign are refused for their own error.
        bytes(Jobs, "{\"a\":", "(JSON) EOF while parsing a value at line 1 column 5"),
        bytes(Jobs, "\n{", "(protobuf) JobEvent.metadata: buffer underflow"),
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
