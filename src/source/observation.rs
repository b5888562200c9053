//! The cluster's own answers about the topics and their partitions. A separate client asks, because the consumer
//! that reads may be deaf or believe an older topic's offsets, so that its word proves nothing.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::domain::TopicId;

/// The cluster's last answer about one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionObservation {
    /// The id of the topic; `None` if the brokers do not give ids.
    pub topic_id: Option<TopicId>,
    /// The offset of the oldest record.
    pub low: i64,
    /// The last stable offset: one past the newest offset that a reader of committed records may pass.
    pub last_stable: i64,
    /// One past the newest offset, open transactions included.
    pub high: i64,
    /// The time at which the answered request was sent. The answer covers records that were appended before it.
    pub asked_at: Instant,
}

/// An error that was reported and that nothing has disproved since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingError {
    /// librdkafka's name of the error, as `TopicAuthorizationFailed`: one word, fit for a metric's label.
    pub code: String,
    /// The message for people.
    pub text: String,
    /// The time at which the error was first reported without having been disproved since.
    pub since: DateTime<Utc>,
}

/// The state of a source's connection to the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterHealth {
    /// Time of the last answer to the client that observes the cluster; `None` before the first answer.
    pub last_answer: Option<Instant>,
    /// The current error that keeps the cluster from answering.
    pub error: Option<StandingError>,
    /// Number of times that the reading client was replaced because it had gone deaf.
    pub renewals: u64,
    /// Time of the last such replacement; `None` if there was none.
    pub last_renewal: Option<DateTime<Utc>>,
}
