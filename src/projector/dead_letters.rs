//! Dead letters: records that could not be understood, as they are kept and logged.

use std::collections::BTreeMap;
use std::time::Instant;

use super::finding_throttle::FindingThrottle;
use crate::codec::DecodeError;
use crate::domain::dead_letter::{HEADERS_LIMIT, KEY_LIMIT, VALUE_LIMIT};
use crate::domain::{DeadLetter, PartitionOffset, Record, Topic};
use crate::source::TopicNames;

/// The message of a line about a dead letter.
const KEPT: &str = "a record could not be understood; it is kept as a dead letter";

/// The most kinds of reasons that are logged apart.
const KINDS_MAX: usize = 200;

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

/// The log of dead letters: the first of each kind in each topic, and then one a minute with the number of those between. At the
/// level `debug` it has each.
#[derive(Default)]
pub struct DeadLetterLog {
    kinds: BTreeMap<(Topic, String), FindingThrottle>,
}

impl DeadLetterLog {
    /// Logs a dead letter with its position, unless one of its kind was just logged.
    pub fn log(&mut self, dead_letter: &DeadLetter, topics: &TopicNames, now: Instant) {
        let mut kind = (dead_letter.position.topic, dead_letter.kind());
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            kind.1.clear();
        }
        let DeadLetter { position, reason, .. } = dead_letter;
        let (topic, PartitionOffset { partition, offset, .. }) = (topics.get(position.topic), *position);
        match self.kinds.entry(kind).or_default().is_due(now) {
            Some(0) => {
                tracing::warn!(topic, partition, offset, reason, "{KEPT}");
            }
            Some(left_out) => {
                tracing::warn!(topic, partition, offset, reason, more_of_this_kind = left_out, "{KEPT}");
            }
            None => tracing::debug!(topic, partition, offset, reason, "{KEPT}"),
        }
    }
}
