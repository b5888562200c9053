//! The errors of the store: one of opening a generation, and one of reading and writing an open one.

use std::io;
use std::path::{Path, PathBuf};

use super::keys::KNOWN_LAYOUTS;
use crate::codec::stored_record::{CorruptValue, FORMAT, VIEWS_FORMAT};
use crate::data_dir::{DataDirError, IoError, os_errors};

/// An error of an open store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    // No source: its message has it already, and a chain of errors is printed whole.
    /// The database has failed. Only some of its errors prove damage: see [`StoreError::is_damage`].
    #[error("{}", explain(.0))]
    Sled(sled::Error),
    /// A stored value is not what was written.
    #[error(transparent)]
    Damaged(#[from] CorruptValue),
    /// The operating system has refused an operation on a file, or could not start a thread.
    #[error(transparent)]
    Io(#[from] IoError),
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
    /// A list would have to look at too many views one by one: those that pass its filters, apart from a search.
    #[error(
        "{count} optimizations pass the other filters, and no more than {most} are searched or sorted by name: name a \
         project_id, or set created_after and created_before"
    )]
    TooManyToSearch {
        /// The number of views.
        count: u64,
        /// The most views that are looked at.
        most: u64,
    },
    /// The generation is made of a topic of views, so that it has no registers.
    #[error(
        "{path} is made of a topic of views (`optview serve --from-views`): it has the views, and nothing of the events that they are \
         made of. Serve it with --from-views, or give another --data-dir; what needs the events can be asked of an instance that \
         reads them",
        path = path.display()
    )]
    MadeOfViews {
        /// The directory of the generation.
        path: PathBuf,
    },
    /// The generation is made of events, which a topic of views cannot continue.
    #[error(
        "{path} is made of events, and not of a topic of views: serve it without --from-views, or give another --data-dir, where \
         the store is made of the topic",
        path = path.display()
    )]
    MadeOfEvents {
        /// The directory of the generation.
        path: PathBuf,
    },
    /// Another version has folded the generation, and this one cannot decode its registers.
    #[error(
        "{path} has the fold format {found}, and this version's is {FORMAT}: what it shows can be served, its records \
         cannot be decoded; build the views anew with `optview rebuild`, or use the version that wrote it",
        path = path.display()
    )]
    OtherFormat {
        /// The directory of the generation.
        path: PathBuf,
        /// The fold format of the generation.
        found: u8,
    },
}

/// An error of the opening of a generation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The files of the generation cannot be read or changed.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database of the generation cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another version has written the generation, and this one cannot read anything of it.
    #[error(
        "{path} is laid out as {found}, and this version knows {known} only: it was left as it is. Start the version that \
         wrote it, or give another --data-dir, where the views are built anew from Kafka",
        known = KNOWN_LAYOUTS.map(|layout| layout.to_string()).join(" and "),
        path = path.display()
    )]
    OtherLayout {
        /// The directory of the generation.
        path: PathBuf,
        /// The layout of the generation.
        found: u8,
    },
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
                sled::Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
                sled::Error::CollectionNotFound(_) => false,
            },
            StoreError::Io(_)
            | StoreError::WriterEnded(_)
            | StoreError::Panicked { .. }
            | StoreError::TooManyToSearch { .. }
            | StoreError::MadeOfViews { .. }
            | StoreError::MadeOfEvents { .. }
            | StoreError::OtherFormat { .. } => false,
        }
    }

    /// Makes the error of a generation whose records this version cannot decode.
    pub(super) fn of_format(path: &Path, found: u8) -> StoreError {
        let path = path.to_owned();
        match found {
            VIEWS_FORMAT => StoreError::MadeOfViews { path },
            found => StoreError::OtherFormat { path, found },
        }
    }

    /// Makes the error of a thread that works on the data in `path` and could not be started.
    pub fn of_thread(path: &Path, error: io::Error) -> StoreError {
        IoError::of("start a thread for", path)(error).into()
    }
}

impl OpenError {
    /// True if the error proves damage, as [`StoreError::is_damage`] does.
    pub fn is_damage(&self) -> bool {
        match self {
            OpenError::Store(error) => error.is_damage(),
            OpenError::DataDir(_) | OpenError::OtherLayout { .. } => false,
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        StoreError::Sled(error)
    }
}

impl From<sled::Error> for OpenError {
    fn from(error: sled::Error) -> OpenError {
        OpenError::Store(error.into())
    }
}

impl From<CorruptValue> for OpenError {
    fn from(error: CorruptValue) -> OpenError {
        OpenError::Store(error.into())
    }
}

impl From<IoError> for OpenError {
    fn from(error: IoError) -> OpenError {
        OpenError::Store(error.into())
    }
}

fn explain(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            "the disk of the --data-dir is full: make room there and start again; nothing is lost, and what was not written \
             is read again"
                .to_owned()
        }
        sled::Error::Io(io) => format!("the store failed: {error}{}", os_errors::remedy(io)),
        error => format!("the store failed: {error}"),
    }
}
