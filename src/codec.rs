//! Converts bytes to values and back. Decoding never panics and never guesses: an error names the field that
//! cannot be decoded and the reason. This is the only folder that knows protobuf, JSON payloads and the layout of
//! stored records.

mod declared_type;
mod duplicate_keys;
pub mod encode;
mod encode_json;
mod encode_protobuf;
mod event_json;
mod event_json_fast;
mod event_protobuf;
mod foreign_payload;
mod framing;
mod json_cursor;
mod json_object;
mod json_values;
mod non_finite_numbers;
mod one_of;
mod owned_event;
mod protobuf_types;
pub mod stored_record;

use std::borrow::Cow;

use crate::domain::event::{Body, Envelope, Event, Metadata, OptimizationChange};
use crate::domain::record::RECORD_LIMIT;
use crate::domain::{Record, Timestamp, Topic};
pub use encode::Encoding;

/// Maximum length of an id or a kind in bytes: ids are keys in the store, and lists filter by kind.
pub const ID_LIMIT: usize = 1024;

/// The reason for which a record could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field of the event, the key or a header is missing or has a value that the contract does not allow.
    #[error("{field}: {reason}")]
    Field {
        /// The path of the field, as `created.project_id`, or the name of the part of the record.
        field: String,
        /// The defect, as the rest of a sentence that begins with the field.
        reason: String,
    },
    /// The value as a whole is not a message in its encoding.
    #[error("the payload is not {encoding}: {reason}")]
    Payload {
        /// The form that was expected, as the rest of a sentence that begins with "the payload is not".
        encoding: &'static str,
        /// The decoder's own message, shortened.
        reason: String,
    },
    /// The value is in a format that producers send by mistake: its name, and what to send in its place.
    #[error("the payload is {0}")]
    Foreign(&'static str),
    /// The header `content-type` names another encoding than JSON and protobuf. The text is the header's value.
    #[error("the content-type `{0}` is not supported: send application/json or application/protobuf")]
    ContentType(String),
    /// The record declares the type of another stream's message.
    #[error(
        "the header {header} says `{declared}`, which is a message of {stream}, and this topic was given as the one of \
         {topic}: is --topic-{topic} right?"
    )]
    OtherStream {
        /// The name of the header that declares the type.
        header: &'static str,
        /// The type that the header declares.
        declared: String,
        /// The stream whose messages have that type.
        stream: Topic,
        /// The stream of the topic that the record was read from.
        topic: Topic,
    },
    /// The value is null on a topic where null has no meaning.
    #[error("the value is null, which only the optimizations topic gives a meaning (deleted)")]
    NullValue,
    /// The value has no bytes.
    #[error("the value is empty")]
    EmptyValue,
    /// The record has more bytes than [`RECORD_LIMIT`]: the number of its bytes.
    #[error("the record has {0} bytes, more than the {RECORD_LIMIT} that it may have: only its beginning is kept")]
    TooLarge(u64),
    /// The record's batch has more bytes than it may have, so that the record was cut: the number of bytes that
    /// its value had.
    #[error(
        "the batch that the record came in has more bytes than it may have, so that only the beginning of the record's {0} \
         bytes was kept"
    )]
    CutShort(u64),
}

impl DecodeError {
    fn field(field: impl Into<String>, reason: impl Into<String>) -> DecodeError {
        DecodeError::Field { field: shortened(field.into()), reason: shortened(reason.into()) }
    }

    fn payload(encoding: &'static str, reason: impl Into<String>) -> DecodeError {
        DecodeError::Payload { encoding, reason: shortened(reason.into()) }
    }
}

/// Shortens a reason, which may quote megabytes of the record, to its beginning and its end, which show what is
/// wrong.
fn shortened(reason: String) -> String {
    const KEPT: usize = 160;
    let begin = reason.char_indices().nth(KEPT).map(|(at, _)| at);
    let end = reason.char_indices().nth_back(KEPT - 1).map(|(at, _)| at);
    match (begin, end) {
        (Some(begin), Some(end)) if begin < end => format!("{} ... {}", &reason[..begin], &reason[end..]),
        _ => reason,
    }
}

/// The content of a payload.
#[derive(Debug, PartialEq)]
struct DecodedPayload<'a> {
    metadata: Option<PartialMetadata<'a>>,
    body: Body<'a>,
    /// Number of numbers in free objects that became null because JSON has no such number.
    nulled_numbers: u32,
}

/// The metadata that a payload contains. CloudEvents headers supply what is missing.
#[derive(Debug, Default, PartialEq)]
struct PartialMetadata<'a> {
    event_id: Option<Cow<'a, str>>,
    occurred_at: Option<Timestamp>,
    sequence: u64,
}

