//! The pace of the writing thread: what it writes waits for room on the disk, and is counted.

use std::sync::mpsc::Sender;

use super::WriterThread;
use super::sync_thread::SyncRequest;
use crate::pulse::Stage;
use crate::store::StoreError;

impl WriterThread {
    /// Writes what takes so many bytes in memory, once the disk has room. Returns false if that has failed.
    pub(super) fn write_part(
        &mut self,
        bytes: u64,
        notes: &Sender<SyncRequest>,
        write: impl FnOnce(&mut WriterThread) -> Result<u64, StoreError>,
    ) -> bool {
        let pulse = self.progress.pulse.clone();
        let _beat = pulse.begin(Stage::Store);
        if self.backlog.needs_sync() {
            // A syncing thread that has ended has noted the reason.
            drop(notes.send(SyncRequest::Nothing));
        }
        if !self.backlog.wait_for_disk() {
            return false;
        }
        self.progress.begin_part();
        let ended = write(self);
        self.progress.end_part();
        match ended {
            Ok(written) => self.backlog.leave(bytes, written),
            Err(error) => {
                self.progress.failure.note(error);
                return false;
            }
        }
        true
    }
}
