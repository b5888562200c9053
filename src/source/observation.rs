//! What the cluster itself says of the topics and their partitions. A client of its own asks, apart from the consumer that
//! reads: a consumer may be deaf, or believe an older topic's offsets, and its own word proves nothing then.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::domain::TopicId;

/// The cluster's last answer about one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionObservation {
    /// `None` where the brokers do not give ids.
    pub topic_id: Option<TopicId>,
    /// The offset of the oldest record.
    pub low: i64,
    /// The last stable offset: one past the newest offset that a reader of committed records may pass.
    pub last_stable: i64,
    /// One past the newest offset, those of open transactions included.
    pub high: i64,
    /// When the request was sent that this answers. What was appended before that is covered.
    pub asked_at: Instant,
}

/// An error that stands: it was told, and nothing has shown since that it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingError {
    /// librdkafka's name of the error, as `TopicAuthorizationFailed`: one word, fit for a metric's label.
    pub code: String,
    /// What to show to a person.
    pub text: String,
    pub since: DateTime<Utc>,
}

/// How the source's connection to the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterHealth {
    /// When the cluster last answered a request of the client that observes it; `None`: never yet.
    pub last_answer: Option<Instant>,
    /// What keeps the cluster from answering.
    pub error: Option<StandingError>,
    /// How often the reading client was replaced because it had gone deaf, and when last.
    pub renewals: u64,
    pub last_renewal: Option<DateTime<Utc>>,
}
