//! Keeps what could not be understood, and says so once, with its position.

use crate::codec::DecodeError;
use crate::domain::dead_letter::VALUE_LIMIT;
use crate::domain::{DeadLetter, Record};
use crate::source::TopicNames;

pub fn of(record: &Record<'_>, error: &DecodeError) -> DeadLetter {
    DeadLetter {
        position: record.position,
        timestamp_millis: record.timestamp_millis,
        key: record.key.map(<[u8]>::to_vec),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
        value: record.value.map(|value| value[..value.len().min(VALUE_LIMIT)].to_vec()),
        value_len: record.value.map_or(0, |value| value.len() as u64),
        reason: error.to_string(),
    }
}

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
