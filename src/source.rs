//! The sources of records, archives and Kafka, and the writers that put records there.

pub mod archive;
mod continuity;
pub mod kafka;
mod letter_headers;
mod letter_outlet;
mod observation;
mod read_deadline;
pub(crate) mod remedies;
mod stop_reason;
mod topic_names;
pub mod views_feed;
pub mod views_topic;

use std::time::Duration;

pub use crate::domain::TopicId;
use crate::domain::{PartitionOffset, Record, TopicPartition};
pub(crate) use continuity::Continuity;
pub use letter_headers::{OutgoingLetter, returned_letter};
pub use letter_outlet::{Acknowledgments, LetterInbox, LetterOutlet, letter_outlet};
pub use observation::{ClusterHealth, PartitionObservation, StandingError};
pub(crate) use read_deadline::{ReadDeadline, ReadTimeout, trouble};
pub use stop_reason::{StopCode, StopReason};
pub use topic_names::TopicNames;

/// An item that a source delivers.
pub enum SourceEvent {
    /// A partition that was not known before. Nothing is read of it until it is assigned.
    Found {
        /// The partition.
        partition: TopicPartition,
        /// The bounds of the partition as it was found.
        watermarks: Watermarks,
    },
    /// The next records of a partition.
    Records(Box<dyn Records>),
    /// The partition has been read up to `position`, its end. Offsets before it that were not delivered hold no
    /// records: they are transaction markers, or records of aborted transactions.
    Ended {
        /// The partition that ends.
        partition: TopicPartition,
        /// The next offset to be read.
        position: i64,
    },
    /// The partition cannot be read any further without skipping a record.
    Failed {
        /// The partition that failed.
        partition: TopicPartition,
        /// The reason, with what to do about it.
        reason: StopReason,
    },
}

/// One or more consecutive records of one partition.
#[expect(clippy::len_without_is_empty, reason = "there is at least one")]
pub trait Records: Send {
    /// Returns the number of records, at least 1.
    fn len(&self) -> usize;

    /// # Panics
    /// Panics if `at` is not less than [`Records::len`].
    fn record(&self, at: usize) -> Record<'_>;

    /// Number of bytes that the value of record `at` had before it was cut short because its batch was too large;
    /// `None` if the value is whole.
    ///
    /// # Panics
    /// Panics if `at` is not less than [`Records::len`].
    fn cut_from(&self, _at: usize) -> Option<u64> {
        None
    }
}

/// The bounds of a partition for a reader: the offset of the oldest record, and one past the newest readable
/// offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The offset of the oldest record; equal to `high` if there is none.
    pub low: i64,
    /// One past the newest offset that can be read.
    pub high: i64,
}

/// Returns the message that refuses topics of another cluster than the one that the store was built from: offsets
/// mean nothing there.
pub fn other_cluster(built_from: &str, found: &str) -> String {
    format!(
        "the store was built from the Kafka cluster {built_from}, and the brokers are of the cluster {found}: correct \
         --brokers; or give another --data-dir, where the views are built from the topics of {found}"
    )
}

/// A source delivers the records of each partition in order. It reads the partitions in step, by the timestamps of
/// those records that have been fetched.
pub trait Source {
    /// Passes at most one batch of events to `take`. If there are none, waits for up to `wait`. Returns true if it has given as much as one
    /// poll may give, so that more may be there.
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool;

    /// Reads no records for the time `wait`, but goes on receiving watermarks and errors.
    fn rest(&mut self, wait: Duration) {
        std::thread::sleep(wait);
    }

    /// Begins to read at `offset` a partition that was found before.
    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason>;

    /// Ends the reading of a partition.
    fn stop(&mut self, partition: TopicPartition);

    /// Returns the partition's bounds as last received.
    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks>;

    /// Returns the current error that keeps the source from reading. The source retries by itself.
    fn trouble(&self) -> Option<String>;

    /// Returns true once the partitions of all topics have been found and delivered.
    fn is_complete(&self) -> bool;

    /// Returns the id of the cluster that the partitions belong to, if known.
    fn cluster_id(&self) -> Option<String> {
        None
    }

    /// Returns the cluster's last answer about a partition; `None` before the first answer.
    fn observation(&self, _partition: TopicPartition) -> Option<PartitionObservation> {
        None
    }

    /// Returns the current error that keeps one partition from being read. The source retries by itself.
    fn partition_error(&self, _partition: TopicPartition) -> Option<StandingError> {
        None
    }

    /// Returns the state of the connection to the cluster.
    fn cluster_health(&self) -> ClusterHealth {
        ClusterHealth::default()
    }

    /// Publishes the next offset of each partition to the consumer group, for lag tools. It is never read back.
    fn publish(&mut self, offsets: &[PartitionOffset]);
}
