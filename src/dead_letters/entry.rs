//! One dead letter in a list, and the pages of such a list.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::domain::{DeadLetter, NamedPartition, PartitionOffset, Topic};
use crate::source::TopicNames;
use crate::store::{Reader, StoreError};

/// About how many bytes of letters a page is made of.
const PAGE_BYTES: usize = 8 << 20;
/// The most bytes of a key that are shown, which are those of the longest id.
const KEY_SHOWN: usize = 1_024;
/// Number of letters that are looked through at once.
const READ_LETTERS: usize = 256;
/// The most letters that are looked through for a page, so that no page takes long.
const LOOKED_THROUGH_MAX: usize = 20_000;

/// A dead letter without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterEntry {
    /// The id of the letter: its position, as `TOPIC/PARTITION@OFFSET`.
    pub id: String,
    /// The topic's name in the cluster.
    pub topic: String,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The record's timestamp, RFC 3339; `null` if it has none.
    pub time: Option<String>,
    /// The first 1 KiB of the record's key, where it is not UTF-8 with replacement characters; `null` for a null key.
    pub key: Option<String>,
    /// The kind of the reason, which letters of one cause have in common.
    pub kind: String,
    /// The field that could not be decoded, and the reason.
    pub reason: String,
    /// Number of bytes of the record's value.
    pub value_bytes: u64,
    /// True if all of the record is kept, so that it can be decoded again.
    pub whole: bool,
}

/// One page of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// Number of dead letters in the store, whatever was asked for.
    pub total: u64,
    /// Number of dead letters of which only this count is left.
    pub replaced: u64,
    /// The letters of the page, in the order of stream, partition and offset.
    pub dead_letters: Vec<DeadLetterEntry>,
    /// The value of `after` that gives the next page; `null` at the end.
    pub next: Option<String>,
}

/// A request for a page of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The most letters of the page.
    pub limit: usize,
    /// The position after which the page begins.
    pub after: Option<PartitionOffset>,
    /// The stream of the letters; `None` for all.
    pub topic: Option<Topic>,
    /// A text that their reasons contain, or the kinds of these.
    pub reason: Option<String>,
}

impl DeadLetterEntry {
    /// Returns what a list shows of a letter.
    pub fn of(letter: &DeadLetter, topics: &TopicNames) -> DeadLetterEntry {
        let PartitionOffset { topic, partition, offset } = letter.position;
        DeadLetterEntry {
            id: topics.offset(letter.position),
            topic: topics.get(topic).to_owned(),
            partition,
            offset,
            time: letter.timestamp_millis.and_then(time_text),
            key: letter
                .key
                .as_ref()
                .map(|key| String::from_utf8_lossy(&key[..key.len().min(KEY_SHOWN)]).into_owned()),
            kind: letter.kind(),
            reason: letter.reason.clone(),
            value_bytes: letter.value_len,
            whole: letter.is_whole(),
        }
    }
}

/// Formats a record's timestamp. Returns `None` if it is beyond what can be written.
pub(super) fn time_text(millis: i64) -> Option<String> {
    Some(DateTime::from_timestamp_millis(millis)?.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads a letter's id, `TOPIC/PARTITION@OFFSET`. Returns `None` if the text is none, or the topic is none of these.
pub fn parse_id(id: &str, topics: &TopicNames) -> Option<PartitionOffset> {
    let (partition, offset) = id.rsplit_once('@')?;
    let (topic, number) = partition.rsplit_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(number) || !is_number(offset) {
        return None;
    }
    let partition = topics.partition_of(&NamedPartition::new(topic, number.parse().ok()?))?;
    Some(partition.at(offset.parse().ok()?))
}

/// Returns a page of dead letters. `total` is the number of all that the store has.
///
/// # Errors
/// The store's.
pub fn page(
    reader: &Reader,
    topics: &TopicNames,
    request: &PageRequest,
    total: u64,
) -> Result<DeadLetterPage, StoreError> {
    let replaced = reader.replaced_letters()?.counts.iter().sum();
    let (mut entries, mut after, mut looked_through, mut is_end) = (Vec::new(), request.after, 0, false);
    while entries.len() < request.limit && looked_through < LOOKED_THROUGH_MAX {
        let count = if request.is_filtered() { READ_LETTERS } else { request.limit - entries.len() };
        let letters = reader.dead_letters_after(after, count.min(READ_LETTERS), PAGE_BYTES)?;
        is_end = letters.is_empty();
        if is_end {
            break;
        }
        for letter in letters {
            if entries.len() == request.limit {
                break;
            }
            looked_through += 1;
            after = Some(letter.position);
            if request.has(&letter) {
                entries.push(DeadLetterEntry::of(&letter, topics));
            }
        }
    }
    let is_end = is_end || reader.dead_letters_after(after, 1, 1)?.is_empty();
    let next = after.filter(|_| !is_end).map(|after| topics.offset(after));
    Ok(DeadLetterPage { total, replaced, dead_letters: entries, next })
}

impl PageRequest {
    fn is_filtered(&self) -> bool {
        self.topic.is_some() || self.reason.is_some()
    }

    fn has(&self, letter: &DeadLetter) -> bool {
        self.topic.is_none_or(|topic| letter.position.topic == topic)
            && self.reason.as_ref().is_none_or(|text| letter.has_reason(text))
    }
}
