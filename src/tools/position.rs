//! The position of a store, which the process that serves it tells a check beside it: nobody else may open its database.

use serde::{Deserialize, Serialize};

use super::context::{ToolContext, ToolOutcome};
use crate::domain::NamedPartition;
use crate::store::{Checkpoint, PartitionCheckpoint};

/// The position of a store, and what its offsets mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePosition {
    /// The names of the topics that it is built from, in the order of `Topic::ALL`, if they are known.
    pub topics: Option<[String; 3]>,
    /// The id of the cluster that it is built from, if it is known.
    pub cluster: Option<String>,
    /// The partitions of the checkpoint on the disk.
    partitions: Vec<ReadPartition>,
}

/// One partition of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReadPartition {
    topic: String,
    partition: i32,
    next_offset: i64,
    topic_id: Option<String>,
}

impl StorePosition {
    /// Returns the checkpoint without its anchors.
    pub fn checkpoint(&self) -> Checkpoint {
        let entries = self.partitions.iter().map(|held| {
            let topic_id = held.topic_id.as_ref().and_then(|id| id.parse().ok());
            let entry = PartitionCheckpoint { next_offset: held.next_offset, anchor: None, topic_id };
            (NamedPartition::new(held.topic.clone(), held.partition), entry)
        });
        entries.collect()
    }
}

pub fn position(access: &ToolContext) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    let partitions = reader.checkpoint()?.into_iter().map(|(name, held)| ReadPartition {
        topic: name.topic,
        partition: name.partition,
        next_offset: held.next_offset,
        topic_id: held.topic_id.map(|id| id.to_string()),
    });
    let partitions = partitions.collect();
    ToolOutcome::new(&StorePosition { topics: reader.topics()?, cluster: reader.cluster()?, partitions })
}
