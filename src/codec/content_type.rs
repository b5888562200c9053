//! The form of a value that its media type declares.

use super::{DecodeError, Encoding};

/// The form that a media type declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredForm {
    Json,
    Protobuf,
    /// A CloudEvent in structured mode, as JSON.
    CloudEvent,
}

impl DeclaredForm {
    /// Returns the form of a media type, whatever its parameters are.
    pub fn of(content_type: &str) -> Result<DeclaredForm, DecodeError> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" | "text/json" => Ok(DeclaredForm::Json),
            "application/protobuf"
            | "application/x-protobuf"
            | "application/vnd.google.protobuf"
            | "application/x-google-protobuf" => Ok(DeclaredForm::Protobuf),
            "application/cloudevents+json" => Ok(DeclaredForm::CloudEvent),
            other if other.starts_with("application/cloudevents-batch") => {
                Err(DecodeError::ContentType(format!("{other:.64}, a batch of CloudEvents (one event a record)")))
            }
            other if other.starts_with("application/cloudevents") => {
                Err(DecodeError::ContentType(format!("{other:.64}, CloudEvents in another format than JSON")))
            }
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(DeclaredForm::Json),
            _ => Err(DecodeError::ContentType(content_type.chars().take(128).collect())),
        }
    }

    /// Returns the encoding of data of this form; `None` for a CloudEvent, which is no event itself.
    pub fn encoding(self) -> Option<Encoding> {
        match self {
            DeclaredForm::Json => Some(Encoding::Json),
            DeclaredForm::Protobuf => Some(Encoding::Protobuf),
            DeclaredForm::CloudEvent => None,
        }
    }
}
