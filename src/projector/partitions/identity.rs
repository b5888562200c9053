//! The identity of a partition: whether it still is the one that the store was built from. The topic's id decides if it is known
//! on both sides, and else the record that was read last.

use std::time::Instant;

use super::{PartitionProgress, Partitions};
use crate::domain::{NamedPartition, TopicPartition};
use crate::source::PartitionObservation;

impl Partitions {
    /// Compares each partition with the cluster's last answer about it. A partition that is another topic's now, or shorter than
    /// what was read of it, stops for good.
    pub fn compare(&mut self, observe: impl Fn(TopicPartition) -> Option<PartitionObservation>, now: Instant) {
        let mut gaps = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.stopped.is_none()) {
            let Some(observed) = observe(held.partition) else { continue };
            if held.expected.is_none() {
                held.continuity.adopt(observed.topic_id);
            }
            if let Err(gap) = held.continuity.compare(held.next_offset, &observed, now) {
                gaps.push((held.partition, gap));
            }
        }
        for (partition, gap) in gaps {
            self.fail(partition, gap.into());
        }
    }
}

impl PartitionProgress {
    /// Takes note that the record that was read last is no longer there to be compared. Nothing else can prove the topic if its id
    /// is not known on both sides.
    pub(super) fn note_no_anchor(&mut self, name: &NamedPartition) {
        if let Some(anchor) = self.expected.take()
            && !self.is_proven
        {
            tracing::warn!(
                "{name}: the record at {}, which was read last before the start, is no longer there, and the topic's id is \
                 not known from then or not known now: nothing proves that the topic was not created again since. If it \
                 was, build anew: optview rebuild",
                anchor.offset
            );
        }
    }
}
