//! The fields of a payload that the contract does not have. Decoding ignores them, as protobuf's rules want; a producer that has
//! mistyped a name should learn of it before it ships.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value};

use super::framing::{self, Framing, UnwrappedValue};
use super::{DecodeError, Encoding, non_finite_numbers, payload_encoding};
use crate::domain::{Record, Topic};

/// Depth of messages within messages beyond which nothing is compared. The contract's own messages have a depth of 2.
const DEPTH_LIMIT: usize = 8;
/// The most fields that are found. A record may have millions, of three bytes each.
const FOUND_MAX: usize = 100;

/// The most bytes of a name that are shown.
const NAME_SHOWN: usize = 200;

/// A field of a payload that the contract does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The path of the field, as `created.created_by_mail`; of protobuf with the field's number, as `created.99`.
    pub path: String,
    /// The names that the message has in that place.
    pub known: Vec<String>,
}

/// The messages of `proto/`, by their full names with a dot before each.
pub(super) static CONTRACT: LazyLock<HashMap<String, DescriptorProto>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(&include_bytes!("generated/contract.binpb")[..]);
    let files = files.expect("it was generated").file;
    let own = files.into_iter().filter(|file| file.package() == "optview.events.v1");
    own.flat_map(|file| {
        let package = file.package().to_owned();
        file.message_type.into_iter().map(move |message| (format!(".{package}.{}", message.name()), message))
    })
    .collect()
});

/// Returns the fields of a record's payload that the message of its topic does not have: those of JSON by name, those of protobuf in their order, and 100 at the
/// most. Fields of free objects are never unknown.
///
/// # Errors
/// Fails if the payload is not a message in its encoding.
pub fn find(record: &Record<'_>, framing: Framing) -> Result<Vec<UnknownField>, DecodeError> {
    let Some(value) = record.value else { return Ok(Vec::new()) };
    let UnwrappedValue { encoding, payload, .. } = framing::unframe(value, &record.headers, framing)?;
    let message = &CONTRACT[message_name(record.position.topic)];
    let mut unknown = Vec::new();
    match encoding {
        Encoding::Json => compare_json(message, &json_object(&payload)?, "", 0, &mut unknown),
        Encoding::Protobuf => compare_protobuf(message, &payload, "", 0, &mut unknown)
            .map_err(|error| DecodeError::payload("protobuf", error.to_string()))?,
    }
    Ok(unknown)
}

/// Returns the events of a record's message that are there but null, which is as absent. Protobuf has no such thing.
pub fn null_events(record: &Record<'_>, framing: Framing) -> Vec<String> {
    let unframed = record.value.and_then(|value| framing::unframe(value, &record.headers, framing).ok());
    let Some(UnwrappedValue { encoding: Encoding::Json, payload, .. }) = unframed else { return Vec::new() };
    let message = &CONTRACT[message_name(record.position.topic)];
    let object = json_object(&payload).unwrap_or_default();
    let nulls = object.into_iter().filter(|(name, value)| value.is_null() && is_event(message, name));
    nulls.map(|(name, _)| name).collect()
}

/// Returns true if a field is one of the events of a message. They are its only alternatives that are messages.
fn is_event(message: &DescriptorProto, name: &str) -> bool {
    let field = message.field.iter().find(|field| field.name() == name || field.json_name() == name);
    field.is_some_and(|field| field.oneof_index.is_some() && field.r#type() == Type::Message)
}

pub(super) fn message_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Optimizations => ".optview.events.v1.OptimizationEvent",
        Topic::Jobs => ".optview.events.v1.JobEvent",
        Topic::MultistartRuns => ".optview.events.v1.MultistartRunEvent",
    }
}

fn json_object(payload: &[u8]) -> Result<Map<String, Value>, DecodeError> {
    let not_json = |reason: String| DecodeError::payload("a JSON object", reason);
    let text =
        std::str::from_utf8(payload_encoding::json_text(payload)).map_err(|error| not_json(error.to_string()))?;
    let finite = non_finite_numbers::replace_non_finite(text).map(|(text, _)| text);
    // No double holds the stand-in for such a number.
    let finite = finite.map(|text| text.replace("1e999", "null"));
    serde_json::from_str(finite.as_deref().unwrap_or(text)).map_err(|error| not_json(error.to_string()))
}

fn compare_json(
    message: &DescriptorProto,
    object: &Map<String, Value>,
    path: &str,
    depth: usize,
    unknown: &mut Vec<UnknownField>,
) {
    for (name, value) in object {
        if unknown.len() >= FOUND_MAX {
            return;
        }
        let field = message.field.iter().find(|field| field.name() == name || field.json_name() == name);
        match (field, value) {
            (None, _) => {
                unknown.push(UnknownField { path: format!("{path}{}", beginning(name)), known: names(message) })
            }
            (Some(field), Value::Object(object)) if depth < DEPTH_LIMIT => {
                if let Some(inner) = inner_message(field) {
                    compare_json(inner, object, &format!("{path}{}.", field.name()), depth + 1, unknown);
                }
            }
            (Some(_), _) => {}
        }
    }
}

