//! The store of the views: one sled database a generation, written by one thread, read by any number. This is the only
//! module that knows sled. It never uses sled's batches or transactions: the first one would make readers wait for ever after.

mod catalog;
mod checkpoint;
mod damage_mark;
mod data_dir_lock;
mod diff;
mod export;
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
mod parked_job_feed;
mod pieces;
mod preflight;
mod progress;
mod read_only;
mod reader;
mod sled_fsync;
mod unlinked_jobs;
pub mod verify;
mod writer;

pub use checkpoint::{Anchor, Checkpoint, PartitionCheckpoint, TopicIds, add_topic_ids, topic_ids};
pub use damage_mark::condemn;
pub use data_dir_lock::{DataDirLock, data_dir_around, lock_data_dir, lock_existing_data_dir};
pub use diff::{ViewDiff, compare, is_parked_alike};
pub use export::{Export, ExportedRecord};
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
pub use panics::catch_sled_panic;
pub use preflight::check_threads_to_serve;
pub use read_only::{GenerationPosition, ReadOnlyStore, open_existing, open_frozen, read_position};
pub use reader::{ListQuery, Page, PageReader, Reader, Response, StoredRecord};
pub use unlinked_jobs::{UnlinkedCursor, UnlinkedJob};
pub use writer::Writer;

pub use crate::codec::stored_record::FORMAT;
use crate::codec::stored_record::{CorruptValue, LAYOUT};
use crate::disk;
use keys::Trees;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // No source: its message has it already, and a chain of errors is printed whole.
    /// The database has failed. Only some of its errors prove damage: see [`StoreError::is_damage`].
    #[error("{}", explain(.0))]
    Sled(sled::Error),
    /// A stored value is not what was written.
    #[error(transparent)]
    Damaged(#[from] CorruptValue),
    /// The operating system has refused an operation on a file or a directory, or could not start a thread.
    #[error(
        "cannot {doing} {path}: {error}{whose}{remedy}",
        path = path.display(),
        whose = disk::permission_remedy(path, error),
        remedy = os_errors::remedy(error)
    )]
    Io {
        /// The operation, as a verb in the message.
        doing: &'static str,
        /// The file or directory, or the one whose data the thread was to work on.
        path: std::path::PathBuf,
        /// The operating system's error.
        error: std::io::Error,
    },
    /// Another process has the data directory or the generation open.
    #[error("{path} is held by another process: stop it, or use another --data-dir", path = path.display())]
    Held {
        /// The directory that is held.
        path: std::path::PathBuf,
    },
    /// The directory belongs to another user than the process runs as.
    #[error(transparent)]
    OtherOwner(#[from] disk::OtherOwner),
    /// There is no store in the data directory.
    #[error("there is no store in {path}: give the --data-dir that `optview serve` was given", path = path.display())]
    Missing {
        /// The data directory.
        path: std::path::PathBuf,
    },
    /// The thread that writes has ended, so that nothing can be written any more: the reason.
    #[error("the store's writing thread has ended: {0}")]
    WriterEnded(String),
    /// sled panicked because the operating system refused it something, which proves nothing about the stored data.
    #[error("sled panicked while {doing}: {text}{remedy}", remedy = os_errors::remedy_in(text))]
    Panicked {
        /// The operation during which it panicked, as a participle in the message.
        doing: String,
        /// The text of the panic.
        text: String,
    },
    /// Another version has folded the generation, and this one cannot decode its registers.
    #[error(
        "{path} has the fold format {found}, and this version's is {FORMAT}: what it shows can be served, its records \
         cannot be decoded; build the views anew with `optview rebuild`, or use the version that wrote it",
        path = path.display()
    )]
    OtherFormat {
        /// The directory of the generation.
        path: std::path::PathBuf,
        /// The fold format of the generation.
        found: u8,
    },
    /// Another version has written the generation, and this one cannot read anything of it.
    #[error(
        "{path} is laid out as {found}, and this version knows {LAYOUT} only: it was left as it is. Start the version that \
         wrote it, or give another --data-dir, where the views are built anew from Kafka",
        path = path.display()
    )]
    OtherLayout {
        /// The directory of the generation.
        path: std::path::PathBuf,
        /// The layout of the generation.
        found: u8,
    },
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
    /// True if the error proves that the disk no longer holds what was written, so that the store must be built anew. A
    /// refusal by the operating system (permissions, files, threads, memory, reading) proves nothing: the next start may
    /// get what this one did not, and find the store whole.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Damaged(_) => true,
            StoreError::Sled(error) => match error {
                // The settings that sled calls unsupported stand in its own file, which only damage changes.
                sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => true,
                // The end of one of sled's threads is no damage; the other bug that sled reports is a page that is none.
                sled::Error::ReportableBug(text) => !text.contains("IO thread"),
                // The file ends before the place that its own index gives.
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

    /// Makes a second copy of the error, for another thread that must return it.
    fn duplicate(&self) -> StoreError {
        match self {
            StoreError::Sled(error) => StoreError::Sled(error.clone()),
            StoreError::Damaged(damaged) => StoreError::Damaged(damaged.clone()),
            StoreError::Io { doing, path, error } => {
                StoreError::Io { doing, path: path.clone(), error: os_errors::duplicate(error) }
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

    /// Makes the error of a thread that works on the data in `path` and could not be started.
    pub fn of_thread(path: &std::path::Path, error: std::io::Error) -> StoreError {
        StoreError::io("start a thread for", path)(error)
    }

    fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |error| StoreError::Io { doing, path, error }
    }
}
