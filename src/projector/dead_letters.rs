//! Dead letters: records that could not be understood, as they are kept and logged.

use std::collections::BTreeMap;
use std::time::Instant;

use super::finding_throttle::FindingThrottle;
use crate::codec::DecodeError;
use crate::domain::dead_letter::{HEADERS_LIMIT, KEY_LIMIT, VALUE_LIMIT};
use crate::domain::record::Header;
use crate::domain::{DeadLetter, PartitionOffset, Record, Topic};
use crate::source::TopicNames;

/// The message of a line about a dead letter.
const KEPT: &str = "a record could not be understood; it is kept as a dead letter";

/// The most kinds of reasons that are logged apart.
const KINDS_MAX: usize = 200;

/// Makes the dead letter of a record whose value has `value_len` bytes.
pub fn of(record: &Record<'_>, value_len: u64, error: &DecodeError) -> DeadLetter {
    let head = |bytes: Option<&[u8]>, limit: usize| bytes.map(|bytes| bytes[..bytes.len().min(limit)].to_vec());
    DeadLetter {
        position: record.position,
        timestamp_millis: record.timestamp_millis,
        key: head(record.key, KEY_LIMIT),
        headers: beginning(&record.headers),
        value: head(record.value, VALUE_LIMIT),
        value_len,
        reason: error.to_string(),
    }
}

/// Returns as many of the headers as are kept. The first that does not fit is cut, by which [`DeadLetter::is_whole`] knows that some are
/// missing.
fn beginning(headers: &[Header<'_>]) -> Vec<(String, Option<Vec<u8>>)> {
    let (mut kept, mut room) = (Vec::new(), HEADERS_LIMIT);
    for (name, value) in headers {
        if room == 0 {
            break;
        }
        let is_cut = name.len() > room;
        let name = &name[..name.floor_char_boundary(room)];
        room -= name.len();
        let value = value.map(|value| &value[..value.len().min(room)]);
        room -= value.map_or(0, <[u8]>::len);
        kept.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        if is_cut {
            break;
        }
    }
    kept
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TopicPartition;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        // The headers decide what a record is decoded as.
        #[test]
        fn a_letter_is_whole_only_if_all_of_its_headers_are_kept(
            headers in proptest::collection::vec((".{0,6}", proptest::option::of(0..40_000_usize)), 0..8),
            long_name in proptest::option::of(60_000..70_000_usize),
        ) {
            let mut owned: Vec<(String, Option<Vec<u8>>)> =
                headers.into_iter().map(|(name, len)| (name, len.map(|len| vec![b'x'; len]))).collect();
            owned.extend(long_name.map(|len| ("ü".repeat(len / 2), None)));
            let headers: Vec<Header<'_>> = owned.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let position = TopicPartition::new(Topic::Jobs, 0).at(1);
            let record = Record { position, timestamp_millis: None, key: None, value: Some(b"{"), headers };
            let letter = of(&record, 1, &DecodeError::EmptyValue);
            let size: usize = letter.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum();
            prop_assert!(size <= HEADERS_LIMIT);
            prop_assert!(!letter.is_whole() || letter.headers == owned);
            let all: usize = owned.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum();
            prop_assert!(letter.is_whole() || all >= HEADERS_LIMIT - 3);
        }
    }
}
