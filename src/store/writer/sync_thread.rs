//! The thread that syncs, and writes checkpoints and the note that the generation was live: a disk may take long to sync, and
//! fresh views must not wait for it.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sled::Db;

use super::publisher_notes::PublishedUpTo;
use super::{Backlog, BacklogGuard, Checkpoint, StoreError, Trees, WriterProgress, stored_record};
use crate::data_dir::IoError;
use crate::pulse::Stage;
use crate::store::checkpoint;
use crate::store::content::StoreContent;
use crate::store::keys::{LAYOUT, MARKER, REPLICA, WAS_LIVE};
use crate::store::pieces;

/// The state of the syncing thread.
pub(super) struct SyncThread {
    pub(super) db: Db,
    /// The database's own file, which sled's flush does not sync (spacejam/sled#1452).
    pub(super) file: File,
    pub(super) trees: Trees,
    pub(super) progress: Arc<WriterProgress>,
    pub(super) backlog: Arc<Backlog>,
}

/// The interval at which it is looked whether a checkpoint may be written that waits for the topic of views.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The longest time for which the last checkpoints wait for the topic while the store is closed. After that they are not written.
const WAITS_AT_END: Duration = Duration::from_secs(5);

/// A request to sync, with a note to write once everything before it is on the disk.
pub(super) enum SyncRequest {
    /// A checkpoint, which waits for what publishing is to come to.
    Checkpoint(Checkpoint, PublishedUpTo),
    /// The generation has been live.
    Live,
    /// The note of how far a replica is.
    Replica(Vec<u8>),
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
    /// The last note of a replica in the round.
    replica: Option<Vec<u8>>,
}

impl SyncRound {
    fn add_checkpoint(&mut self, checkpoint: Option<Checkpoint>) {
        self.checkpoint = checkpoint;
        self.checkpoints += 1;
    }
}

/// The checkpoints that wait for the topic of views, the oldest first. None is written before one that is older.
type WaitingCheckpoints = VecDeque<(Checkpoint, PublishedUpTo)>;

impl SyncThread {
    pub(super) fn run_caught(self, notes: &Receiver<SyncRequest>) {
        let progress = self.progress.clone();
        let _ends = BacklogGuard(self.backlog.clone());
        progress.failure.catch_panic("syncing it", || self.run(notes));
    }

    fn run(self, notes: &Receiver<SyncRequest>) {
        let mut waiting = WaitingCheckpoints::new();
        loop {
            let first = match waiting.is_empty() {
                true => notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => notes.recv_timeout(LOOK_EVERY),
            };
            let mut round = SyncRound::default();
            let is_over = matches!(first, Err(RecvTimeoutError::Disconnected));
            let is_asked = first.is_ok();
            // If the disk is slow, one sync answers all requests that wait.
            for note in first.into_iter().chain(notes.try_iter()) {
                match note {
                    SyncRequest::Checkpoint(checkpoint, published) => waiting.push_back((checkpoint, published)),
                    SyncRequest::Live => round.is_live = true,
                    SyncRequest::Replica(note) => {
                        round.replica = Some(note);
                        round.checkpoints += 1;
                    }
                    SyncRequest::Nothing => {}
                }
            }
            let until = is_over.then(|| Instant::now() + WAITS_AT_END);
            while waiting.front().is_some_and(|(_, published)| published.is_reached(until)) {
                round.add_checkpoint(waiting.pop_front().map(|(checkpoint, _)| checkpoint));
            }
            if (is_asked || round.checkpoints > 0) && !self.answer(&round) {
                return;
            }
            if is_over {
                self.progress.has_dropped_checkpoint.store(!waiting.is_empty(), Ordering::Release);
                return;
            }
        }
    }

    /// Answers the requests of a round. Returns false if that has failed.
    fn answer(&self, round: &SyncRound) -> bool {
        let _beat = self.progress.pulse.begin(Stage::Sync);
        let written = self.backlog.begin_sync();
        if let Err(error) = self.write(round) {
            self.progress.failure.note(error);
            return false;
        }
        self.backlog.end_sync(written);
        self.progress.checkpoints.fetch_add(round.checkpoints, Ordering::Release);
        true
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
        if let Some(note) = &round.replica {
            pieces::put(&self.trees, &self.trees.meta, REPLICA, note)?;
        }
        if round.checkpoint.is_some() || round.is_live || round.replica.is_some() {
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

/// Marks a new database as ours, or one of an older layout as one of this: versions that do not know the layout leave it alone then.
/// The mark is on the disk before anything else.
pub fn mark(db: &Db, file: &Path, content: StoreContent) -> Result<(), StoreError> {
    let marker = [LAYOUT, content.format()];
    let old = Trees::open(db)?.meta.insert(MARKER, &marker)?;
    let is_marked = old.is_some_and(|old| old == marker);
    if is_marked { Ok(()) } else { sync(db, &File::open(file).map_err(IoError::of("open", file))?) }
}
