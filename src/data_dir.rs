//! The data directory: which generations there are, which of them is the live one, whose the directory is, and what is noted of
//! each generation beside its database. It opens no database, so that it can be looked at while another process has one.

mod damage_mark;
mod frozen_mark;
mod generations;
mod io_error;
mod listing;
mod lock;
mod manifest;
pub mod os_errors;
mod published_note;

use std::path::{Path, PathBuf};

pub use damage_mark::{condemn, condemnation, move_aside};
pub use frozen_mark::FrozenMark;
pub use generations::{
    current, directory, exists, install, make_current, next_number, of_this_format, prepare, remove, sync_files,
    usable, wait_until_closed,
};
pub use io_error::IoError;
pub use listing::{GenerationListing, list};
pub use lock::{DataDirLock, data_dir_around, lock_data_dir, lock_existing_data_dir};
pub use manifest::{
    CloseRecord, GenerationManifest, MissingHistory, PartitionPosition, Surplus, note_closed, note_surplus,
    note_topics, now, surplus,
};
pub use published_note::PublishedNote;

use crate::disk;

/// An error of the files of a data directory.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DataDirError {
    /// The operating system has refused an operation on a file or a directory.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Another process has the data directory or the generation open.
    #[error("{path} is held by another process: stop it, or use another --data-dir", path = path.display())]
    Held {
        /// The directory that is held.
        path: PathBuf,
    },
    /// The directory belongs to another user than the process runs as.
    #[error(transparent)]
    OtherOwner(#[from] disk::OtherOwner),
    /// There is no store in the data directory.
    #[error("there is no store in {path}: give the --data-dir that `optview serve` was given", path = path.display())]
    Missing {
        /// The data directory.
        path: PathBuf,
    },
}

impl DataDirError {
    /// Returns the function that makes an error of an operation on `path` from the operating system's.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DataDirError {
        let refused = IoError::of(doing, path);
        move |error| DataDirError::Io(refused(error))
    }
}

/// Returns true if there is such a file. One that cannot be looked at may be there.
fn is_there(path: &Path) -> Result<bool, DataDirError> {
    path.try_exists().map_err(DataDirError::io("look at", path))
}
