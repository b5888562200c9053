//! Dead letters: records that could not be understood, as they are kept and logged.

use crate::codec::DecodeError;
use crate::domain::dead_letter::{HEADERS_LIMIT, KEY_LIMIT, VALUE_LIMIT};
use crate::domain::{DeadLetter, Record};
use crate::source::TopicNames;

/// Makes the dead letter of a record whose value has `value_len` bytes.
pub fn of(record: &Record<'_>, value_len: u64, error: &DecodeError) -> DeadLetter {
    let head = |bytes: Option<&[u8]>, limit: usize| bytes.map(|bytes| bytes[..bytes.len().min(limit)].to_vec());
    let mut room = HEADERS_LIMIT;
    let headers = record.headers.iter().take_while(|(name, value)| {
        let len = name.len() + value.map_or(0, <[u8]>::len);
        let fits = len <= room;
        room = room.saturating_sub(len);
        fits
    });
    DeadLetter {
        position: record.position,
        timestamp_millis: record.timestamp_millis,
        key: head(record.key, KEY_LIMIT),
        headers: headers.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        value: head(record.value, VALUE_LIMIT),
        value_len,
        reason: error.to_string(),
    }
}

/// Logs a dead letter with its position.
pub fn log(dead_letter: &DeadLetter, topics: &TopicNames) {
    let DeadLetter { position, reason, .. } = dead_letter;
    tracing::warn!(
        topic = topics.get(position.topic),
        partition = position.partition,
        offset = position.offset,
        reason,
        "a record could not be understood; it is kept as a dead letter"
    );
}
