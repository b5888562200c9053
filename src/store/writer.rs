//! The writer of the store. There is one writer; it is not `Clone`. It encodes and inserts records on a thread of its own, so
//! that the projector goes on folding. It makes plain inserts only, in an order of which any prefix is safe:
//!
//! dead letters, catalog entries (an optimization's record is found through its entry), parked jobs, optimizations
//! (sorted, because sled is faster so), removals of jobs that are parked no longer; and the checkpoint only when everything before
//! it has been synced.

mod backlog;
mod catalog_rebuild;
mod encoder;
mod letter_commands;
mod letter_shelf;
mod notes;
mod part_writing;
mod places;
mod publisher_notes;
mod replicated_part;
mod replicated_views;
mod sync_thread;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use sled::{Db, Tree};

use super::catalog::{Catalog, Entry, Ids, job_hash};
use super::checkpoint::{self, Checkpoint};
use super::content::StoreContent;
use super::journal::Journal;
use super::keys::Trees;
use super::progress::WriterProgress;
use super::reader::FrozenGeneration;
use super::view_changes::ScopeChange;
use super::{MissingHistoryLedger, Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::data_dir::{self, CloseRecord, IoError};
use crate::disk::FileIdentity;
use crate::domain::{Commit, DeadLetter, Job, Optimization, ReadPosition};
use crate::pulse::Pulse;
use backlog::{Backlog, BacklogGuard, CommitPart, parts};
use catalog_rebuild::rebuild_catalog;
use encoder::{numbered, put_optimizations};
use letter_shelf::{LetterCommand, LetterShelf};
use places::ReservedPlaces;
pub use publisher_notes::PublishedUpTo;
use publisher_notes::PublishingNotes;
use replicated_part::ReplicatedPart;
pub use replicated_part::ReplicatedRecord;
pub(super) use sync_thread::mark;
use sync_thread::{SyncRequest, SyncThread};

/// Number of parts of commits that may wait: enough to keep both threads busy, few enough that little is left to be written once all is
/// folded. With 16, two million records took as long, and their end twice as long.
const PARTS_AHEAD: usize = 4;

enum WriterCommand {
    Commit(CommitPart),
    Checkpoint(Checkpoint),
    /// The note that the generation has been live.
    Live,
    /// The position that readers see once everything handed over before is written.
    Position(Arc<ReadPosition>),
    /// All that was read before the opening has been handed over again.
    Recovered,
    /// Views as a replica has read them.
    Views(ReplicatedPart),
    /// The replica's note of how far it is.
    Replica(Vec<u8>),
    DeadLetters(LetterCommand),
}

/// The writer of one generation.
pub struct Writer {
    pub(super) trees: Trees,
    /// The times at which jobs were first found unlinked, by the job's id. Another version's store has no such tree, so [`Trees`] has none.
    pub(super) first_seen: Tree,
    catalog: Arc<RwLock<Catalog>>,
    ids: Arc<Ids>,
    commands: Option<SyncSender<WriterCommand>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<WriterProgress>,
    backlog: Arc<Backlog>,
    checkpoint: Checkpoint,
    /// The generation's directory.
    directory: PathBuf,
    /// The content of the generation.
    content: StoreContent,
    /// The identity of the database's file at the opening.
    pub file: FileIdentity,
    /// Hashes of the ids under which a job's state is or was parked.
    parked: Mutex<HashSet<u64>>,
    missing: MissingHistoryLedger,
}

impl Writer {
    /// Starts the writer of an open database, which lies in `directory`, and reads the catalog.
    pub(super) fn new(db: &Db, directory: &Path, content: StoreContent) -> Result<Writer, StoreError> {
        let (file, directory) = (&directory.join("db"), directory.to_owned());
        let trees = Trees::open(db)?;
        let (journal, catalog) = match Journal::load(&trees)? {
            Some(loaded) => loaded,
            None => rebuild_catalog(db, file, &trees, content)?,
        };
        let checkpoint = checkpoint::read(&trees)?;
        let mut parked = HashSet::new();
        for key in trees.jobs.iter().keys() {
            parked.insert(job_hash(&String::from_utf8_lossy(&key?)));
        }
        let parked = Mutex::new(parked);
        let ids = catalog.ids();
        let places = ReservedPlaces::from(catalog.next_number());
        let catalog = Arc::new(RwLock::new(catalog));
        let progress = Arc::new(WriterProgress::at(&checkpoint));
        let reader = Reader::new(trees.clone(), catalog.clone(), progress.clone());
        let letters = LetterShelf::open(db, &reader)?;
        let (orders, received) = sync_channel(PARTS_AHEAD);
        let backlog = Arc::new(Backlog::default());
        let syncer = SyncThread {
            db: db.clone(),
            file: File::open(file).map_err(IoError::of("open", file))?,
            trees: trees.clone(),
            progress: progress.clone(),
            backlog: backlog.clone(),
        };
        let thread = WriterThread {
            trees: trees.clone(),
            catalog: catalog.clone(),
            journal,
            letters,
            places,
            progress: progress.clone(),
            backlog: backlog.clone(),
            publishing: PublishingNotes::new(&directory),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || thread.run_caught(&received, syncer))
            .map_err(|error| StoreError::of_thread(file, error))?;
        Ok(Writer {
            missing: MissingHistoryLedger::open(&trees, &directory)?,
            trees,
            first_seen: db.open_tree("unlinked")?,
            catalog,
            ids,
            commands: Some(orders),
            thread: Some(thread),
            progress,
            backlog,
            checkpoint,
            file: FileIdentity::of(file).map_err(IoError::of("look at", file))?,
            directory,
            content,
            parked,
        })
    }

    /// Returns a reader of the same store.
    pub fn reader(&self) -> Reader {
        let reader = Reader::new(self.trees.clone(), self.catalog.clone(), self.progress.clone());
        let frozen = (self.content == StoreContent::Views)
            .then(|| Arc::new(FrozenGeneration { path: self.directory.clone(), format: self.content.format() }));
        Reader { frozen, ..reader }
    }

    /// Returns the pulse of the projector that writes here, in which the store has two stages.
    pub fn pulse(&self) -> Pulse {
        self.progress.pulse.clone()
    }

    /// Returns the checkpoint that the store held at the opening.
    pub fn checkpoint_at_open(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Reads the record of an optimization.
    pub fn optimization(&self, id: &str) -> Result<Option<Optimization>, StoreError> {
        // The catalog names every stored optimization, so a new one costs only a look into memory.
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let stored = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())?;
        Ok(stored.map(|stored| stored_record::decode_optimization(&stored)).transpose()?)
    }

    /// Reads the state that is parked under a job's id.
    pub fn parked_job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        // Nearly no job is parked, and the others cost only a look into memory.
        if !self.parked.lock().contains(&job_hash(id)) {
            return Ok(None);
        }
        let stored = pieces::get(&self.trees, &self.trees.jobs, id.as_bytes())?;
        Ok(stored.map(|stored| stored_record::decode_job(&stored)).transpose()?)
    }

    /// Returns the ids of the optimizations that link a job, now or before; and, very rarely, others.
    pub fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        self.catalog.read().linking(job_id)
    }

    /// Hands over commit `number`. Waits if the writing thread, or the disk, is far behind.
    ///
    /// The commit is written in parts, so that none takes long: a record is whole by itself, so a commit need not be. Jobs that
    /// are parked no longer are removed last, when the optimizations that took them in are written.
    pub fn commit(&self, commit: Commit, dead_letters: Vec<DeadLetter>, number: u64) -> Result<(), StoreError> {
        self.parked.lock().extend(commit.jobs.iter().map(|(id, _)| job_hash(id)));
        for part in parts(commit, dead_letters, number) {
            self.backlog.enter(part.bytes);
            self.send(WriterCommand::Commit(part))?;
        }
        Ok(())
    }

    /// Hands over a checkpoint, which is written once everything handed over before has been synced.
    pub fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        self.send(WriterCommand::Checkpoint(checkpoint))
    }

    fn send(&self, order: WriterCommand) -> Result<(), StoreError> {
        let sent = self.commands.as_ref().map(|orders| orders.send(order));
        self.check()?;
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(panicked()) }
    }

    /// Returns the first failure of the writer or of a reader, if there was one.
    pub fn check(&self) -> Result<(), StoreError> {
        // Before `finish`, the thread ends only by a failure, which it notes first, or by a panic.
        let has_ended = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        self.progress.failure.check()?;
        if has_ended { Err(panicked()) } else { Ok(()) }
    }

    /// Returns the number of the last commit that the store has whole.
    pub fn commits_written(&self) -> u64 {
        self.progress.commits.load(Ordering::Acquire)
    }

    /// Returns the number of optimizations and parked jobs written.
    pub fn records_written(&self) -> u64 {
        self.progress.records.load(Ordering::Acquire)
    }

    /// Returns the number of checkpoints written.
    pub fn checkpoints_written(&self) -> u64 {
        self.progress.checkpoints.load(Ordering::Acquire)
    }

    /// Returns the number of optimizations that readers may see.
    pub fn views(&self) -> u64 {
        self.catalog.read().listed()
    }

    /// Waits until everything that was handed over is written, and ends the threads. Returns the number of checkpoints written.
    pub fn finish(mut self) -> Result<u64, StoreError> {
        self.commands = None;
        let ended = self.thread.take().map(JoinHandle::join);
        self.check()?;
        if let Some(Err(_)) = ended {
            return Err(panicked());
        }
        let positions = checkpoint::positions(&self.reader().checkpoint()?);
        let caught_up = self.progress.caught_up.load(Ordering::Acquire);
        let closed = CloseRecord { views: self.views(), positions, caught_up, at: Some(data_dir::now()) };
        // A store whose views are ahead of its checkpoint is as one that was killed.
        if !self.progress.has_dropped_checkpoint.load(Ordering::Acquire) {
            data_dir::note_closed(&self.directory, closed);
        }
        Ok(self.checkpoints_written())
    }
}

