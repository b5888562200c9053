//! The place in a record's value at which it cannot be understood, for people who look at its bytes. JSON's decoder names fields, and
//! the line and the column where it stops; protobuf's names fields only.

mod json;

use std::borrow::Cow;

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, Struct, Timestamp};

use super::framing::{self, Framing, UnwrappedValue};
use super::unknown_fields::{CONTRACT, inner_message, message_name};
pub use json::named_line;

use super::{DecodeError, EVENT_FIELD, Encoding, decode_framed};
use crate::domain::Record;

/// Depth of messages within messages beyond which no place is looked for.
const DEPTH_LIMIT: usize = 8;

/// Returns the offset of the byte in a record's value at which its error begins, if the error has a place: where the message breaks
/// off, or the field that has a wrong value or a name that is unknown. What is compressed or written in base64 has no place.
pub fn error_place(record: &Record<'_>, framing: Framing) -> Option<usize> {
    let error = decode_framed(record, framing).err()?;
    let value = record.value?;
    let UnwrappedValue { encoding, payload: Cow::Borrowed(payload), .. } =
        framing::unframe(value, &record.headers, framing).ok()?
    else {
        return None;
    };
    // What is before the payload is its frame.
    let begin = payload.as_ptr().addr() - value.as_ptr().addr();
    let message = &CONTRACT[message_name(record.position.topic)];
    let place = match error {
        error if encoding == Encoding::Json => json::place(message, payload, &error),
        DecodeError::Payload { .. } => broken(message, payload, 0, 0),
        DecodeError::Field { field, .. } if field == EVENT_FIELD => unknown(message, payload),
        DecodeError::Field { field, .. } => named(message, payload, &field.split('.').collect::<Vec<_>>(), 0),
        _ => None,
    };
    place.map(|place| begin + place)
}

/// A field of a message as it was written.
struct WrittenField<'a> {
    /// The offset of its key.
    begin: usize,
    number: u32,
    /// The bytes of a field that gives its own length, with their offset.
    content: Option<(usize, &'a [u8])>,
    /// The fields's kind of encoding.
    wire_type: WireType,
}

/// Takes the next field off a message. The error is the offset at which that cannot be done.
fn next_field<'a>(message: &'a [u8], at: usize) -> Result<(WrittenField<'a>, usize), usize> {
    let mut rest = &message[at..];
    let (number, wire_type) = decode_key(&mut rest).map_err(|_| at)?;
    let mut field = WrittenField { begin: at, number, content: None, wire_type };
    if wire_type == WireType::LengthDelimited {
        let len = decode_varint(&mut rest).ok().and_then(|len| usize::try_from(len).ok()).ok_or(at)?;
        let (content, after) = rest.split_at_checked(len).ok_or(at)?;
        field.content = Some((message.len() - rest.len(), content));
        rest = after;
    } else {
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).map_err(|_| at)?;
    }
    Ok((field, message.len() - rest.len()))
}

/// Returns the fields of a message up to the first that cannot be taken off.
fn fields(message: &[u8]) -> impl Iterator<Item = WrittenField<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= message.len() {
            return None;
        }
        let (field, next) = next_field(message, at).ok()?;
        at = next;
        Some(field)
    })
}

fn of_number(message: &DescriptorProto, number: u32) -> Option<&FieldDescriptorProto> {
    message.field.iter().find(|field| i64::from(field.number()) == i64::from(number))
}

/// Returns the offset at which a message cannot be decoded, which begins at `begin`.
fn broken(message: &DescriptorProto, payload: &[u8], begin: usize, depth: usize) -> Option<usize> {
    let mut at = 0;
    while at < payload.len() {
        let (field, next) = match next_field(payload, at) {
            Ok(taken) => taken,
            Err(place) => return Some(begin + place),
        };
        let Some(known) = of_number(message, field.number) else {
            at = next;
            continue;
        };
        let place = match field.content {
            _ if !fits(known.r#type(), field.wire_type) => Some(field.begin),
            Some((at, content)) if known.r#type() == Type::String => {
                std::str::from_utf8(content).err().map(|error| at + error.valid_up_to())
            }
            Some((at, content)) => match inner_message(known) {
                Some(inner) if depth < DEPTH_LIMIT => broken(inner, content, at, depth + 1),
                _ => foreign_broken(known, content).then_some(field.begin),
            },
            None => None,
        };
        if let Some(place) = place {
            return Some(begin + place);
        }
        at = next;
    }
    None
}

/// Returns true if a field of this type can be written so.
fn fits(known: Type, written: WireType) -> bool {
    let expected = match known {
        Type::String | Type::Bytes | Type::Message => WireType::LengthDelimited,
        Type::Double | Type::Fixed64 | Type::Sfixed64 => WireType::SixtyFourBit,
        Type::Float | Type::Fixed32 | Type::Sfixed32 => WireType::ThirtyTwoBit,
        Type::Group => WireType::StartGroup,
        _ => WireType::Varint,
    };
    written == expected
}

/// Returns true if a field of a message that is not the contract's own cannot be decoded.
fn foreign_broken(known: &FieldDescriptorProto, content: &[u8]) -> bool {
    match known.type_name() {
        ".google.protobuf.Struct" => Struct::decode(content).is_err(),
        ".google.protobuf.Timestamp" => Timestamp::decode(content).is_err(),
        _ => false,
    }
}

