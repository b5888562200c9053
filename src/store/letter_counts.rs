//! The counts of the dead letters in a store, which its writer keeps and everybody reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Topic;

/// The most dead letters that a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterBound {
    /// Number of dead letters.
    pub count: u64,
    /// Bytes of the stored dead letters together.
    pub bytes: u64,
}

impl Default for DeadLetterBound {
    /// Returns a bound that no store reaches.
    fn default() -> DeadLetterBound {
        DeadLetterBound { count: u64::MAX, bytes: u64::MAX }
    }
}

/// The counts of the dead letters in a store.
#[derive(Debug, Default)]
pub struct LetterCounts {
    count: AtomicU64,
    bytes: AtomicU64,
    /// The numbers of those that newer ones have replaced, in the order of `Topic::ALL`.
    replaced: [AtomicU64; 3],
}

impl LetterCounts {
    /// Sets the counts of a store that was just opened.
    pub fn begin(&self, count: u64, bytes: u64, replaced: [u64; 3]) {
        self.count.store(count, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        for (held, replaced) in self.replaced.iter().zip(replaced) {
            held.store(replaced, Ordering::Relaxed);
        }
    }

    /// Counts a letter of so many bytes that was stored.
    pub fn add(&self, bytes: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a letter of so many bytes that was removed.
    pub fn remove(&self, bytes: u64) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a letter of a stream that is replaced by its count.
    pub fn count_replaced(&self, topic: Topic) {
        self.replaced[topic as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of letters in the store.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the number of letters of all streams that were replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns true if there is more than may be kept.
    pub fn exceed(&self, bound: DeadLetterBound) -> bool {
        self.count() > bound.count || self.bytes.load(Ordering::Relaxed) > bound.bytes
    }
}
