//! A snapshot is a copy of a generation in one file: its views, its parked jobs, its dead letters, and the
//! checkpoint from which a new replica continues. It is compressed and checksummed, and the same on every machine.
//!
//! Taking a snapshot never pauses the generation, and importing one never touches an existing store.

mod export;
mod file;
mod import;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codec::stored_record::{CorruptValue, FORMAT};
use crate::data_dir::{DataDirError, PartitionPosition};
use crate::disk::{self, DiskReserve};
use crate::store::{OpenError, StoreError};
pub use export::{ExportRequest, export};
pub use import::{import, import_where_none};

/// The summary of a snapshot that was taken or imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSummary {
    /// The path of the snapshot, as it was given.
    pub file: PathBuf,
    /// The generation that the snapshot was taken of, or that it was imported as.
    pub generation: String,
    /// Number of views that readers see.
    pub views: u64,
    /// Number of optimizations, parked jobs and dead letters.
    pub records: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The positions from which a store that is made of the snapshot continues.
    pub positions: Vec<PartitionPosition>,
}

/// The reason for which there is no snapshot, or no store made of one. Existing files are unchanged then.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// An operation on a file or directory has failed.
    #[error(
        "cannot {doing} {path}: {error}{whose}",
        path = path.display(),
        whose = disk::permission_remedy(path, error)
    )]
    Io {
        /// The operation, as a verb in the message.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operation.
        error: std::io::Error,
    },
    /// The file does not begin as a snapshot does.
    #[error("{path} is no snapshot: give a file that `optview snapshot export` wrote", path = path.display())]
    NoSnapshot {
        /// The path of the file.
        path: PathBuf,
    },
    /// The store in the snapshot has a layout that this version cannot read.
    #[error("{path} has the layout {found}, which this version does not know: use the version that wrote it", path = path.display())]
    Layout {
        /// The path of the snapshot.
        path: PathBuf,
        /// The layout in the snapshot.
        found: u8,
    },
    /// The snapshot is of a version with another fold format.
    #[error("the records of {path} have the format {found}, and this version reads {FORMAT}: use the version that wrote it, or take another snapshot with this one", path = path.display())]
    Format {
        /// The path of the snapshot.
        path: PathBuf,
        /// The fold format in the snapshot.
        found: u8,
    },
    /// The file ends before the snapshot does.
    #[error("{path} is cut short: copy it again, or take another snapshot", path = path.display())]
    Cut {
        /// The path of the snapshot.
        path: PathBuf,
    },
    /// The bytes of the file are not those that were written.
    #[error("{path} was altered: its checksum is not that of what it holds; copy it again, or take another snapshot", path = path.display())]
    Altered {
        /// The path of the snapshot.
        path: PathBuf,
    },
    /// The snapshot is of topics with other names than the configured ones.
    #[error("{path} is a snapshot of a store that was built from other topics: {difference}", path = path.display())]
    OtherTopics {
        /// The path of the snapshot.
        path: PathBuf,
        /// The difference, with what to do about it.
        difference: String,
    },
    /// The snapshot cannot be written at the path that was given.
    #[error(transparent)]
    Target(#[from] disk::TargetError),
    /// The snapshot would be written into a data directory.
    #[error(
        "{path} lies in the data directory {data_dir}, in which nothing but optview's own files may be: write it elsewhere",
        path = path.display(), data_dir = data_dir.display()
    )]
    InDataDir {
        /// The path that was given.
        path: PathBuf,
        /// The data directory that the path lies in.
        data_dir: PathBuf,
    },
    /// The file that an export would write first, until it is whole, exists and is no unfinished snapshot.
    #[error("{path} is another file and not an unfinished snapshot: remove it, or give another name", path = path.display())]
    OtherPart {
        /// The path of that file.
        path: PathBuf,
    },
    /// The data directory that a snapshot would be imported into has a store.
    #[error("{path} holds a store already: import into another --data-dir", path = path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// The disk has too little room to begin.
    #[error(
        "there is too little room on the disk of {path}: {what} takes about {wanted} bytes, {floor} are to stay free \
         (--min-free-disk), and {free} are; nothing was made",
        path = path.display()
    )]
    NoRoom {
        /// The path that would be written.
        path: PathBuf,
        /// The thing that would be written, with its article.
        what: &'static str,
        /// Estimated size of that thing in bytes.
        wanted: u64,
        /// Number of bytes that must stay free.
        floor: u64,
        /// Number of bytes that are free.
        free: u64,
    },
    /// The disk became too full while it was written to.
    #[error(
        "the disk of {path} became too full: {free} bytes are free, and {floor} are to stay so (--min-free-disk); what \
         was made is removed",
        path = path.display()
    )]
    DiskFull {
        /// The path that was written.
        path: PathBuf,
        /// Number of bytes that must stay free.
        floor: u64,
        /// Number of bytes that were free.
        free: u64,
    },
    /// The receiver of the progress has ended the work.
    #[error("it was told to stop")]
    Interrupted,
    /// The data directory that is copied from or made cannot be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The generation that is copied or made cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store that is copied or made cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value in the store or in the snapshot cannot be decoded.
    #[error(transparent)]
    Damaged(#[from] CorruptValue),
}

/// Checks that the disk has room for `wanted` more bytes, before anything is made.
fn check_room_before(
    reserve: DiskReserve,
    path: &Path,
    what: &'static str,
    wanted: u64,
) -> Result<(), SnapshotError> {
    match reserve.shortage(path, wanted).map_err(SnapshotError::io("look at", path))? {
        Some(free) => {
            Err(SnapshotError::NoRoom { path: path.to_owned(), what, wanted, floor: reserve.floor_bytes, free })
        }
        None => Ok(()),
    }
}

/// Checks that the reserve is still free, while `path` grows.
fn check_room(reserve: DiskReserve, path: &Path) -> Result<(), SnapshotError> {
    match reserve.shortage(path, 0).map_err(SnapshotError::io("look at", path))? {
        Some(free) => Err(SnapshotError::DiskFull { path: path.to_owned(), floor: reserve.floor_bytes, free }),
        None => Ok(()),
    }
}

impl SnapshotError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
        let path = path.to_owned();
        move |error| SnapshotError::Io { doing, path, error }
    }
}
