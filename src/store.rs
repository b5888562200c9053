//! Where views are kept: one sled database a generation, written by one thread, read by any number. The only module
//! that knows sled. Never uses sled's batches or transactions: the first one would make readers wait for ever after.

mod catalog;
mod checkpoint;
mod copying;
mod damage_mark;
mod data_dir_lock;
mod diff;
mod done;
mod failure;
mod frozen_mark;
mod frozen_reader;
mod generations;
mod journal;
mod keys;
mod listing;
mod manifest;
mod missing_history;
mod missing_jobs;
mod os_errors;
mod panics;
mod pieces;
mod preflight;
mod read_only;
mod reader;
mod really_sync;
mod unlinked;
pub mod verify;
mod writer;

pub use checkpoint::{Anchor, Checkpoint, PartitionCheckpoint, TopicIds, add_topic_ids, topic_ids};
pub use copying::{Copied, Copying};
pub use damage_mark::condemn;
pub use data_dir_lock::{DataDirLock, data_dir_around, lock_data_dir, lock_existing_data_dir};
pub use diff::{ViewDiff, compare, is_parked_alike};
pub use frozen_mark::FrozenMark;
#[cfg(test)]
pub use generations::set_other_format;
pub use generations::{
    OpenStore, begin_beside, current, directory, exists, install, make_current, next_number, of_this_format, open,
    open_beside, remove, usable,
};
pub use listing::{GenerationListing, list};
pub use manifest::{
    CloseRecord, GenerationManifest, PartitionPosition, Surplus, note_surplus, note_topics, surplus,
};
pub use missing_history::{MissingHistory, MissingHistoryLedger, accept_missing_history};
pub use missing_jobs::is_missing_job;
pub use panics::caught;
pub use preflight::check_threads_to_serve;
pub use read_only::{GenerationPosition, ReadOnlyStore, open_existing, open_frozen, read_position};
pub use reader::{Kept, ListQuery, Page, PageReader, Reader, Response};
pub use unlinked::{UnlinkedCursor, UnlinkedJob};
pub use writer::Writer;

pub use crate::codec::stored::FORMAT;
use crate::codec::stored::{Damaged, LAYOUT};
use crate::disk;
use keys::Trees;

/// What the store failed at.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // No source: its message has it already, and a chain of errors is printed whole.
    #[error("{}", explain(.0))]
    Sled(sled::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(
        "cannot {doing} {path}: {error}{whose}{remedy}",
        path = path.display(),
        whose = disk::permission_remedy(path, error),
        remedy = os_errors::remedy(error)
    )]
    Io { doing: &'static str, path: std::path::PathBuf, error: std::io::Error },
    #[error("{path} is held by another process: stop it, or use another --data-dir", path = path.display())]
    Held { path: std::path::PathBuf },
    #[error(transparent)]
    OtherOwner(#[from] disk::OtherOwner),
    #[error("there is no store in {path}: give the --data-dir that `optview serve` was given", path = path.display())]
    Missing { path: std::path::PathBuf },
    #[error("the store's writing thread has ended: {0}")]
    WriterEnded(String),
    /// sled panicked because the operating system refused it something, which says nothing about what is stored.
    #[error("sled panicked while {doing}: {text}{remedy}", remedy = os_errors::remedy_in(text))]
    Panicked { doing: String, text: String },
    #[error(
        "{path} has the fold format {found}, and this version's is {FORMAT}: what it shows can be served, its records \
         cannot be decoded; build the views anew with `optview rebuild`, or use the version that wrote it",
        path = path.display()
    )]
    OtherFormat { path: std::path::PathBuf, found: u8 },
    #[error(
        "{path} is laid out as {found}, and this version knows {LAYOUT} only: it was left as it is. Start the version that \
         wrote it, or give another --data-dir, where the views are built anew from Kafka",
        path = path.display()
    )]
    OtherLayout { path: std::path::PathBuf, found: u8 },
}

fn explain(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            "the disk of the --data-dir is full: make room there and start again; nothing is lost, and what was not written \
             is read again"
                .to_owned()
        }
        sled::Error::Io(io) => format!("the store failed: {error}{}", os_errors::remedy(io)),
        error => format!("the store failed: {error}"),
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        StoreError::Sled(error)
    }
}

impl StoreError {
    /// True if it is proven that what is on disk is no longer what was written, so that it must be built anew. What the
    /// operating system refuses (permissions, files, threads, memory, reading) proves nothing: it may be there again at the
    /// next start, and what is stored with it.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Damaged(_) => true,
            StoreError::Sled(error) => match error {
                // The settings that it finds unsupported are those in its own file, which only damage changes.
                sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => true,
                // That a thread of sled's has ended is not what is stored; the other bug that it reports is a page that is not one.
                sled::Error::ReportableBug(text) => !text.contains("IO thread"),
                // A file that ends before what its own index says.
                sled::Error::Io(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
                sled::Error::CollectionNotFound(_) => false,
            },
            StoreError::Io { .. }
            | StoreError::OtherOwner(_)
            | StoreError::Held { .. }
            | StoreError::Missing { .. }
            | StoreError::WriterEnded(_)
            | StoreError::Panicked { .. }
            | StoreError::OtherFormat { .. }
            | StoreError::OtherLayout { .. } => false,
        }
    }

    /// The same error once more, for another who must know.
    fn again(&self) -> StoreError {
        match self {
            StoreError::Sled(error) => StoreError::Sled(error.clone()),
            StoreError::Damaged(damaged) => StoreError::Damaged(damaged.clone()),
            StoreError::Io { doing, path, error } => {
                StoreError::Io { doing, path: path.clone(), error: os_errors::again(error) }
            }
            StoreError::OtherOwner(other) => StoreError::OtherOwner(other.clone()),
            StoreError::Held { path } => StoreError::Held { path: path.clone() },
            StoreError::Missing { path } => StoreError::Missing { path: path.clone() },
            StoreError::WriterEnded(why) => StoreError::WriterEnded(why.clone()),
            StoreError::Panicked { doing, text } => {
                StoreError::Panicked { doing: doing.clone(), text: text.clone() }
            }
            StoreError::OtherFormat { path, found } => {
                StoreError::OtherFormat { path: path.clone(), found: *found }
            }
            StoreError::OtherLayout { path, found } => {
                StoreError::OtherLayout { path: path.clone(), found: *found }
            }
        }
    }

    /// A thread that works on what lies in `path` could not be started.
    pub fn of_thread(path: &std::path::Path, error: std::io::Error) -> StoreError {
        StoreError::io("start a thread for", path)(error)
    }

    fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |error| StoreError::Io { doing, path, error }
    }
}
