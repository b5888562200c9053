//! The requests to the writer about the dead letters in the store.

use std::sync::mpsc::channel;

use super::letter_shelf::LetterCommand;
use super::{Writer, WriterCommand};
use crate::domain::PartitionOffset;
use crate::store::{DeadLetterBound, StoreError};

impl Writer {
    /// Returns the number of dead letters in the store.
    pub fn dead_letters(&self) -> u64 {
        self.progress.letters.count()
    }

    /// Returns the number of dead letters that newer ones have replaced.
    pub fn replaced_dead_letters(&self) -> u64 {
        self.progress.letters.replaced()
    }

    /// Sets the most dead letters that are kept. The oldest beyond that are replaced by their count, those that are there already, too.
    pub fn bound_dead_letters(&self, bound: DeadLetterBound) -> Result<(), StoreError> {
        self.send(WriterCommand::DeadLetters(LetterCommand::Bound(bound)))
    }

    /// Removes dead letters, once everything handed over before is written. Returns the number of those that were there. A record
    /// that is read again is not kept again once it was removed.
    pub fn remove_dead_letters(&self, positions: Vec<PartitionOffset>) -> Result<u64, StoreError> {
        let (answer, removed) = channel();
        self.send(WriterCommand::DeadLetters(LetterCommand::Remove(positions, answer)))?;
        if let Ok(removed) = removed.recv() {
            return Ok(removed);
        }
        // The thread is about to end, and notes why.
        loop {
            self.check()?;
            std::thread::yield_now();
        }
    }
}