/// Returns the offset of the first field that the contract does not have.
fn unknown(message: &DescriptorProto, payload: &[u8]) -> Option<usize> {
    fields(payload).find(|field| of_number(message, field.number).is_none()).map(|field| field.begin)
}

/// Returns the offset of the last field of a path, or of the innermost message of it that is there.
fn named(message: &DescriptorProto, payload: &[u8], path: &[&str], depth: usize) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let known = message.field.iter().find(|field| field.name() == *name)?;
    let found = fields(payload).filter(|field| i64::from(known.number()) == i64::from(field.number)).last()?;
    let inner = match (inner_message(known), found.content) {
        (Some(inner), Some((at, content))) if depth < DEPTH_LIMIT => {
            named(inner, content, rest, depth + 1).map(|place| at + place)
        }
        _ => None,
    };
    Some(inner.unwrap_or(found.begin))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protobuf_types::v1;
    use super::*;
    use crate::domain::{Topic, TopicPartition};

    fn record(topic: Topic, value: &[u8]) -> Record<'_> {
        let position = TopicPartition::new(topic, 0).at(0);
        Record { position, timestamp_millis: None, key: None, value: Some(value), headers: Vec::new() }
    }

    fn place(value: &[u8]) -> Option<usize> {
        error_place(&record(Topic::Optimizations, value), Framing::Auto)
    }

    fn created(project_id: &str) -> v1::OptimizationEvent {
        let created = v1::OptimizationCreated {
            organization_id: "org".to_owned(),
            project_id: project_id.to_owned(),
            name: Some("a name".to_owned()),
            objectives: Some(Struct { fields: [("Time [s]".to_owned(), 1.5.into())].into() }),
            ..Default::default()
        };
        let metadata = v1::Metadata {
            event_id: "e".to_owned(),
            occurred_at: Some(Timestamp { seconds: 5, nanos: 7 }),
            sequence: 1,
        };
        v1::OptimizationEvent {
            metadata: Some(metadata),
            optimization_id: "opt".to_owned(),
            event: Some(v1::optimization_event::Event::Created(created)),
        }
    }

    /// Returns the offset of these bytes.
    fn find(value: &[u8], part: &[u8]) -> usize {
        value.windows(part.len()).position(|window| window == part).unwrap()
    }

    #[test]
    fn the_place_is_where_the_message_breaks_off_or_has_another_type() {
        let value = created("project").encode_to_vec();
        assert_eq!(place(&value), None);
        // A text that is not UTF-8, within a message within the frame of a schema registry.
        let mut garbled = value.clone();
        let name = find(&value, b"a name");
        garbled[name + 2] = 0xFF;
        assert_eq!(place(&garbled), Some(name + 2));
        let framed = [&[0, 0, 0, 0, 7, 0][..], &garbled].concat();
        assert_eq!(place(&framed), Some(6 + name + 2));
        // The message within ends before the field does: the whole of it is cut.
        let cut = &value[..value.len() - 1];
        let begin = find(&value, b"\x12\x03opt") + 5;
        assert_eq!(place(cut), Some(begin));
        // The id as a number.
        let other_type = [&value[..begin], &[0x10, 0x01]].concat();
        assert_eq!(place(&other_type), Some(begin));
        // The last byte begins a key that does not end.
        let dangling = [&value[..], &[0x80]].concat();
        assert_eq!(place(&dangling), Some(value.len()));
    }

    #[test]
    fn the_place_is_the_field_that_has_a_wrong_value_or_no_name() {
        let long = "x".repeat(2_000);
        let value = created(&long).encode_to_vec();
        assert_eq!(place(&value), Some(find(&value, long.as_bytes()) - 3));
        // It is missing, so that the message is shown that it is missing in.
        let value = created("").encode_to_vec();
        assert_eq!(place(&value), Some(find(&value, b"\x12\x03opt") + 5));
        // No event, but field 99.
        let none = v1::OptimizationEvent { event: None, ..created("") }.encode_to_vec();
        assert_eq!(place(&none), None);
        let unknown = [&none[..], &[0x98, 0x06, 0x01]].concat();
        assert_eq!(place(&unknown), Some(none.len()));
        let nanos = v1::Metadata {
            event_id: "e".to_owned(),
            occurred_at: Some(Timestamp { seconds: 5, nanos: -1 }),
            sequence: 1,
        };
        let value = v1::OptimizationEvent { metadata: Some(nanos), ..created("p") }.encode_to_vec();
        assert_eq!(place(&value), Some(find(&value, b"\x01e") + 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn what_is_no_message_has_a_place_whatever_was_changed(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            is_cut: bool,
            topic in prop::sample::select(Topic::ALL.to_vec()),
        ) {
            let mut value = created("project").encode_to_vec();
            for (at, byte) in changes {
                let at = at.index(value.len());
                value[at] = byte;
            }
            if is_cut {
                value.truncate(cut.index(value.len()) + 1);
            }
            // Whatever the first byte is, it is protobuf.
            let framed = [&[0, 0, 0, 0, 7, 0][..], &value].concat();
            let record = record(topic, &framed);
            let place = error_place(&record, Framing::Confluent);
            prop_assert!(place.is_none_or(|place| (6..=framed.len()).contains(&place)), "{place:?}");
            if let Err(DecodeError::Payload { encoding: "protobuf", .. }) = decode_framed(&record, Framing::Confluent) {
                prop_assert!(place.is_some());
            }
        }
    }
}