fn compare_protobuf(
    message: &DescriptorProto,
    mut payload: &[u8],
    path: &str,
    depth: usize,
    unknown: &mut Vec<UnknownField>,
) -> Result<(), prost::DecodeError> {
    while !payload.is_empty() && unknown.len() < FOUND_MAX {
        let (number, wire_type) = decode_key(&mut payload)?;
        let field = message.field.iter().find(|field| i64::from(field.number()) == i64::from(number));
        if field.is_none() {
            unknown.push(UnknownField { path: format!("{path}{number}"), known: names(message) });
        }
        match field.and_then(|field| Some((field, inner_message(field)?))) {
            Some((field, inner)) if wire_type == WireType::LengthDelimited && depth < DEPTH_LIMIT => {
                let len = usize::try_from(decode_varint(&mut payload)?).unwrap_or(usize::MAX);
                let (within, after) = payload.split_at(len.min(payload.len()));
                payload = after;
                compare_protobuf(inner, within, &format!("{path}{}.", field.name()), depth + 1, unknown)?;
            }
            _ => skip_field(wire_type, number, &mut payload, DecodeContext::default())?,
        }
    }
    Ok(())
}

/// Returns the message of a field, if it is one of the contract's own. Times and free objects have no fields to compare.
pub(super) fn inner_message(field: &FieldDescriptorProto) -> Option<&'static DescriptorProto> {
    CONTRACT.get(field.type_name()).filter(|_| field.r#type() == Type::Message)
}

/// Returns the beginning of a name, which may have megabytes.
fn beginning(name: &str) -> Cow<'_, str> {
    match name.floor_char_boundary(NAME_SHOWN) {
        end if end < name.len() => Cow::Owned(format!("{}...", &name[..end])),
        _ => Cow::Borrowed(name),
    }
}

fn names(message: &DescriptorProto) -> Vec<String> {
    message.field.iter().map(|field| field.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::protobuf_types::v1;
    use super::*;
    use crate::domain::TopicPartition;

    fn paths(topic: Topic, value: &[u8]) -> Vec<String> {
        let position = TopicPartition::new(topic, 0).at(0);
        let record =
            Record { position, timestamp_millis: None, key: None, value: Some(value), headers: Vec::new() };
        find(&record, Framing::Auto).unwrap().into_iter().map(|unknown| unknown.path).collect()
    }

    #[test]
    fn a_field_that_the_contract_lacks_is_found_by_its_path_in_both_spellings() {
        for (text, expected) in [
            (r#"{"optimizationId":"a","created":{"created_by_email":"x","createdByEmail":"x"}}"#, &[][..]),
            (r#"{"optimization_id":"a","created":{"created_by_mail":"x"}}"#, &["created.created_by_mail"]),
            (
                r#"{"optimization_id":"a","createdd":{"any":1},"metadata":{"eventid":""}}"#,
                &["createdd", "metadata.eventid"],
            ),
            (
                r#"{"created":{"objectives":{"Time [s]":{"anything":NaN}},"createdAt":"2026-01-01T00:00:00Z"}}"#,
                &[],
            ),
            (r#"{"created":null,"deleted":{"by":"me"}}"#, &["deleted.by"]),
        ] {
            assert_eq!(paths(Topic::Optimizations, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn millions_of_fields_cost_no_more_than_the_first_of_them() {
        let fields = [0x98, 0x06, 0x01].repeat(2_000_000);
        assert_eq!(paths(Topic::Jobs, &fields).len(), FOUND_MAX);
        let names: Vec<String> = (0..5_000).map(|number| format!("\"x{number}\":1")).collect();
        assert_eq!(paths(Topic::Jobs, format!("{{{}}}", names.join(",")).as_bytes()).len(), FOUND_MAX);
        let long = paths(Topic::Jobs, format!("{{\"{}\":1}}", "ü".repeat(450_000)).as_bytes());
        assert_eq!(long, [format!("{}...", "ü".repeat(100))]);
    }

    #[test]
    fn a_field_of_protobuf_that_the_contract_lacks_is_found_by_its_number() {
        let metadata = Some(v1::Metadata { event_id: "e".to_owned(), ..Default::default() });
        let event = v1::JobEvent { metadata, job_id: "j".to_owned(), ..Default::default() };
        let mut bytes = event.encode_to_vec();
        assert_eq!(paths(Topic::Jobs, &bytes), [""; 0]);
        // Field 99 with a varint; and within field 4 (`pending`), field 7 with a varint.
        bytes.extend([0x98, 0x06, 0x01, 0x22, 0x02, 0x38, 0x01]);
        assert_eq!(paths(Topic::Jobs, &bytes), ["99", "pending.7"]);
        bytes.pop();
        let position = TopicPartition::new(Topic::Jobs, 0).at(0);
        let record =
            Record { position, timestamp_millis: None, key: None, value: Some(&bytes), headers: Vec::new() };
        assert!(find(&record, Framing::Auto).is_err(), "it is cut short");
    }
}