fn panicked() -> StoreError {
    StoreError::WriterEnded("it panicked; the log says where".to_owned())
}

struct WriterThread {
    trees: Trees,
    catalog: Arc<RwLock<Catalog>>,
    journal: Journal,
    letters: LetterShelf,
    places: ReservedPlaces,
    progress: Arc<WriterProgress>,
    backlog: Arc<Backlog>,
    publishing: PublishingNotes,
}

impl WriterThread {
    fn run_caught(self, orders: &Receiver<WriterCommand>, syncer: SyncThread) {
        let progress = self.progress.clone();
        let _ends = BacklogGuard(self.backlog.clone());
        progress.failure.catch_panic("writing it", || self.run(orders, syncer));
    }

    /// Carries out commands until there are no more and the syncing thread has ended.
    fn run(mut self, orders: &Receiver<WriterCommand>, syncer: SyncThread) {
        std::thread::scope(|scope| {
            let (notes, received) = channel();
            let thread = std::thread::Builder::new().name("store-sync".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, move || syncer.run_caught(&received)) {
                return self
                    .progress
                    .failure
                    .note(IoError::of("start a thread that syncs", Path::new("the store"))(error).into());
            }
            for order in orders {
                match order {
                    WriterCommand::Commit(part) => {
                        let bytes = part.bytes;
                        if !self.write_part(bytes, &notes, |writer| writer.commit(part)) {
                            return;
                        }
                    }
                    WriterCommand::Views(part) => {
                        let bytes = part.bytes;
                        if !self.write_part(bytes, &notes, |writer| writer.put_views(part)) {
                            return;
                        }
                    }
                    // A syncing thread that has ended has noted the reason.
                    WriterCommand::Replica(note) => drop(notes.send(SyncRequest::Replica(note))),
                    WriterCommand::Checkpoint(checkpoint) => match self.publishing.seal(&self.progress) {
                        // A syncing thread that has ended has noted the reason.
                        Ok(seal) => drop(notes.send(SyncRequest::Checkpoint(checkpoint, seal))),
                        Err(error) => return self.progress.failure.note(error),
                    },
                    WriterCommand::Live => drop(notes.send(SyncRequest::Live)),
                    WriterCommand::Position(position) => self.progress.show_position(position),
                    WriterCommand::Recovered => self.publishing.end_recovery(),
                    WriterCommand::DeadLetters(command) => {
                        let carried_out = self.publishing.note_letters(&command, &self.progress);
                        if let Err(error) =
                            carried_out.and_then(|()| self.letters.carry_out(command, &self.progress))
                        {
                            return self.progress.failure.note(error);
                        }
                    }
                }
            }
        });
    }

