//! Determines a value's encoding and the beginning of its payload, from the content-type, the frame of a schema registry, and the
//! first byte.

mod frames;

use std::borrow::Cow;

use super::cloud_event::CloudEvent;
use super::content_type::DeclaredForm;
use super::payload_encoding::sniff;
use super::{DecodeError, Encoding};
use crate::domain::Record;
use crate::domain::record::Header;
pub use frames::{Frame, Framing};

/// The headers of Apicurio that name a schema. The payload has no frame then, but a protobuf message may have its type before it.
const APICURIO_HEADERS: [&str; 2] = ["apicurio.value.globalId", "apicurio.value.contentId"];

/// A value as it was wrapped.
#[derive(Debug)]
pub struct UnwrappedValue<'a> {
    /// The encoding of the payload.
    pub encoding: Encoding,
    /// The event's own bytes.
    pub payload: Cow<'a, [u8]>,
    /// The frame of the value, if it has one.
    pub frame: Option<Frame>,
    /// The attributes of the CloudEvent in structured mode whose data the payload is.
    pub cloud_event: Option<CloudEvent>,
}

/// Determines the encoding, and unwraps the payload.
pub fn unframe<'a>(
    value: &'a [u8],
    headers: &[Header<'_>],
    framing: Framing,
) -> Result<UnwrappedValue<'a>, DecodeError> {
    if value.is_empty() {
        return Err(DecodeError::EmptyValue);
    }
    let declared = match header_text(headers, "content-type")? {
        Some(text) => Some(DeclaredForm::of(text)?),
        None => None,
    };
    let frame = Frame::of(value, framing);
    let payload = match frame {
        Some(frame) => frame.payload(value)?,
        None => Cow::Borrowed(value),
    };
    match declared {
        Some(DeclaredForm::CloudEvent) => {
            let (cloud_event, encoding, payload) = CloudEvent::unwrap(payload)?;
            Ok(UnwrappedValue { encoding, payload, frame, cloud_event: Some(cloud_event) })
        }
        Some(DeclaredForm::Json) => {
            Ok(UnwrappedValue { encoding: Encoding::Json, payload, frame, cloud_event: None })
        }
        Some(DeclaredForm::Protobuf) => without_type(payload, frame, headers),
        None => match sniff(&payload) {
            Encoding::Json => Ok(UnwrappedValue { encoding: Encoding::Json, payload, frame, cloud_event: None }),
            Encoding::Protobuf => without_type(payload, frame, headers),
        },
    }
}

/// Returns true if the event's texts may not stand in a value's bytes as they are, because the payload is compressed or written in
/// base64.
pub fn hides_texts(record: &Record<'_>, framing: Framing) -> bool {
    let value = record.value.unwrap_or_default();
    if Frame::of(value, framing).is_some_and(|frame| frame.is_compressed(value)) {
        return true;
    }
    let declared = header_text(&record.headers, "content-type").ok().flatten();
    declared.is_some_and(|text| matches!(DeclaredForm::of(text), Ok(DeclaredForm::CloudEvent)))
}

/// Skips what a serializer has put between the frame and a protobuf message to name the message's type.
fn without_type<'a>(
    payload: Cow<'a, [u8]>,
    frame: Option<Frame>,
    headers: &[Header<'_>],
) -> Result<UnwrappedValue<'a>, DecodeError> {
    let len = match frame {
        Some(frame) => frame.type_len(&payload)?,
        None if headers.iter().any(is_of_apicurio) => frames::type_reference_len(&payload).unwrap_or(0),
        None => 0,
    };
    let payload = match payload {
        Cow::Borrowed(payload) => Cow::Borrowed(&payload[len..]),
        Cow::Owned(mut payload) => {
            payload.drain(..len);
            Cow::Owned(payload)
        }
    };
    Ok(UnwrappedValue { encoding: Encoding::Protobuf, payload, frame, cloud_event: None })
}

fn is_of_apicurio((name, _): &Header<'_>) -> bool {
    APICURIO_HEADERS.iter().any(|held| name.eq_ignore_ascii_case(held))
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
