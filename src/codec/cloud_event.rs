//! CloudEvents in structured mode: one JSON object with the event's attributes and, as `data` or `data_base64`, the event.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::content_type::DeclaredForm;
use super::json_values::{JsonMessage, JsonText};
use super::{DecodeError, Encoding, non_finite_numbers, payload_encoding};

/// The attributes of a CloudEvent that say what the event's own metadata may leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudEvent {
    /// The attribute `id`.
    pub id: Option<String>,
    /// The attribute `time`.
    pub time: Option<String>,
    /// The attribute `type`.
    pub event_type: Option<String>,
}

#[derive(Deserialize)]
struct CloudEventMessage<'a> {
    #[serde(borrow)]
    specversion: Option<JsonText<'a>>,
    #[serde(borrow)]
    id: Option<JsonText<'a>>,
    #[serde(borrow)]
    time: Option<JsonText<'a>>,
    #[serde(borrow, rename = "type")]
    event_type: Option<JsonText<'a>>,
    #[serde(borrow)]
    datacontenttype: Option<JsonText<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<JsonText<'a>>,
}

impl CloudEvent {
    /// Unwraps a CloudEvent: its attributes, and the encoding and the bytes of its data.
    pub fn unwrap(value: Cow<'_, [u8]>) -> Result<UnwrappedEvent<'_>, DecodeError> {
        let unwrapped = match &value {
            Cow::Borrowed(value) => unwrap(value),
            Cow::Owned(value) => unwrap(value).map(owned),
        };
        unwrapped.or_else(|error| unwrap_not_finite(&value).ok_or(error))
    }
}

/// The attributes of a CloudEvent, and the encoding and the bytes of its data.
type UnwrappedEvent<'a> = (CloudEvent, Encoding, Cow<'a, [u8]>);

fn owned((attributes, encoding, data): UnwrappedEvent<'_>) -> UnwrappedEvent<'static> {
    (attributes, encoding, Cow::Owned(data.into_owned()))
}

/// Unwraps a text that is not JSON only because it has numbers that are not finite.
fn unwrap_not_finite(value: &[u8]) -> Option<UnwrappedEvent<'static>> {
    let text = std::str::from_utf8(payload_encoding::json_text(value)).ok()?;
    let (text, _) = non_finite_numbers::replace_non_finite(text)?;
    unwrap(text.as_bytes()).ok().map(owned)
}

fn unwrap(value: &[u8]) -> Result<UnwrappedEvent<'_>, DecodeError> {
    let refused = |reason: String| DecodeError::payload("a CloudEvent in structured mode", reason);
    let text =
        std::str::from_utf8(payload_encoding::json_text(value)).map_err(|error| refused(error.to_string()))?;
    let JsonMessage(message) = serde_json::from_str::<JsonMessage<CloudEventMessage<'_>>>(text)
        .map_err(|error| refused(error.to_string()))?;
    match message.specversion {
        Some(JsonText(version)) if version.starts_with("1.") => {}
        Some(JsonText(version)) => {
            return Err(DecodeError::field("specversion", format!("`{version:.16}` is not supported: send 1.0")));
        }
        None => return Err(DecodeError::field("specversion", "is missing, and so this is no CloudEvent")),
    }
    let declared = match &message.datacontenttype {
        Some(JsonText(text)) if !text.is_empty() => Some(encoding_of_data(text)?),
        _ => None,
    };
    let (encoding, data) = data(declared, message.data, message.data_base64)?;
    let own =
        |text: Option<JsonText<'_>>| text.map(|JsonText(text)| text.into_owned()).filter(|text| !text.is_empty());
    let attributes =
        CloudEvent { id: own(message.id), time: own(message.time), event_type: own(message.event_type) };
    Ok((attributes, encoding, data))
}

fn encoding_of_data(content_type: &str) -> Result<Encoding, DecodeError> {
    let encoding = DeclaredForm::of(content_type).ok().and_then(DeclaredForm::encoding);
    encoding.ok_or_else(|| {
        let reason =
            format!("`{content_type:.64}` is not supported: send application/json or application/protobuf");
        DecodeError::field("datacontenttype", reason)
    })
}

fn data<'a>(
    declared: Option<Encoding>,
    data: Option<&'a RawValue>,
    base64: Option<JsonText<'a>>,
) -> Result<(Encoding, Cow<'a, [u8]>), DecodeError> {
    match (data, base64) {
        (Some(_), Some(_)) => Err(DecodeError::field("data_base64", "is there beside data: send one of them")),
        (None, None) => Err(DecodeError::field("data", "is missing, and so is data_base64")),
        (Some(_), None) if declared == Some(Encoding::Protobuf) => Err(DecodeError::field(
            "data",
            "is JSON, while datacontenttype says that it is protobuf: send the message as data_base64",
        )),
        (Some(data), None) => Ok((Encoding::Json, Cow::Borrowed(data.get().as_bytes()))),
        (None, Some(JsonText(text))) => {
            let bytes =
                STANDARD.decode(&*text).map_err(|error| DecodeError::field("data_base64", error.to_string()))?;
            if bytes.is_empty() {
                return Err(DecodeError::field("data_base64", "is empty"));
            }
            Ok((declared.unwrap_or_else(|| payload_encoding::sniff(&bytes)), Cow::Owned(bytes)))
        }
    }
}
