//! The thread that syncs, and writes checkpoints and the note that the generation was live: a disk may take long to sync, and
//! fresh views must not wait for it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use sled::Db;

use super::{Backlog, BacklogGuard, Checkpoint, Stage, StoreError, Trees, WriterProgress, stored_record};
use crate::store::checkpoint;
use crate::store::keys::WAS_LIVE;

/// The state of the syncing thread.
pub(super) struct SyncThread {
    pub(super) db: Db,
    /// The database's own file, which sled's flush does not sync (spacejam/sled#1452).
    pub(super) file: File,
    pub(super) trees: Trees,
    pub(super) progress: Arc<WriterProgress>,
    pub(super) backlog: Arc<Backlog>,
}

/// A request to sync, with a note to write once everything before it is on the disk.
pub(super) enum SyncRequest {
    Checkpoint(Checkpoint),
    /// The generation has been live.
    Live,
    /// No note: the sync makes room in the backlog.
    Nothing,
}

/// The requests that one sync answers.
#[derive(Default)]
struct SyncRound {
    /// The last checkpoint of the round. It covers the ones before it.
    checkpoint: Option<Checkpoint>,
    checkpoints: u64,
    is_live: bool,
}

impl SyncRound {
    fn add(&mut self, note: SyncRequest) {
        match note {
            SyncRequest::Checkpoint(checkpoint) => {
                self.checkpoint = Some(checkpoint);
                self.checkpoints += 1;
            }
            SyncRequest::Live => self.is_live = true,
            SyncRequest::Nothing => {}
        }
    }
}

impl SyncThread {
    pub(super) fn run_caught(self, notes: &Receiver<SyncRequest>) {
        let progress = self.progress.clone();
        let _ends = BacklogGuard(self.backlog.clone());
        progress.failure.catch_panic("syncing it", || self.run(notes));
    }

    fn run(self, notes: &Receiver<SyncRequest>) {
        while let Ok(first) = notes.recv() {
            let mut round = SyncRound::default();
            round.add(first);
            // If the disk is slow, one sync answers all requests that wait.
            notes.try_iter().for_each(|later| round.add(later));
            let _beat = self.progress.pulse.begin(Stage::Sync);
            let written = self.backlog.begin_sync();
            if let Err(error) = self.write(&round) {
                return self.progress.failure.note(error);
            }
            self.backlog.end_sync(written);
            self.progress.checkpoints.fetch_add(round.checkpoints, Ordering::Release);
        }
    }

    /// Syncs, and then writes the notes. A note is never ahead of the disk: everything that it covers was inserted before it was
    /// asked for, and is flushed and synced before it is written.
    fn write(&self, round: &SyncRound) -> Result<(), StoreError> {
        sync(&self.db, &self.file)?;
        if let Some(checkpoint) = &round.checkpoint {
            checkpoint::write(&self.trees, checkpoint)?;
        }
        if round.is_live {
            self.trees.meta.insert(WAS_LIVE, stored_record::encode(&(), "note that it was live")?)?;
        }
        if round.checkpoint.is_some() || round.is_live {
            self.db.flush()?;
        }
        Ok(())
    }
}

/// Writes out what sled holds, and syncs the database's file.
pub(super) fn sync(db: &Db, file: &File) -> Result<(), StoreError> {
    db.flush()?;
    file.sync_all().map_err(|error| StoreError::Sled(sled::Error::Io(error)))
}
