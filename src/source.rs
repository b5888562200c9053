//! Where records come from, and, for trials, where they are put.

pub mod archive;
mod continuity;
pub mod kafka;
mod observation;
mod read_deadline;
pub mod remedies;
mod stop_reason;
mod topics;

use std::time::Duration;

pub use crate::domain::TopicId;
use crate::domain::{Record, Topic};
pub use continuity::Continuity;
pub use observation::{ClusterHealth, PartitionObservation, StandingError};
pub use read_deadline::{Overdue, ReadDeadline, trouble};
pub use stop_reason::{StopCode, StopReason};
pub use topics::TopicNames;

/// What a source has to tell.
pub enum Polled {
    /// A partition that was not known before. Nothing is read of it until it is assigned.
    Found { topic: Topic, partition: i32, watermarks: Watermarks },
    /// The next records of a partition.
    Records(Box<dyn Records>),
    /// The partition has been read up to `position`, where it ends. Offsets before it that were not given are no records:
    /// they are markers of transactions, or records of aborted ones.
    Ended { topic: Topic, partition: i32, position: i64 },
    /// The partition cannot be read any further without skipping something.
    Failed { topic: Topic, partition: i32, reason: StopReason },
}

/// Records of one partition, one after another, at least one.
#[expect(clippy::len_without_is_empty, reason = "there is at least one")]
pub trait Records: Send {
    fn len(&self) -> usize;

    /// # Panics
    /// Where `at` is not less than [`Records::len`].
    fn record(&self, at: usize) -> Record<'_>;

    /// How many bytes the value of a record had that is given cut short, since its batch is too large; `None` where it is
    /// whole.
    ///
    /// # Panics
    /// As [`Records::record`].
    fn cut_from(&self, _at: usize) -> Option<u64> {
        None
    }
}

/// Offsets: of the oldest record, and one past the newest that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: i64,
    pub high: i64,
}

/// Why topics are not read that are another cluster's than those that a store was built from: offsets mean nothing there.
pub fn other_cluster(built_from: &str, found: &str) -> String {
    format!(
        "the store was built from the Kafka cluster {built_from}, and the brokers are of the cluster {found}: correct \
         --brokers; or give another --data-dir, where the views are built from the topics of {found}"
    )
}

/// Gives the records of each partition in order. The partitions are read in step, by the time of their records, as far
/// as records are at hand.
pub trait Source {
    /// Gives what there is, at most a batch. Where there is nothing, waits for it, at most for `wait`.
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(Polled));

    /// Reads nothing for so long, but hears what else there is to know: watermarks, and trouble.
    fn rest(&mut self, wait: Duration) {
        std::thread::sleep(wait);
    }

    /// Begins to read a partition that was found, at `offset`.
    fn assign(&mut self, topic: Topic, partition: i32, offset: i64) -> Result<(), StopReason>;

    /// Reads no more of a partition.
    fn stop(&mut self, topic: Topic, partition: i32);

    /// As last heard.
    fn watermarks(&self, topic: Topic, partition: i32) -> Option<Watermarks>;

    /// What keeps the source from reading, as far as it will be tried again by itself.
    fn trouble(&self) -> Option<String>;

    /// Whether the partitions of all topics have been found and given.
    fn is_complete(&self) -> bool;

    /// Which cluster the partitions that were found are of, where that is known of it.
    fn cluster_id(&self) -> Option<String> {
        None
    }

    /// The cluster's own last word about a partition; `None` where it has not been asked, or has not answered yet.
    fn observation(&self, _topic: Topic, _partition: i32) -> Option<PartitionObservation> {
        None
    }

    /// What keeps one partition from being read, as far as it will be tried again by itself.
    fn partition_error(&self, _topic: Topic, _partition: i32) -> Option<StandingError> {
        None
    }

    /// How the connection to the cluster is.
    fn cluster_health(&self) -> ClusterHealth {
        ClusterHealth::default()
    }

    /// Tells the outside how far has been read. Never read back.
    fn publish(&mut self, offsets: &[(Topic, i32, i64)]);
}