    /// Writes a part of a commit. Returns the number of bytes of its records.
    fn commit(&mut self, part: CommitPart) -> Result<u64, StoreError> {
        let CommitPart { commit, dead_letters, number, .. } = part;
        let mut written = 0;
        for dead_letter in &dead_letters {
            written += self.letters.put(dead_letter, &self.progress)?;
        }
        let records = commit.optimizations.len() + commit.jobs.len();
        self.progress.records.fetch_add(records as u64, Ordering::AcqRel);
        let numbered = numbered(&self.catalog.read(), commit.optimizations);
        self.places.reserve(&self.trees, numbered.last().map(|(number, _)| *number))?;
        let entries: Vec<_> =
            numbered.iter().map(|(number, optimization)| Entry::of(optimization, *number)).collect();
        let mut changed = self.publishing.changed_numbers(&self.progress);
        let watchers = self.progress.watchers.load_full();
        let scopes = watchers
            .as_ref()
            .filter(|watchers| watchers.is_log_on())
            .map(|_| self.catalog.read().scopes_before(&entries));
        self.journal.append(&self.trees, &self.catalog, entries, || {
            for (id, job) in &commit.jobs {
                if let Some(job) = job {
                    let value = stored_record::encode_job(job)?;
                    pieces::put(&self.trees, &self.trees.jobs, id.as_bytes(), &value)?;
                    written += value.len() as u64;
                }
            }
            self.progress.parked_jobs.note(&commit.jobs);
            written += put_optimizations(&self.trees, &numbered, &mut changed)?;
            Ok(())
        })?;
        self.publishing.note(&self.progress, changed, &numbered);
        self.progress.changes.note(numbered.iter().map(|(_, optimization)| optimization));
        if let Some(watchers) = watchers {
            let scopes = scopes.map(|before| {
                let catalog = self.catalog.read();
                let after = numbered.iter().map(|(number, _)| catalog.scope_of(*number));
                before.into_iter().zip(after).map(|(before, after)| ScopeChange { before, after }).collect()
            });
            watchers.note(numbered.iter().map(|(_, optimization)| &optimization.id), scopes);
        }
        for (id, job) in &commit.jobs {
            if job.is_none() {
                pieces::remove(&self.trees, &self.trees.jobs, id.as_bytes())?;
            }
        }
        self.progress.changes.note_jobs(&commit.jobs);
        if let Some(number) = number {
            self.progress.commits.store(number, Ordering::Release);
        }
        Ok(written)
    }
}
