//! The checkpoints of a projector: when the next is due, which are on their way to the disk, and which is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::letter_gate::LetterNumbers;
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
    /// The checkpoint that waits until the dead letters up to this number are acknowledged.
    held_back: Option<(u64, Checkpoint)>,
}

/// The checkpoint that is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub enum NextCheckpoint {
    /// Nothing was read since the last one.
    Unchanged,
    /// It waits for dead letters that are not acknowledged.
    HeldBack,
    /// It is to be handed to the writer now.
    Due(Checkpoint),
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
            held_back: None,
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

    /// Makes the next checkpoint. It passes no dead letter that is not acknowledged, and one that waits stays as it is, since new
    /// letters may come all the time.
    pub fn next(
        &mut self,
        now: Instant,
        current: impl Iterator<Item = CheckpointEntry>,
        letters: LetterNumbers,
    ) -> NextCheckpoint {
        self.last = now;
        let latest = self.handed_over.back().unwrap_or(&self.written);
        let mut checkpoint = latest.clone();
        checkpoint.extend(current);
        if checkpoint == *latest {
            return NextCheckpoint::Unchanged;
        }
        if letters.waiting() > 0 {
            self.held_back.get_or_insert((letters.sent, checkpoint));
            return NextCheckpoint::HeldBack;
        }
        self.held_back = None;
        self.handed_over.push_back(checkpoint.clone());
        NextCheckpoint::Due(checkpoint)
    }

    /// Returns the checkpoint that has waited for dead letters, once they are acknowledged.
    pub fn release(&mut self, letters: LetterNumbers) -> Option<Checkpoint> {
        let (_, checkpoint) = self.held_back.take_if(|(number, _)| *number <= letters.acknowledged)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(next_offset: i64) -> [CheckpointEntry; 1] {
        [(NamedPartition::new("jobs", 0), PartitionCheckpoint { next_offset, anchor: None, topic_id: None })]
    }

    fn numbers(sent: u64, acknowledged: u64) -> LetterNumbers {
        LetterNumbers { sent, acknowledged }
    }

    #[test]
    fn a_checkpoint_waits_for_the_letters_before_it_and_for_no_later_one() {
        let now = Instant::now();
        let mut checkpoints = Checkpoints::new(Checkpoint::new(), Duration::ZERO, Duration::ZERO, now);
        assert_eq!(checkpoints.next(now, entry(5).into_iter(), numbers(3, 1)), NextCheckpoint::HeldBack);
        // More is read meanwhile, and more letters are sent.
        assert_eq!(checkpoints.next(now, entry(9).into_iter(), numbers(7, 2)), NextCheckpoint::HeldBack);
        assert_eq!(checkpoints.release(numbers(7, 2)), None);
        assert_eq!(checkpoints.release(numbers(7, 3)), Some(entry(5).into()));
        assert_eq!(checkpoints.release(numbers(7, 7)), None);
        // With nothing left to wait for, the newest is due, and the one that waited is not written after it.
        assert_eq!(checkpoints.next(now, entry(9).into_iter(), numbers(7, 6)), NextCheckpoint::HeldBack);
        let due = NextCheckpoint::Due(entry(12).into());
        assert_eq!(checkpoints.next(now, entry(12).into_iter(), numbers(7, 7)), due);
        assert_eq!(checkpoints.release(numbers(7, 7)), None);
        assert_eq!(checkpoints.next(now, entry(12).into_iter(), numbers(9, 7)), NextCheckpoint::Unchanged);
    }
}
