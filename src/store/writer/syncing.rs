//! Writes checkpoints on a thread of its own: a disk may take long to sync, and fresh views must not wait for it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use sled::Db;

use super::{Checkpoint, Done, Stage, StoreError, Trees};
use crate::store::checkpoint;

pub(super) struct SyncThread {
    pub(super) db: Db,
    /// The database's own file, to be synced: sled's flush does not (spacejam/sled#1452).
    pub(super) file: File,
    pub(super) trees: Trees,
    pub(super) done: Arc<Done>,
}

impl SyncThread {
    pub(super) fn run_caught(self, checkpoints: &Receiver<Checkpoint>) {
        let done = self.done.clone();
        done.failure.catching("syncing it", || self.run(checkpoints));
    }

    fn run(self, checkpoints: &Receiver<Checkpoint>) {
        while let Ok(mut checkpoint) = checkpoints.recv() {
            let mut count = 1;
            // Where the disk is slow, the last of those that wait says it all.
            for later in checkpoints.try_iter() {
                checkpoint = later;
                count += 1;
            }
            let _beat = self.done.pulse.begin(Stage::Sync);
            if let Err(error) = self.checkpoint(&checkpoint) {
                return self.done.failure.note(error);
            }
            self.done.checkpoints.fetch_add(count, Ordering::Release);
        }
    }

    /// Never ahead of what is on the disk: all that it covers was inserted before it was asked for; flush, then a real
    /// sync, and only then the checkpoint.
    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        sync(&self.db, &self.file)?;
        checkpoint::write(&self.trees, checkpoint)?;
        self.db.flush()?;
        Ok(())
    }
}

pub(super) fn sync(db: &Db, file: &File) -> Result<(), StoreError> {
    db.flush()?;
    file.sync_all().map_err(|error| StoreError::Sled(sled::Error::Io(error)))
}
