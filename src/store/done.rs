//! What the writer has done so far, told to whoever asks. Counts only; decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::copying::Parkings;
use super::diff::ChangeWatch;
use super::failure::Failure;
use crate::pulse::Pulse;

/// How long one part of a commit can take to be written, a slow disk included.
const PART_DEADLINE: Duration = Duration::from_secs(10);

/// Counts what has been done, in the order in which it was asked for.
#[derive(Default)]
pub struct Done {
    pub commits: AtomicU64,
    /// Optimizations and parked jobs.
    pub records: AtomicU64,
    pub checkpoints: AtomicU64,
    pub dead_letters: AtomicU64,
    /// All that was there when the store was opened has been read and written: what a kill left half written, too.
    pub caught_up: AtomicBool,
    pub failure: Failure,
    pub pulse: Pulse,
    pub changes: ChangeWatch,
    pub parkings: Parkings,
    /// Parts of commits: while one is written, records may be ahead of the catalog.
    parts_begun: AtomicU64,
    parts_ended: AtomicU64,
}

impl Done {
    pub fn begin_part(&self) {
        self.parts_begun.fetch_add(1, Ordering::AcqRel);
    }

    pub fn end_part(&self) {
        self.parts_ended.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until every part that is being written now has been. False where the writer has failed, or stands still.
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
