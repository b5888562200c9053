//! The position that the partitions have come to, and the one that no view is beyond.

use super::{PartitionProgress, Partitions};
use crate::domain::ReadPosition;

/// The bounds between which the position of every view lies.
pub struct ViewPositions {
    /// The position that every view has come to.
    pub position: ReadPosition,
    /// A position that no view is beyond.
    pub bound: ReadPosition,
}

impl Partitions {
    /// Takes the positions, if they have changed since the last call.
    pub fn take_positions(&mut self) -> Option<ViewPositions> {
        std::mem::take(&mut self.have_moved).then(|| {
            let position = |offset: fn(&PartitionProgress) -> i64| {
                let next = self.held.iter().map(|held| (self.topics.partition(held.partition), offset(held)));
                ReadPosition::new(next.collect())
            };
            ViewPositions {
                position: position(|held| held.next_offset),
                bound: position(PartitionProgress::bound),
            }
        })
    }

    /// Returns true if every partition has passed the end that it had at the start, those that have stopped, too.
    pub fn have_passed_start(&self) -> bool {
        !self.held.is_empty() && self.held.iter().all(|held| held.caught_up)
    }
}

impl PartitionProgress {
    /// An offset that no view is beyond. Before a kill this store may have read on to where the partition ended at the start. A
    /// partition that has stopped may never come there, and what was read of it is on the disk of this store only.
    fn bound(&self) -> i64 {
        let may_be_ahead = !self.caught_up && self.stopped.is_none();
        if may_be_ahead { self.next_offset.max(self.start_high) } else { self.next_offset }
    }
}
