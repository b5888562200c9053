//! The topic of views: what a publisher needs of it. Only one publisher is there at a time: whoever takes the topic over fences the
//! one before, whose records are refused from then on.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::domain::{NamedPartition, TopicId};

/// The topic as it is found when it is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewsTopicIdentity {
    /// The id of the topic, if the brokers give one.
    pub id: Option<TopicId>,
    /// Number of partitions of the topic.
    pub partitions: i32,
}

/// A record that is to be put on the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewsRecord {
    /// The partition that the record goes to.
    pub partition: i32,
    /// The key of the record.
    pub key: Vec<u8>,
    /// The value of the record; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers of the record.
    pub headers: Vec<(&'static str, Bytes)>,
}

impl ViewsRecord {
    /// Returns about how many bytes the record takes on the topic.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    }
}

/// A record that was read from the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord<'a> {
    /// The partition that holds the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The key of the record.
    pub key: &'a [u8],
    /// The value of the record; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers of the record.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl FoundRecord<'_> {
    /// Returns the value of the last header of this name, as a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(held, _)| *held == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// The reason for which something could not be done on the topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewsTopicError {
    /// Another publisher has taken the topic over.
    #[error("another publisher has taken the topic over: {0}")]
    Fenced(String),
    /// The topic is to be taken over again before anything else is put on it.
    #[error("{0}")]
    Lost(String),
    /// The topic, or the right to write to it, is not as it must be: what to do about it.
    #[error("{0}")]
    Refused(String),
    /// The brokers do not answer, or not as they should. It may pass by itself.
    #[error("{0}")]
    Unavailable(String),
}

/// The part of the topic that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanStart {
    /// All of it.
    Beginning,
    /// The last offsets of each partition, this many.
    Tail(i64),
    /// The records that follow the end of the scan before.
    Continuation,
}

/// A topic of views, by one who may publish on it.
pub trait ViewsTopic: Send {
    /// Makes the topic if it is not there, checks it, and fences every other publisher.
    ///
    /// # Errors
    /// The topic cannot be used, or no broker answers.
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError>;

    /// Begins to read the topic, up to where it ends now. Another scan that has not ended is given up.
    ///
    /// # Errors
    /// No broker answers.
    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError>;

    /// Reads the next committed records of the scan. Returns true once all have been read.
    ///
    /// # Errors
    /// No broker answers, or a record cannot be read.
    fn scan(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError>;

    /// Puts records on the topic, all or none. They are committed when this returns.
    ///
    /// # Errors
    /// Another publisher has taken over, or no broker answers, in which case the records may be on the topic or not.
    fn publish(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError>;

    /// Returns the offset at which each partition of the topics ends that the views are made from.
    ///
    /// # Errors
    /// No broker answers.
    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError>;
}

/// Returns the partition that Kafka's own clients choose for a key: the hash is murmur2, as in their default partitioner. Tables that are
/// joined by key depend on it.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions.max(1)
}

fn murmur2(key: &[u8]) -> u32 {
    const FACTOR: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Kafka allows no key that is longer.
    let mut hash = SEED ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        word = (word ^ (word >> 24)).wrapping_mul(FACTOR);
        hash = hash.wrapping_mul(FACTOR) ^ word;
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |bytes, byte| bytes << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_kafkas_clients() {
        // From the tests of Kafka's own `Utils.murmur2`.
        for (key, hash) in [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key).cast_signed(), hash, "{}", String::from_utf8_lossy(key));
            assert!((0..7).contains(&partition_of(key, 7)));
        }
    }
}
