//! The frames that serializers with a schema registry put around a payload: the bytes before it that name its schema. No schema is
//! ever looked up, since a topic has one message here.

use std::borrow::Cow;
use std::io::Read as _;

use super::super::DecodeError;
use crate::domain::record::RECORD_LIMIT;

/// The first byte of Confluent's frame with the number of a schema, and of Apicurio's.
const MAGIC: u8 = 0;
/// The first byte of Confluent's frame with the GUID of a schema.
const GUID_MAGIC: u8 = 1;
/// The first byte of AWS Glue's frame: the version of its header.
const GLUE_MAGIC: u8 = 3;
/// The second byte of AWS Glue's frame, if the payload is as it is.
const GLUE_PLAIN: u8 = 0;
/// The second byte of AWS Glue's frame, if the payload is compressed with zlib.
const GLUE_ZLIB: u8 = 5;

/// The frames that a value may begin with, as `--framing` gives them. Neither JSON nor a protobuf message can begin with the first
/// byte of any frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Every frame is taken that can be nothing else.
    #[default]
    Auto,
    /// A value that begins with 0 or 1 has Confluent's frame.
    Confluent,
    /// A value that begins with 3 has AWS Glue's frame.
    Glue,
    /// A value that begins with 0 has Apicurio's frame.
    Apicurio,
    /// No value has a frame.
    None,
}

/// A frame around a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Confluent's: the byte 0 and the number of a schema in 4 bytes.
    Confluent,
    /// Confluent's with the byte 1 and the GUID of a schema in 16 bytes.
    ConfluentGuid,
    /// AWS Glue's: the byte 3, the compression, and the id of a schema version in 16 bytes.
    Glue,
    /// Apicurio's: the byte 0 and the id of a schema in 8 bytes.
    Apicurio,
}

impl Frame {
    /// Determines the frame of a value; `None` if it has none.
    pub fn of(value: &[u8], framing: Framing) -> Option<Frame> {
        let is_of = |frame| framing == frame || framing == Framing::Auto;
        match value {
            // Two zeros after the number of a schema begin no payload of Confluent's: they are of an id with 8 bytes.
            [MAGIC, 0, 0, 0, 0, 0, 0, ..] if framing == Framing::Auto => Some(Frame::Apicurio),
            [MAGIC, ..] if is_of(Framing::Confluent) => Some(Frame::Confluent),
            [MAGIC, ..] if framing == Framing::Apicurio => Some(Frame::Apicurio),
            [GUID_MAGIC, ..] if is_of(Framing::Confluent) => Some(Frame::ConfluentGuid),
            [GLUE_MAGIC, GLUE_PLAIN | GLUE_ZLIB, ..] if framing == Framing::Auto => Some(Frame::Glue),
            [GLUE_MAGIC, ..] if framing == Framing::Glue => Some(Frame::Glue),
            _ => None,
        }
    }

    /// The name of the frame, as the rest of a sentence that begins with "the payload is not".
    pub fn name(self) -> &'static str {
        match self {
            Frame::Confluent | Frame::ConfluentGuid => "in the Confluent wire format",
            Frame::Glue => "in AWS Glue's wire format",
            Frame::Apicurio => "in Apicurio's wire format",
        }
    }

    /// Returns true if the frame says that the payload is compressed.
    pub fn is_compressed(self, value: &[u8]) -> bool {
        self == Frame::Glue && value.get(1) == Some(&GLUE_ZLIB)
    }

    /// Number of bytes before the payload.
    const fn header_len(self) -> usize {
        match self {
            Frame::Confluent => 1 + 4,
            Frame::ConfluentGuid => 1 + 16,
            Frame::Glue => 2 + 16,
            Frame::Apicurio => 1 + 8,
        }
    }

    /// Returns the payload of a value that has this frame.
    pub fn payload(self, value: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
        let refused = |reason: String| DecodeError::payload(self.name(), reason);
        let payload = value.get(self.header_len()..).filter(|payload| !payload.is_empty());
        let payload =
            payload.ok_or_else(|| refused(format!("it ends within its header of {} bytes", self.header_len())))?;
        match (self, value[1]) {
            _ if self.is_compressed(value) => inflate(payload).map(Cow::Owned),
            (Frame::Glue, other) if other != GLUE_PLAIN => {
                Err(refused(format!("its compression is {other}, which is neither none (0) nor zlib (5)")))
            }
            _ => Ok(Cow::Borrowed(payload)),
        }
    }

    /// Returns the number of bytes before the message with which a protobuf payload in this frame names its type.
    pub fn type_len(self, payload: &[u8]) -> Result<usize, DecodeError> {
        let len = match self {
            Frame::Confluent | Frame::ConfluentGuid => {
                type_reference_len(payload).or_else(|| message_indexes_len(payload))
            }
            // A message begins with no zero. The index is one of AWS Glue's own.
            Frame::Glue => after(payload, |rest| prost::encoding::decode_varint(rest).ok().map(drop)),
            Frame::Apicurio => match type_reference_len(payload) {
                Some(len) => Some(len),
                None if payload.first() == Some(&0) => message_indexes_len(payload),
                None => Some(0),
            },
        };
        len.ok_or_else(|| DecodeError::payload(self.name(), "its message indexes are cut short or out of range"))
    }
}

fn inflate(compressed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut payload = Vec::new();
    let limit = RECORD_LIMIT as u64 + 1;
    match flate2::read::ZlibDecoder::new(compressed).take(limit).read_to_end(&mut payload) {
        Err(error) => Err(DecodeError::payload("zlib data, which its frame says it is", error.to_string())),
        Ok(_) if payload.len() > RECORD_LIMIT => Err(DecodeError::TooLarge(payload.len() as u64)),
        Ok(0) => Err(DecodeError::EmptyValue),
        Ok(_) => Ok(payload),
    }
}

/// Returns the length of the reference to a type with which Apicurio's payloads may begin: a message with the type's name as its
/// field 1, after the message's length. No message of the contract begins so.
pub fn type_reference_len(payload: &[u8]) -> Option<usize> {
    let [len, 0x0a, name_len, rest @ ..] = payload else { return None };
    let name = rest.get(..usize::from(*name_len))?;
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let is_reference = *len < 0x80 && *name_len > 0 && *len == name_len.saturating_add(2) && is_name;
    is_reference.then(|| 1 + usize::from(*len))
}

/// Returns the length of Confluent's path to a message type: a count and as many indexes, all zigzag varints.
fn message_indexes_len(payload: &[u8]) -> Option<usize> {
    after(payload, |rest| {
        let count = read_zigzag(rest).filter(|count| (0..=64).contains(count))?;
        (0..count).try_for_each(|_| read_zigzag(rest).filter(|index| *index >= 0).map(drop))
    })
}

/// Returns the number of bytes that `read` has read.
fn after(payload: &[u8], read: impl FnOnce(&mut &[u8]) -> Option<()>) -> Option<usize> {
    let mut rest = payload;
    read(&mut rest)?;
    Some(payload.len() - rest.len())
}

fn read_zigzag(rest: &mut &[u8]) -> Option<i64> {
    let raw = prost::encoding::decode_varint(rest).ok()?;
    i64::try_from(raw >> 1).ok().map(|half| if raw & 1 == 0 { half } else { -half - 1 })
}
