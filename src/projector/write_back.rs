//! The way of changed records from memory to the store: at once while live, and as late as memory allows while catching up,
//! because a catch-up's time depends on how often one record is written.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decoder::Batch;
use super::partitions::ViewPositions;
use super::write_delay::{RECORDS_AN_EPOCH, WriteDelay};
use crate::domain::{Body, Commit, DeadLetter, Envelope, Event, ReadPosition, TopicPartition, WorkingSet};
use crate::store::{PublishedUpTo, StoreError, Writer};

/// While live, the time for which changes are gathered before they are written: a burst on one optimization is one write.
pub const GATHER: Duration = Duration::from_millis(5);
/// The same while records wait for the fold: what is written then is as a rule not the newest, and writing takes the fold's time.
const GATHER_IN_BACKLOG: Duration = Duration::from_millis(50);
/// Number of records after which the memory is looked at, which reads every job in it.
const RECORDS_A_LOOK: u64 = 50_000;
/// About what a record takes in memory, measured over synthetic histories.
const BYTES_A_RECORD: u64 = 2_500;
/// The most dead letters that stay unwritten, and the most bytes of them.
const DEAD_LETTERS_UNWRITTEN: usize = 64;
const DEAD_LETTER_BYTES_UNWRITTEN: usize = 8 << 20;
/// The memory is looked at again after this fraction (one in so many) of its budget has come in.
const LOOKS_A_BUDGET: u64 = 8;

/// The working set in memory, and the writer that its changes go to.
pub struct WriteBack {
    pub(super) working: WorkingSet,
    pub(super) writer: Writer,
    /// Number of records of the store that were taken into memory.
    pub(super) loads: u64,
    memory_budget: u64,
    dead_letters: Vec<DeadLetter>,
    large_texts: LargeTextBytes,
    /// The delay of optimizations whose job is under way, and of those whose job has ended.
    delay: WriteDelay,
    delay_ended: WriteDelay,
    epoch: u32,
    records_in_epoch: u64,
    /// Number of records that were read since the memory was looked at.
    records_since_look: u64,
    /// Number of records that the catch-up still has to read, as far as they are known.
    records_to_come: u64,
    /// The number of the last commit that was handed over.
    commits: u64,
    last_commit: Instant,
    /// The position that readers see once everything is written, unless the writer has it already.
    position: Option<Arc<ReadPosition>>,
    /// True while views may be on the disk that a process before made of records beyond the checkpoint.
    is_recovering: bool,
}

/// The bytes of long texts.
#[derive(Default)]
struct LargeTextBytes {
    /// The bytes in records that were read since the memory was looked at.
    since_look: u64,
    /// An upper bound of the bytes in memory, without those.
    in_memory: u64,
}

impl WriteBack {
    /// `memory_budget` is in bytes.
    pub fn new(writer: Writer, memory_budget: u64, now: Instant) -> WriteBack {
        // Whoever publishes the views needs those, too, that are on the disk and perhaps were not published.
        let mut working = WorkingSet::default();
        working.set_marks_unchanged(writer.is_published());
        WriteBack {
            working,
            writer,
            loads: 0,
            memory_budget,
            dead_letters: Vec::new(),
            large_texts: LargeTextBytes::default(),
            delay: WriteDelay::new(16),
            delay_ended: WriteDelay::new(1),
            epoch: 0,
            records_in_epoch: 0,
            records_since_look: 0,
            records_to_come: 0,
            commits: 0,
            last_commit: now,
            position: None,
            is_recovering: true,
        }
    }

    /// Takes note that everything before the position has been folded, and nothing after the bound.
    pub fn note_position(&mut self, positions: ViewPositions) {
        self.writer.note_bound(Arc::new(positions.bound));
        self.position = Some(Arc::new(positions.position));
    }

    /// Returns true while not all has been read again that a process before may have read beyond the checkpoint.
    pub fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// Takes note that the source has found every partition, so that the bounds have all of them.
    pub fn note_all_found(&self) {
        self.writer.note_all_found();
    }

