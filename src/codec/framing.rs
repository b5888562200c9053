//! Determines a value's encoding and the beginning of its payload, from the content-type, the Confluent wire
//! format, and the first byte.

use serde::de::IgnoredAny;

use super::{DecodeError, Encoding, non_finite_numbers};
use crate::domain::record::Header;

/// The magic byte of the Confluent wire format, with which neither JSON nor a protobuf message can begin.
const CONFLUENT_MAGIC: u8 = 0;
/// The length of the Confluent header: the magic byte and a schema id of four bytes.
const CONFLUENT_HEADER_LEN: usize = 5;
/// U+FEFF in UTF-8, which some Windows programs put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Determines the encoding and skips the Confluent header.
pub fn unframe<'a>(value: &'a [u8], headers: &[Header<'_>]) -> Result<(Encoding, &'a [u8]), DecodeError> {
    let Some(&first) = value.first() else {
        return Err(DecodeError::EmptyValue);
    };
    let declared = match header_text(headers, "content-type")? {
        Some(text) => Some(encoding_of(text)?),
        None => None,
    };
    if first != CONFLUENT_MAGIC {
        return Ok((declared.unwrap_or_else(|| sniff(value)), value));
    }
    let payload = value.get(CONFLUENT_HEADER_LEN..).filter(|payload| !payload.is_empty()).ok_or_else(|| {
        DecodeError::payload("in the Confluent wire format", "it ends within its header of 5 bytes")
    })?;
    match declared.unwrap_or_else(|| sniff(payload)) {
        Encoding::Json => Ok((Encoding::Json, payload)),
        Encoding::Protobuf => Ok((Encoding::Protobuf, skip_message_indexes(payload)?)),
    }
}

/// Returns a header's value as text. The last header of the name counts, as in Java's clients and CloudEvents.
/// `None` if it is absent, null or empty.
pub fn header_text<'a>(headers: &[Header<'a>], name: &str) -> Result<Option<&'a str>, DecodeError> {
    let last = headers.iter().rev().find(|(held, _)| held.eq_ignore_ascii_case(name));
    let value = last.and_then(|(_, value)| *value);
    match value {
        None | Some([]) => Ok(None),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(DecodeError::field(format!("header {name}"), error.to_string())),
        },
    }
}

/// Skips a byte order mark and white space before the JSON of a payload.
pub fn json_text(payload: &[u8]) -> &[u8] {
    let text = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    let space = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    &text[space..]
}

/// Returns true if the text is JSON, with numbers allowed that are not finite.
pub fn is_json(text: &str) -> bool {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    is_json(text) || non_finite_numbers::replace_non_finite(text).is_some_and(|(text, _)| is_json(&text))
}

fn sniff(payload: &[u8]) -> Encoding {
    let text = json_text(payload);
    if text.first() != Some(&b'{') {
        return Encoding::Protobuf;
    }
    // A payload that begins with white space may be protobuf too: a line feed is the tag of its first field.
    let is_json = text.len() == payload.len() || std::str::from_utf8(text).is_ok_and(is_json);
    if is_json { Encoding::Json } else { Encoding::Protobuf }
}

/// Returns the encoding of a media type without its parameters. CloudEvents in structured mode are refused
/// explicitly, since they end in `+json`.
fn encoding_of(content_type: &str) -> Result<Encoding, DecodeError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" | "text/json" => Ok(Encoding::Json),
        "application/protobuf"
        | "application/x-protobuf"
        | "application/vnd.google.protobuf"
        | "application/x-google-protobuf" => Ok(Encoding::Protobuf),
        other if other.starts_with("application/cloudevents") => {
            Err(DecodeError::ContentType(format!("{other:.64}, CloudEvents in structured mode")))
        }
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Encoding::Json),
        _ => Err(DecodeError::ContentType(content_type.chars().take(128).collect())),
    }
}

/// Skips the path to the message type with which Confluent's protobuf payload begins: a count and as many indexes,
/// all zigzag varints. A topic has one message type here, so that the path is not needed.
fn skip_message_indexes(payload: &[u8]) -> Result<&[u8], DecodeError> {
    let bad = || {
        DecodeError::payload("in the Confluent wire format", "its message indexes are cut short or out of range")
    };
    let mut rest = payload;
    let count = read_zigzag(&mut rest).filter(|count| (0..=64).contains(count)).ok_or_else(bad)?;
    for _ in 0..count {
        read_zigzag(&mut rest).filter(|index| *index >= 0).ok_or_else(bad)?;
    }
    Ok(rest)
}

fn read_zigzag(rest: &mut &[u8]) -> Option<i64> {
    let raw = prost::encoding::decode_varint(rest).ok()?;
    i64::try_from(raw >> 1).ok().map(|half| if raw & 1 == 0 { half } else { -half - 1 })
}
