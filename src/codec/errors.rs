//! The errors of decoding. Each names the part of the record that is at fault, and what is wrong with it.

use crate::domain::Topic;
use crate::domain::record::RECORD_LIMIT;

/// The name by which reasons call the alternatives of a message of which exactly one is set.
pub const EVENT_FIELD: &str = "event";

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
        "{place} says `{declared}`, which is a message of {stream}, and this topic was given as the one of \
         {topic}: is --topic-{topic} right?"
    )]
    OtherStream {
        /// The place in which the type is declared, as the beginning of a sentence.
        place: &'static str,
        /// The type that is declared.
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
    pub(super) fn field(field: impl Into<String>, reason: impl Into<String>) -> DecodeError {
        DecodeError::Field { field: shortened(field.into()), reason: shortened(reason.into()) }
    }

    pub(super) fn payload(encoding: &'static str, reason: impl Into<String>) -> DecodeError {
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