    /// Takes note that all has been folded that a process before may have read. Waits until it is handed to the writer.
    pub fn end_recovery(&mut self) -> Result<(), StoreError> {
        if self.is_clean() {
            self.is_recovering = false;
            self.working.set_marks_unchanged(false);
            self.writer.note_recovered()?;
        }
        Ok(())
    }

    /// Hands the position to the writer, if nothing that was folded is left in memory only.
    fn show_position(&mut self) -> Result<(), StoreError> {
        match self.position.take_if(|_| self.working.is_clean() && self.dead_letters.is_empty()) {
            Some(position) => self.writer.note_position(position),
            None => Ok(()),
        }
    }

    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The number of the last commit that was handed to the writer.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Returns the writer's error, if it has failed.
    pub fn check(&self) -> Result<(), StoreError> {
        self.writer.check()
    }

    /// Returns true if everything has been handed to the writer.
    pub fn is_clean(&self) -> bool {
        self.working.is_clean() && self.dead_letters.is_empty()
    }

    /// Returns true if there is an optimization of this id, in memory or in the store.
    pub fn knows(&self, id: &str) -> bool {
        self.working.holds_optimization(id) || self.writer.reader().holds(id)
    }

    /// Number of optimizations and parked jobs in memory.
    pub fn records_in_memory(&self) -> usize {
        self.working.weight()
    }

    /// Number of optimizations and jobs that have changed and were not handed to the writer since.
    pub fn unwritten(&self) -> usize {
        self.working.changed()
    }