/// The metadata and the body of a message.
type EventParts<'a> = (Option<PartialMetadata<'a>>, Body<'a>);

/// Decodes one record.
pub fn decode<'a>(record: &Record<'a>) -> Result<Envelope<'a>, DecodeError> {
    if record.size() > RECORD_LIMIT {
        return Err(DecodeError::TooLarge(record.size() as u64));
    }
    let (event, nulled_numbers) = match record.value {
        Some(value) => decode_value(record, value)?,
        None => (decode_null(record)?, 0),
    };
    Ok(Envelope { event, position: record.position, written_millis: record.timestamp_millis, nulled_numbers })
}

/// Decodes a value into the event and the number of its numbers that became null.
fn decode_value<'a>(record: &Record<'a>, value: &'a [u8]) -> Result<(Event<'a>, u32), DecodeError> {
    let topic = record.position.topic;
    declared_type::check(topic, &record.headers)?;
    let (encoding, payload) = framing::unframe(value, &record.headers)?;
    let decoded = match encoding {
        Encoding::Json => event_json::decode(topic, payload),
        Encoding::Protobuf => event_protobuf::decode(topic, payload),
    };
    let DecodedPayload { metadata, body, nulled_numbers } = decoded.map_err(|error| match error {
        DecodeError::Payload { .. } => {
            foreign_payload::recognize(payload, encoding).map_or(error, DecodeError::Foreign)
        }
        error => error,
    })?;
    check_ids(&body)?;
    let metadata = complete(metadata.unwrap_or_default(), record)?;
    Ok((Event { metadata, body }, nulled_numbers))
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

fn complete<'a>(partial: PartialMetadata<'a>, record: &Record<'a>) -> Result<Metadata<'a>, DecodeError> {
    let event_id = match partial.event_id.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => Cow::Borrowed(framing::header_text(&record.headers, "ce_id")?.unwrap_or_default()),
    };
    if event_id.is_empty() {
        return Err(DecodeError::field("metadata.event_id", "is missing, and so is the header ce_id"));
    }
    if event_id.len() > ID_LIMIT {
        return Err(too_long("metadata.event_id", event_id.len()));
    }
    let occurred_at = match partial.occurred_at {
        Some(time) => time,
        None => {
            let text = framing::header_text(&record.headers, "ce_time")?.ok_or_else(|| {
                DecodeError::field("metadata.occurred_at", "is missing, and so is the header ce_time")
            })?;
            parse_time("header ce_time", text)?
        }
    };
    Ok(Metadata { event_id, occurred_at, sequence: partial.sequence })
}

fn check_ids(body: &Body<'_>) -> Result<(), DecodeError> {
    match body {
        Body::Optimization { optimization_id, change } => {
            check_id("optimization_id", optimization_id)?;
            match change {
                OptimizationChange::Created(created) => {
                    check_id("created.organization_id", &created.organization_id)?;
                    check_id("created.project_id", &created.project_id)?;
                    match &created.kind {
                        Some(kind) if kind.len() > ID_LIMIT => return Err(too_long("created.kind", kind.len())),
                        _ => {}
                    }
                    created.job_id.as_ref().map_or(Ok(()), |id| check_id("created.job_id", id))
                }
                OptimizationChange::JobLinked { job_id } => check_id("job_linked.job_id", job_id),
                OptimizationChange::DetailsChanged { .. }
                | OptimizationChange::DisplayNamesChanged { .. }
                | OptimizationChange::Deleted => Ok(()),
            }
        }
        Body::Job { job_id, optimization_id, .. } | Body::Run { job_id, optimization_id, .. } => {
            check_id("job_id", job_id)?;
            match optimization_id {
                Some(id) if id.len() > ID_LIMIT => Err(too_long("optimization_id", id.len())),
                _ => Ok(()),
            }
        }
    }
}

fn check_id(field: &str, id: &str) -> Result<(), DecodeError> {
    match id.len() {
        0 => Err(DecodeError::field(field, "is missing or empty")),
        len if len > ID_LIMIT => Err(too_long(field, len)),
        _ => Ok(()),
    }
}

fn too_long(field: &str, len: usize) -> DecodeError {
    DecodeError::field(field, format!("has {len} bytes, more than the {ID_LIMIT} that it may have"))
}

fn parse_time(field: &str, text: &str) -> Result<Timestamp, DecodeError> {
    Timestamp::parse(text).ok_or_else(|| {
        DecodeError::field(field, format!("`{text:.64}` is not an RFC 3339 time in the years 1 to 9999"))
    })
}
