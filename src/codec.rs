//! Converts bytes to values and back. Decoding never panics and never guesses: an error names the field that
//! cannot be decoded and the reason. This is the only folder that knows protobuf, JSON payloads and the layout of
//! stored records.

mod cloud_event;
mod content_type;
mod declared_type;
mod decoded_payload;
mod duplicate_keys;
pub mod encode;
mod encode_json;
mod encode_protobuf;
mod error_place;
mod errors;
mod event_json;
mod event_json_fast;
mod event_protobuf;
mod foreign_payload;
mod framing;
mod ids;
mod json_cursor;
mod json_object;
mod json_values;
mod non_finite_numbers;
mod one_of;
mod payload_encoding;
mod protobuf_types;
pub mod published_view;
pub mod replicated_view;
pub mod stored_record;
pub mod unknown_fields;
mod value_form;
pub mod view_json;

use std::borrow::Cow;

use bounded_static::IntoBoundedStatic as _;

use crate::domain::event::{Body, Envelope, Event, Metadata, OptimizationChange};
use crate::domain::record::RECORD_LIMIT;
use crate::domain::{Record, Timestamp, Topic};
use cloud_event::CloudEvent;
use decoded_payload::{DecodedPayload, EventParts, PartialMetadata, parse_time};
pub use encode::Encoding;
pub use error_place::{error_place, named_line};
pub use errors::DecodeError;
use errors::EVENT_FIELD;
use framing::UnwrappedValue;
pub use framing::{Framing, hides_texts};
pub use ids::ID_LIMIT;
use ids::{check_id, check_ids, too_long};
pub use value_form::ValueForm;

/// Decodes one record whose value may have any frame that can be nothing else.
pub fn decode<'a>(record: &Record<'a>) -> Result<Envelope<'a>, DecodeError> {
    decode_framed(record, Framing::Auto)
}

/// Decodes one record whose value may have one of these frames.
pub fn decode_framed<'a>(record: &Record<'a>, framing: Framing) -> Result<Envelope<'a>, DecodeError> {
    if record.size() > RECORD_LIMIT {
        return Err(DecodeError::TooLarge(record.size() as u64));
    }
    match record.value {
        Some(value) => decode_value(record, value, framing),
        None => Ok(envelope(record, decode_null(record)?, 0)),
    }
}

#[inline(always)]
fn envelope<'a>(record: &Record<'a>, event: Event<'a>, nulled_numbers: u32) -> Envelope<'a> {
    Envelope { event, position: record.position, written_millis: record.timestamp_millis, nulled_numbers }
}

fn decode_value<'a>(record: &Record<'a>, value: &'a [u8], framing: Framing) -> Result<Envelope<'a>, DecodeError> {
    let topic = record.position.topic;
    declared_type::check(topic, &record.headers)?;
    let UnwrappedValue { encoding, payload, cloud_event, .. } = framing::unframe(value, &record.headers, framing)?;
    if let Some(event_type) = cloud_event.as_ref().and_then(|event| event.event_type.as_deref()) {
        declared_type::check_name(topic, "the CloudEvent's type", event_type)?;
    }
    let cloud_event = cloud_event.as_ref();
    match &payload {
        Cow::Borrowed(payload) => decode_payload(record, framing, encoding, payload, cloud_event),
        Cow::Owned(payload) => decode_payload(record, framing, encoding, payload, cloud_event).map(into_static),
    }
}

/// Copies what an envelope borrows.
fn into_static(envelope: Envelope<'_>) -> Envelope<'static> {
    let Envelope { event, position, written_millis, nulled_numbers } = envelope;
    let Metadata { event_id, occurred_at, sequence } = event.metadata;
    let metadata = Metadata { event_id: event_id.into_static(), occurred_at, sequence };
    let event = Event { metadata, body: event.body.into_static() };
    Envelope { event, position, written_millis, nulled_numbers }
}

/// Decodes the payload of a record, which came in a CloudEvent or not. A plain event is made in the place of the result, since every
/// move of one costs a tenth of its decoding.
fn decode_payload<'a>(
    record: &Record<'a>,
    framing: Framing,
    encoding: Encoding,
    payload: &'a [u8],
    cloud_event: Option<&CloudEvent>,
) -> Result<Envelope<'a>, DecodeError> {
    if encoding == Encoding::Json {
        let plain = event_json_fast::decode(
            record.position.topic,
            payload,
            |metadata| complete(metadata, record, cloud_event),
            |metadata, body| Ok(envelope(record, Event { metadata, body }, 0)),
        );
        if let Some(decoded) = plain {
            return decoded;
        }
    }
    decode_any_payload(record, framing, encoding, payload, cloud_event)
}