    /// Brings into the processor's cache what these events are about to touch.
    pub fn warm<'e>(&self, events: impl Iterator<Item = &'e Event<'e>>) {
        self.working.warm(events);
    }

    /// Keeps a record that could not be understood, to be written with the next commit.
    pub fn keep_dead_letter(&mut self, dead_letter: DeadLetter) {
        self.dead_letters.push(dead_letter);
    }

    /// Notes a record of a job that no optimization links, for those who wait for it.
    pub fn note_unlinked(&self, envelope: &Envelope<'_>) {
        if let Body::Job { job_id, .. } | Body::Run { job_id, .. } = &envelope.event.body {
            self.writer.note_unlinked(envelope.position, job_id);
        }
    }

    /// Counts records of a batch that have been folded, by which the memory is judged.
    pub fn note_read(&mut self, batch: &Batch, which: Range<usize>) {
        if self.epoch == 0 && self.records_in_epoch == 0 {
            let TopicPartition { topic, partition } = batch.partition;
            tracing::debug!(%topic, partition, "the first records have been folded");
        }
        self.records_in_epoch += which.len() as u64;
        self.records_since_look += which.len() as u64;
        // A batch that is folded in parts counts once.
        if which.start == 0 {
            self.large_texts.since_look += batch.large_bytes;
        }
    }

    /// Takes note of how many records the catch-up still has to read.
    pub fn note_to_come(&mut self, records: u64) {
        self.records_to_come = records;
    }

    /// Writes what is due. While live, that is everything that has changed, every [`GATHER`], or more rarely while records wait; while
    /// catching up, what has not been touched for a while, and what memory cannot hold.
    pub fn write_due(&mut self, now: Instant, is_live: bool, has_backlog: bool) -> Result<(), StoreError> {
        let gather = if has_backlog { GATHER_IN_BACKLOG } else { GATHER };
        if is_live && now.saturating_duration_since(self.last_commit) >= gather {
            self.write_all(now)?;
        }
        self.write_dead_letters()?;
        self.bound_memory(is_live)?;
        self.show_position()
    }

    /// Writes everything.
    pub fn write_all(&mut self, now: Instant) -> Result<(), StoreError> {
        self.last_commit = now;
        let commit = self.working.take_changes(None);
        self.commit(commit)?;
        self.show_position()
    }

    /// Writes everything. Returns what has to be on the topic of views before anything is forgotten that it was made of.
    pub fn write_and_seal(&mut self, now: Instant) -> Result<PublishedUpTo, StoreError> {
        self.write_all(now)?;
        if !self.writer.is_published() {
            return Ok(PublishedUpTo::default());
        }
        self.wait_until_written()?;
        Ok(self.writer.published_up_to())
    }

    fn write_dead_letters(&mut self) -> Result<(), StoreError> {
        if self.dead_letters.len() >= DEAD_LETTERS_UNWRITTEN
            || self.dead_letters.iter().map(DeadLetter::size).sum::<usize>() >= DEAD_LETTER_BYTES_UNWRITTEN
        {
            self.commit(Commit::default())?;
        }
        Ok(())
    }

    /// Begins a new epoch after enough records, writes what has waited for long enough, and keeps within the memory.
    fn bound_memory(&mut self, is_live: bool) -> Result<(), StoreError> {
        // The fewer records memory holds, the more often it is looked at.
        let room = self.memory_budget / BYTES_A_RECORD;
        let is_look_due = self.records_since_look >= RECORDS_A_LOOK.min(room)
            || self.large_texts.since_look > self.memory_budget / LOOKS_A_BUDGET;
        if self.records_in_epoch < RECORDS_AN_EPOCH && !is_look_due {
            return Ok(());
        }
        self.records_in_epoch = 0;
        self.epoch = self.working.next_epoch();
        let changed_again = self.working.take_changed_again();
        if !is_live {
            let before = |delay: &WriteDelay| Some(delay.before(self.epoch, self.records_to_come));
            let commit = self.working.take_rested(before(&self.delay), before(&self.delay_ended));
            let ended = commit.optimizations.iter().filter(|written| written.job.has_ended()).count();
            self.delay_ended.adjust(ended, changed_again.ended);
            self.delay.adjust(commit.optimizations.len() - ended, changed_again.under_way);
            self.commit(commit)?;
        }
        if !is_look_due {
            return Ok(());
        }
        self.records_since_look = 0;
        self.large_texts.in_memory += std::mem::take(&mut self.large_texts.since_look);
        self.keep_within_memory()
    }

    /// Returns about how many bytes the working set takes. The texts are counted only if they may be too many; until then, all
    /// that were read count.
    pub fn memory_used(&mut self) -> u64 {
        let records = self.working.weight() as u64 * BYTES_A_RECORD;
        if records + self.large_texts.in_memory > self.memory_budget {
            self.large_texts.in_memory = self.working.text_len() as u64;
        }
        records + self.large_texts.in_memory
    }

    /// Writes and lets go of what was touched longest ago, until the rest fits.
    fn keep_within_memory(&mut self) -> Result<(), StoreError> {
        for age in [256, 64, 16, 8, 4, 2, 1, 0] {
            if self.memory_used() <= self.memory_budget {
                return Ok(());
            }
            // Epochs are counted from 0, and what was touched in this one is younger than `epoch + 1`.
            let before = (self.epoch + 1).saturating_sub(age);
            let commits_before = self.commits;
            let commit = self.working.take_changes(Some(before));
            self.commit(commit)?;
            self.working.evict(before, self.writer.commits_written());
            if self.memory_used() > self.memory_budget && commits_before < self.commits {
                self.wait_until_written()?;
                self.working.evict(before, self.writer.commits_written());
            }
        }
        Ok(())
    }

    /// Waits until the writer has written all that was handed to it.
    pub fn wait_until_written(&self) -> Result<(), StoreError> {
        while self.writer.commits_written() < self.commits {
            self.writer.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Hands a commit to the writer, with the dead letters that came meanwhile.
    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let dead_letters = std::mem::take(&mut self.dead_letters);
        if commit.is_empty() && dead_letters.is_empty() {
            return Ok(());
        }
        self.commits = self.working.commits();
        self.writer.commit(commit, dead_letters, self.commits)
    }

    /// Ends the writer once all that was handed to it is written. Returns the number of checkpoints that it has written.
    pub fn finish(self) -> Result<u64, StoreError> {
        self.writer.finish()
    }
}
