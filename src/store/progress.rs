//! The progress of the writer, which its other threads and all readers look up. It only counts; it decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::change_watch::ChangeWatch;
use super::failure::Failure;
use super::parked_job_feed::ParkedJobFeed;
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
    /// Number of dead letters in the store.
    pub dead_letters: AtomicU64,
    /// True once the records that Kafka had at the opening have been read and written, so that nothing half written by a kill is left.
    pub caught_up: AtomicBool,
    pub failure: Failure,
    pub pulse: Pulse,
    pub changes: ChangeWatch,
    pub parked_jobs: ParkedJobFeed,
    /// Number of parts of commits begun. While one is written, records may be ahead of the catalog.
    parts_begun: AtomicU64,
    parts_ended: AtomicU64,
}

impl WriterProgress {
    pub fn begin_part(&self) {
        self.parts_begun.fetch_add(1, Ordering::AcqRel);
    }

    pub fn end_part(&self) {
        self.parts_ended.fetch_add(1, Ordering::AcqRel);
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
