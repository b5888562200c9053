//! What is written when: at once while live; as late as memory allows while catching up, because how often one record is
//! written is what a catch-up's time goes by.

use std::time::{Duration, Instant};

use super::decoding::Batch;
use super::{GATHER, Projector};
use crate::domain::{Commit, DeadLetter};
use crate::store::StoreError;

/// How many records make an epoch: what was not touched for some epochs is done with, as far as one can tell.
const RECORDS_AN_EPOCH: u64 = 50_000;
/// After so many writes, it is judged whether records wait long enough.
const WRITES_A_JUDGEMENT: usize = 2_000;
/// What a record in memory takes, about: measured over synthetic histories.
const BYTES_A_RECORD: u64 = 2_500;
/// Records of events have fewer bytes as a rule, and what they leave in memory is counted with the above. Of larger ones,
/// each byte counts.
pub(super) const USUAL_EVENT: usize = 1_000;
/// How many dead letters stay unwritten at the most, and how many bytes of them.
const DEAD_LETTERS_UNWRITTEN: usize = 64;
const DEAD_LETTER_BYTES_UNWRITTEN: usize = 8 << 20;
/// The share of the budget after which it is looked at: so many bytes may come in between two looks.
const LOOKS_A_BUDGET: u64 = 8;

/// For how many epochs a changed record stays unwritten while catching up. What is written too early is written again,
/// and what is written too late is all written at the end, when nothing else is left to do; how long an optimization
/// lives, in records, is up to the history.
pub(super) struct Patience {
    epochs: u32,
    written: usize,
    again: usize,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience { epochs: 4, written: 0, again: 0 }
    }

    /// Since the last call so many were written, and so many of those written ever have changed again.
    fn judge(&mut self, written: usize, again: usize) {
        self.written += written;
        self.again += again;
        if self.written < WRITES_A_JUDGEMENT {
            return;
        }
        let quarters = match 100 * self.again / self.written {
            0..2 => 3,
            2..10 => 4,
            10..40 => 8,
            _ => 16,
        };
        self.epochs = (self.epochs * quarters / 4).clamp(1, 1024);
        (self.written, self.again) = (0, 0);
    }
}

/// How many bytes long texts have.
#[derive(Default)]
pub(super) struct Texts {
    /// In records that were read in this epoch.
    in_epoch: u64,
    /// In memory, at the most, without those.
    in_memory: u64,
}

impl Texts {
    /// Takes in a batch whose records are folded from this place on.
    pub(super) fn read(&mut self, batch: &Batch, from: usize) {
        if from == 0 {
            self.in_epoch += batch.large_bytes;
        }
    }
}

impl Projector {
    /// Live: what has changed, soon. Catching up: what has not been touched for a while, and what memory cannot hold.
    pub(super) fn write_changes(&mut self, all: bool) -> Result<(), StoreError> {
        if all || (self.live && self.last_commit.elapsed() >= GATHER) {
            self.last_commit = Instant::now();
            let commit = self.working.take_changes(None);
            self.commit(commit)?;
        }
        if self.dead_letters.len() >= DEAD_LETTERS_UNWRITTEN
            || self.dead_letters.iter().map(DeadLetter::size).sum::<usize>() >= DEAD_LETTER_BYTES_UNWRITTEN
        {
            self.commit(Commit::default())?;
        }
        // Where memory holds fewer, it is looked at more often.
        let budget = self.settings.memory_budget;
        if self.records_in_epoch < RECORDS_AN_EPOCH.min(budget / BYTES_A_RECORD)
            && self.texts.in_epoch <= budget / LOOKS_A_BUDGET
        {
            return Ok(());
        }
        self.texts.in_memory += std::mem::take(&mut self.texts.in_epoch);
        self.records_in_epoch = 0;
        self.epoch = self.working.next_epoch();
        let again = self.working.take_changed_again();
        if !self.live {
            let commit = self.working.take_changes(Some(self.epoch.saturating_sub(self.patience.epochs)));
            self.patience.judge(commit.optimizations.len(), again);
            self.commit(commit)?;
        }
        self.keep_within_memory()
    }

    /// What the working set takes, about. The texts are counted only where they may be too many: until then, all that were
    /// read count.
    pub(super) fn memory_used(&mut self) -> u64 {
        let records = self.working.weight() as u64 * BYTES_A_RECORD;
        if records + self.texts.in_memory > self.settings.memory_budget {
            self.texts.in_memory = self.working.text_len() as u64;
        }
        records + self.texts.in_memory
    }

    /// Writes and lets go of what was touched longest ago, until the rest fits.
    fn keep_within_memory(&mut self) -> Result<(), StoreError> {
        let budget = self.settings.memory_budget;
        for age in [64, 16, 8, 4, 2, 1, 0] {
            if self.memory_used() <= budget {
                return Ok(());
            }
            // Epochs are counted from 0, and what was touched in this one is younger than `epoch + 1`.
            let before = (self.epoch + 1).saturating_sub(age);
            let commits_before = self.commits;
            let commit = self.working.take_changes(Some(before));
            self.commit(commit)?;
            self.working.evict(before, self.writer.commits_written());
            if self.memory_used() > budget && commits_before < self.commits {
                self.wait_for_writes()?;
                self.working.evict(before, self.writer.commits_written());
            }
        }
        Ok(())
    }

    pub(super) fn wait_for_writes(&self) -> Result<(), StoreError> {
        while self.writer.commits_written() < self.commits {
            self.writer.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Hands over what a batch changed, with the dead letters that came meanwhile.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let dead_letters = std::mem::take(&mut self.dead_letters);
        if commit.is_empty() && dead_letters.is_empty() {
            return Ok(());
        }
        self.commits = self.working.commits();
        self.writer.commit(commit, dead_letters, self.commits)
    }
}
