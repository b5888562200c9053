//! The form in which a record's value is written, for those who look at what producers send.

use std::fmt;

use super::framing::{self, Frame, Framing, UnwrappedValue};
use super::{DecodeError, Encoding};
use crate::domain::Record;

/// The form of a record's value: its encoding, and what is wrapped around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueForm {
    /// The encoding of the event.
    pub encoding: Encoding,
    frame: Option<Frame>,
    /// True if the event is the data of a CloudEvent in structured mode.
    is_cloud_event: bool,
}

impl ValueForm {
    /// Determines the form of a record's value; `None` if the value is null.
    ///
    /// # Errors
    /// Fails if the value is in no form that is understood.
    pub fn of(record: &Record<'_>, framing: Framing) -> Result<Option<ValueForm>, DecodeError> {
        let Some(value) = record.value else { return Ok(None) };
        let UnwrappedValue { encoding, frame, cloud_event, .. } =
            framing::unframe(value, &record.headers, framing)?;
        Ok(Some(ValueForm { encoding, frame, is_cloud_event: cloud_event.is_some() }))
    }
}

impl fmt::Display for ValueForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.encoding {
            Encoding::Json => "JSON",
            Encoding::Protobuf => "protobuf",
        })?;
        if self.is_cloud_event {
            f.write_str(" in a structured CloudEvent")?;
        }
        self.frame.map_or(Ok(()), |frame| write!(f, " {}", frame.name()))
    }
}
