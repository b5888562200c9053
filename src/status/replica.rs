//! The topic of views that a replica is made of: how far its marks are, and what could not be shown of it.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

/// The source of a replica's views, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaReport {
    /// The name of the topic of views.
    pub topic: String,
    /// Number of partitions of the topic; 0 until it has been found.
    pub partitions: i32,
    /// The time at which the mark was written that every partition has come to, RFC 3339; `null` if there is none.
    pub marked_at: Option<String>,
    /// The positions that this mark covers, by the topics' names that events are read from.
    pub marked_positions: Option<BTreeMap<String, i64>>,
    /// The greatest version before this mark.
    pub version: Option<u64>,
    /// The id of the publisher that wrote this mark.
    pub publisher: Option<String>,
    /// The time at which everything that the topics of events held is in the views, RFC 3339; `null` if it is not known.
    pub as_of: Option<String>,
    /// Number of ids whose last record could not be shown.
    pub unreadable_views: u64,
    /// The first of these.
    pub unreadable: Vec<UnreadableView>,
    /// The moment of `as_of`, which the age of the views is counted from.
    #[serde(skip)]
    pub as_of_instant: Option<Instant>,
}

/// An id whose last record could not be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableView {
    /// The key of the record.
    pub id: String,
    /// The partition of the topic of views.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The reason, as the end of a sentence.
    pub reason: String,
}
