//! The progress of the writer, which its other threads and all readers look up. It only counts; it decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::Checkpoint;
use super::change_watch::ChangeWatch;
use super::failure::Failure;
use super::letter_counts::LetterCounts;
use super::parked_job_feed::ParkedJobFeed;
use super::touched_views::TouchedViews;
use super::unlinked_records::UnlinkedRecords;
use super::view_changes::ViewChanges;
use crate::domain::ReadPosition;
use crate::pulse::Pulse;

/// Longest time for which one part of a commit may be written, a slow disk included.
const PART_DEADLINE: Duration = Duration::from_secs(10);

/// Counts of the writer's work, which it does in the order in which it was given.
#[derive(Default)]
pub struct WriterProgress {
    /// The number of the last commit that was written whole.
    pub commits: AtomicU64,
    /// Number of optimizations and parked jobs written.
    pub records: AtomicU64,
    /// Number of checkpoints written.
    pub checkpoints: AtomicU64,
    /// The counts of the dead letters in the store.
    pub letters: LetterCounts,
    /// True once the records that Kafka had at the opening have been read and written, so that nothing half written by a kill is left.
    pub caught_up: AtomicBool,
    pub failure: Failure,
    pub pulse: Pulse,
    pub changes: ChangeWatch,
    pub parked_jobs: ParkedJobFeed,
    pub unlinked_records: UnlinkedRecords,
    /// The registry of those who watch what readers see, once readers see this generation.
    pub watchers: ArcSwapOption<ViewChanges>,
    /// The notes for who publishes the views, while somebody does.
    pub touched: ArcSwapOption<TouchedViews>,
    /// The position that every view has come to: all before it is in them.
    pub visible: ArcSwap<ReadPosition>,
    /// A position that no view is beyond: nothing after it is in any of them.
    pub bound: ArcSwap<ReadPosition>,
    /// True if a checkpoint was given up at the end, because the topic of views had not come to it.
    pub has_dropped_checkpoint: AtomicBool,
    /// True once `bound` has every partition of the topics.
    pub has_whole_bound: AtomicBool,
    /// Number of parts of commits begun. While one is written, records may be ahead of the catalog.
    parts_begun: AtomicU64,
    parts_ended: AtomicU64,
}

impl WriterProgress {
    /// Makes the progress of a generation that is opened at this checkpoint, which its views have come to at the least.
    pub fn at(checkpoint: &Checkpoint) -> WriterProgress {
        let progress = WriterProgress::default();
        let next = checkpoint.iter().map(|(partition, held)| (partition.clone(), held.next_offset)).collect();
        let position = Arc::new(ReadPosition::new(next));
        progress.visible.store(position.clone());
        progress.bound.store(position);
        progress
    }

    /// Notes that every view has come to this position, and wakes those who wait for one.
    pub fn show_position(&self, position: Arc<ReadPosition>) {
        self.visible.store(position);
        if let Some(watchers) = &*self.watchers.load() {
            watchers.note_position();
        }
    }

    /// Has those who watch what readers see rest between two events while records wait for the fold.
    pub fn note_backlog(&self, is_behind: bool) {
        if let Some(watchers) = &*self.watchers.load() {
            watchers.note_backlog(is_behind);
        }
    }

    pub fn begin_part(&self) {
        self.parts_begun.fetch_add(1, Ordering::AcqRel);
    }

    pub fn end_part(&self) {
        self.parts_ended.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the number of parts of commits that are written; `None` while one is being written. As long as it stays the same, so does
    /// what readers see.
    pub fn parts_written(&self) -> Option<u64> {
        // No part begins before the one before it has ended.
        let ended = self.parts_ended.load(Ordering::Acquire);
        (self.parts_begun.load(Ordering::Acquire) == ended).then_some(ended)
    }

    /// Waits until no part is left that was being written at the call. Returns false if the writer has failed or stands still.
    pub fn wait_for_parts(&self) -> bool {
        let (begun, begin) = (self.parts_begun.load(Ordering::Acquire), Instant::now());
        while self.parts_ended.load(Ordering::Acquire) < begun {
            if self.failure.check().is_err() || begin.elapsed() > PART_DEADLINE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}
