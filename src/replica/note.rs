//! The note that a replica leaves in its store of how far it is. It is written once all before it is on the disk, and is never ahead of
//! the views; they may be ahead of it after a crash, and what is read again changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::marks::Marks;
use crate::domain::TopicId;

/// The most records that could not be read of which the place and the reason are kept.
const UNREADABLE_MAX: usize = 1_000;

/// The record of a topic that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableRecord {
    /// The partition of the topic of views.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The reason, as the end of a sentence.
    pub reason: String,
}

/// The note of how far a replica is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaNote {
    /// The name of the topic of views.
    pub topic: String,
    /// The id of the cluster that the topic was read from; `None` if the brokers give none.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// The id of the topic that was read; `None` if the brokers give none.
    pub topic_id: Option<TopicId>,
    /// Number of partitions of the topic. With more of them, ids move to others.
    pub partitions: i32,
    /// The next offset to be read of each partition; empty before any is.
    pub next: BTreeMap<i32, i64>,
    /// The greatest version that was read of each partition.
    pub versions: BTreeMap<i32, u64>,
    /// The last marks.
    pub marks: Marks,
    /// A position that no view of the store is beyond which was written before the note, as a text.
    pub bound: String,
    /// The last time, in milliseconds since 1970, of which it is known that everything was read that the topic held then; `None` if there is
    /// none.
    pub complete_at_millis: Option<i64>,
    /// The ids whose last record could not be read, each with that.
    pub unreadable: BTreeMap<String, UnreadableRecord>,
    /// Number of records that could not be read beside those.
    pub more_unreadable: u64,
}

impl ReplicaNote {
    /// Makes the note of a replica that has read nothing yet.
    pub fn new(topic: &str) -> ReplicaNote {
        ReplicaNote { topic: topic.to_owned(), ..ReplicaNote::default() }
    }

    /// Encodes the note.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Decodes a note; `None` if it is none that this version understands.
    pub fn decode(bytes: &[u8]) -> Option<ReplicaNote> {
        serde_json::from_slice(bytes).ok()
    }

    /// Takes note of a record that could not be read, or that one of the same key can be (`None`).
    pub fn set_unreadable(&mut self, key: &str, record: Option<UnreadableRecord>) {
        match record {
            None => drop(self.unreadable.remove(key)),
            Some(record) if self.unreadable.len() < UNREADABLE_MAX || self.unreadable.contains_key(key) => {
                self.unreadable.insert(key.to_owned(), record);
            }
            Some(_) => self.more_unreadable += 1,
        }
    }

    /// Number of records that could not be read, and that no later one of their key has replaced.
    pub fn unreadable_count(&self) -> u64 {
        self.unreadable.len() as u64 + self.more_unreadable
    }
}
