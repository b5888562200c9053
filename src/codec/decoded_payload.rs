//! The parts of an event that a payload in either encoding contains.

use std::borrow::Cow;

use bounded_static::ToStatic;

use super::errors::DecodeError;
use crate::domain::{Body, Timestamp};

/// The content of a payload.
#[derive(Debug, PartialEq, ToStatic)]
pub struct DecodedPayload<'a> {
    pub metadata: Option<PartialMetadata<'a>>,
    pub body: Body<'a>,
    /// Number of numbers in free objects that became null because JSON has no such number.
    pub nulled_numbers: u32,
}

/// The metadata that a payload contains. CloudEvents headers supply what is missing.
#[derive(Debug, Default, PartialEq, ToStatic)]
pub struct PartialMetadata<'a> {
    pub event_id: Option<Cow<'a, str>>,
    pub occurred_at: Option<Timestamp>,
    pub sequence: u64,
}

/// The metadata and the body of a message.
pub type EventParts<'a> = (Option<PartialMetadata<'a>>, Body<'a>);

/// Reads a time as the contract has it.
pub fn parse_time(field: &str, text: &str) -> Result<Timestamp, DecodeError> {
    Timestamp::parse(text).ok_or_else(|| {
        DecodeError::field(field, format!("`{text:.64}` is not an RFC 3339 time in the years 1 to 9999"))
    })
}
