//! The checkpoints of a projector: when the next is due, which are on their way to the disk, and which is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::NamedPartition;
use crate::store::{Checkpoint, PartitionCheckpoint};

/// The most checkpoints that are handed over and not written while more are made.
const AWAITED_MAX: usize = 8;

/// One partition's entry of a checkpoint: the topic's name and the partition's number, with what is kept of it.
pub type CheckpointEntry = (NamedPartition, PartitionCheckpoint);

/// The checkpoint on the disk, those that the writer has not written yet, and the schedule of the next.
pub struct Checkpoints {
    interval_live: Duration,
    interval_catching_up: Duration,
    last: Instant,
    written: Checkpoint,
    /// Number of checkpoints that the writer has written.
    written_count: u64,
    /// The checkpoints that were handed to the writer and are perhaps not written yet, the oldest first.
    handed_over: VecDeque<Checkpoint>,
}

impl Checkpoints {
    /// Begins with the checkpoint that the store held when it was opened.
    pub fn new(
        written: Checkpoint,
        interval_live: Duration,
        interval_catching_up: Duration,
        now: Instant,
    ) -> Checkpoints {
        Checkpoints {
            interval_live,
            interval_catching_up,
            last: now,
            written,
            written_count: 0,
            handed_over: VecDeque::new(),
        }
    }

    /// The checkpoint on the disk.
    pub fn written(&self) -> &Checkpoint {
        &self.written
    }

    /// A partition's entry in the checkpoint on the disk; `None` if nothing of it was ever read.
    pub fn of(&self, partition: &NamedPartition) -> Option<PartitionCheckpoint> {
        self.written.get(partition).copied()
    }

    /// Returns the time until the next checkpoint is due.
    pub fn due_in(&self, now: Instant, is_live: bool) -> Duration {
        let interval = if is_live { self.interval_live } else { self.interval_catching_up };
        interval.saturating_sub(now.saturating_duration_since(self.last))
    }

    /// Returns true if a checkpoint is due.
    pub fn are_due(&self, now: Instant, is_live: bool) -> bool {
        self.due_in(now, is_live).is_zero()
    }

    /// Makes the checkpoint that is to be handed to the writer now; `None` if nothing was read since the last one.
    pub fn next(&mut self, now: Instant, current: impl Iterator<Item = CheckpointEntry>) -> Option<Checkpoint> {
        self.last = now;
        let latest = self.handed_over.back().unwrap_or(&self.written);
        let mut checkpoint = latest.clone();
        checkpoint.extend(current);
        if checkpoint == *latest {
            return None;
        }
        self.handed_over.push_back(checkpoint.clone());
        Some(checkpoint)
    }

    /// Returns true if so many checkpoints were handed over and not written that no more should be. They wait for the topic of views.
    pub fn are_many_awaited(&self) -> bool {
        self.handed_over.len() >= AWAITED_MAX
    }

    /// Has the next checkpoint wait for another interval.
    pub fn postpone(&mut self, now: Instant) {
        self.last = now;
    }

    /// Returns true if a checkpoint was handed over and is not known to be written.
    pub fn are_awaited(&self) -> bool {
        !self.handed_over.is_empty()
    }

    /// Takes note that the writer has written `count` checkpoints since the start. Returns true if that is more than before.
    pub fn note_written(&mut self, count: u64) -> bool {
        let is_more = count > self.written_count;
        while self.written_count < count {
            self.written_count += 1;
            if let Some(written) = self.handed_over.pop_front() {
                self.written = written;
            }
        }
        is_more
    }
}