/// Decodes any payload that the contract allows.
#[inline(never)]
fn decode_any_payload<'a>(
    record: &Record<'a>,
    framing: Framing,
    encoding: Encoding,
    payload: &'a [u8],
    cloud_event: Option<&CloudEvent>,
) -> Result<Envelope<'a>, DecodeError> {
    let topic = record.position.topic;
    let decoded = match encoding {
        Encoding::Json => event_json::decode(topic, payload),
        Encoding::Protobuf => event_protobuf::decode(topic, payload),
    };
    let DecodedPayload { metadata, body, nulled_numbers } = decoded.map_err(|error| match error {
        DecodeError::Field { field, reason } if field == EVENT_FIELD => no_event(record, framing, field, reason),
        DecodeError::Payload { .. } => {
            foreign_payload::recognize(payload, encoding).map_or(error, DecodeError::Foreign)
        }
        error => error,
    })?;
    check_ids(&body)?;
    let metadata = complete(metadata.unwrap_or_default(), record, cloud_event)?;
    Ok(envelope(record, Event { metadata, body }, nulled_numbers))
}

/// Decodes a null value on the optimizations topic: the key names the deleted optimization, and Kafka's timestamp
/// is the time of the deletion.
fn decode_null<'a>(record: &Record<'a>) -> Result<Event<'a>, DecodeError> {
    if record.position.topic != Topic::Optimizations {
        return Err(DecodeError::NullValue);
    }
    let key = record.key.unwrap_or_default();
    let id = std::str::from_utf8(key).map_err(|error| DecodeError::field("key", error.to_string()))?;
    check_id("key", id)?;
    let header = |name| framing::header_text(&record.headers, name);
    let millis = record.timestamp_millis.and_then(Timestamp::from_millis);
    let occurred_at = match header("ce_time")? {
        Some(text) => parse_time("header ce_time", text)?,
        None => millis.unwrap_or_default(),
    };
    let event_id = Cow::Borrowed(header("ce_id")?.unwrap_or_default());
    if event_id.len() > ID_LIMIT {
        return Err(too_long("header ce_id", event_id.len()));
    }
    Ok(Event {
        metadata: Metadata { event_id, occurred_at, sequence: 0 },
        body: Body::Optimization { optimization_id: Cow::Borrowed(id), change: OptimizationChange::Deleted },
    })
}

/// Adds to the reason for which a message has no event what was there in its place: fields that the contract does not have, or
/// else events that are null.
fn no_event(record: &Record<'_>, framing: Framing, field: String, reason: String) -> DecodeError {
    let unknown = unknown_fields::find(record, framing).unwrap_or_default();
    let quoted = |name: &String| format!("`{name}`");
    let names: Vec<String> = unknown.iter().map(|unknown| quoted(&unknown.path)).collect();
    if !names.is_empty() {
        let reason = format!("{reason}; there is {}, which the contract does not have", names.join(", "));
        return DecodeError::field(field, reason);
    }
    let names: Vec<String> = unknown_fields::null_events(record, framing).iter().map(quoted).collect();
    match names.is_empty() {
        true => DecodeError::Field { field, reason },
        false => {
            DecodeError::field(field, format!("{reason}; there is {}: null, which is as absent", names.join(", ")))
        }
    }
}

/// Completes the metadata by the attributes of a CloudEvent, which headers (binary mode) or the value itself (structured mode) have.
fn complete<'a>(
    partial: PartialMetadata<'a>,
    record: &Record<'a>,
    cloud_event: Option<&CloudEvent>,
) -> Result<Metadata<'a>, DecodeError> {
    let [id_name, time_name] = match cloud_event {
        Some(_) => ["the CloudEvent's id", "the CloudEvent's time"],
        None => ["the header ce_id", "the header ce_time"],
    };
    let attribute = |held: Option<&String>, header| match held {
        Some(text) => Ok(Some(Cow::Owned(text.clone()))),
        None => Ok(framing::header_text(&record.headers, header)?.map(Cow::Borrowed)),
    };
    let event_id = match partial.event_id.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => attribute(cloud_event.and_then(|event| event.id.as_ref()), "ce_id")?.unwrap_or_default(),
    };
    if event_id.is_empty() {
        return Err(DecodeError::field("metadata.event_id", format!("is missing, and so is {id_name}")));
    }
    if event_id.len() > ID_LIMIT {
        return Err(too_long("metadata.event_id", event_id.len()));
    }
    let occurred_at = match partial.occurred_at {
        Some(time) => time,
        None => {
            let text =
                attribute(cloud_event.and_then(|event| event.time.as_ref()), "ce_time")?.ok_or_else(|| {
                    DecodeError::field("metadata.occurred_at", format!("is missing, and so is {time_name}"))
                })?;
            parse_time(time_name.trim_start_matches("the "), &text)?
        }
    };
    Ok(Metadata { event_id, occurred_at, sequence: partial.sequence })
}
