//! The offsets in the notes that a replica leaves of how far it is: those that it handed to the writer, and those that are on the disk.

use std::collections::BTreeMap;

/// The next offset of each partition in the last notes.
pub struct NotedOffsets {
    /// Number of notes handed to the writer.
    notes: u64,
    /// The offsets in the last of these notes.
    handed_over: BTreeMap<i32, i64>,
    /// The offsets in the last note that is known to be on the disk.
    on_disk: BTreeMap<i32, i64>,
}

impl NotedOffsets {
    /// Begins with the offsets in the note that the store was opened with.
    pub fn new(next: &BTreeMap<i32, i64>) -> NotedOffsets {
        NotedOffsets { notes: 0, handed_over: next.clone(), on_disk: next.clone() }
    }

    /// Takes note that a note with these offsets is handed to the writer.
    pub fn hand_over(&mut self, next: &BTreeMap<i32, i64>) {
        self.handed_over.clone_from(next);
        self.notes += 1;
    }

    /// Returns true if the writer, which has written so many notes, has written the last.
    pub fn are_on_disk(&self, written: u64) -> bool {
        written >= self.notes
    }

    /// Returns the offsets on the disk, by the number of notes that the writer has written.
    pub fn on_disk(&mut self, written: u64) -> &BTreeMap<i32, i64> {
        if self.are_on_disk(written) {
            self.on_disk.clone_from(&self.handed_over);
        }
        &self.on_disk
    }
}
