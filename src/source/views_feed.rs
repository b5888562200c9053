//! The topic of views as a replica reads it: from some offsets on, for as long as it runs. It never writes, and belongs to no group.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Watermarks;
use super::views_topic::{FoundRecord, ViewsTopicError};
use crate::domain::TopicId;

/// The topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundViewsTopic {
    /// The id of the cluster, if the brokers give one.
    pub cluster_id: Option<String>,
    /// The id of the topic, if the brokers give one.
    pub id: Option<TopicId>,
    /// The bounds of each partition.
    pub bounds: BTreeMap<i32, Watermarks>,
    /// The time for which the topic keeps the nulls of keys that are gone; `None` if this client may not see it.
    pub delete_retention: Option<Duration>,
}

impl FoundViewsTopic {
    /// Returns the number of partitions.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.bounds.len()).unwrap_or(i32::MAX)
    }
}

/// An item of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem<'a> {
    /// The next committed record of a partition.
    Record(FoundRecord<'a>),
    /// A partition has been read to its end, as the cluster has answered.
    End(i32),
}

/// The reason for which nothing more comes of the feed until it is begun anew. Whether an offset is gone for good, the bounds show that
/// [`ViewsFeed::find`] gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedError(pub String);

/// A topic of views that is read.
pub trait ViewsFeed: Send {
    /// Asks the cluster what the topic is. The answer is as of some moment after this call.
    fn ask(&mut self);

    /// Returns the answer to the last question, once it has come. Never waits for it.
    fn find(&mut self) -> Option<Result<FoundViewsTopic, ViewsTopicError>>;

    /// Begins to read each partition at an offset. What was read before is given up.
    ///
    /// # Errors
    /// No client can be made.
    fn begin(&mut self, from: &BTreeMap<i32, i64>) -> Result<(), FeedError>;

    /// Gives the next items, a bounded number of them. Waits for the first one, for this time at the most.
    ///
    /// # Errors
    /// The feed must be begun anew.
    fn read(&mut self, longest: Duration, take: &mut dyn FnMut(&FeedItem<'_>)) -> Result<(), FeedError>;
}
