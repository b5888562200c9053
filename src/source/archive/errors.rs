//! Errors of archives, with messages that state what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::format::{MANIFEST, VERSION};
use crate::disk;
use crate::domain::TopicId;

// The field is `why` and not `source`, because each message contains it and error chains are printed whole.
/// The reason for which an archive cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The directory has no manifest.
    #[error("{} is not an archive: it has no {MANIFEST}; is the path right?", .directory.display())]
    NoArchive {
        /// The directory that was given.
        directory: PathBuf,
    },
    /// An archive would begin in a directory that has other files.
    #[error(
        "{} has files, but no {MANIFEST}: it is not an archive, and nothing was written to it; give an empty \
         directory, or one that is not there yet",
        .directory.display()
    )]
    NotEmpty {
        /// The directory that was given.
        directory: PathBuf,
    },
    /// Another process writes to the archive.
    #[error("{} is being written to by another export; wait for it, or stop it", .directory.display())]
    Locked {
        /// The directory of the archive.
        directory: PathBuf,
    },
    /// A later version of this program wrote the archive.
    #[error("{} is of version {version}, and this optview knows up to {VERSION}; use a newer one", .path.display())]
    Newer {
        /// The path of the manifest.
        path: PathBuf,
        /// The version in the manifest.
        version: u32,
    },
    /// The manifest is damaged.
    #[error("{} cannot be understood: {why}; restore it from a copy", .path.display())]
    Manifest {
        /// The path of the manifest.
        path: PathBuf,
        /// The defect.
        why: String,
    },
    /// The archive belongs to another cluster than the one that would be exported.
    #[error(
        "{} is an archive of the cluster {archived}, and this one is {found}; give each cluster a directory of its own",
        .directory.display()
    )]
    OtherCluster {
        /// The directory of the archive.
        directory: PathBuf,
        /// The id of the cluster that the archive belongs to.
        archived: String,
        /// The id of the cluster that was to be exported.
        found: String,
    },
    /// The archive has a stream from a topic of another name.
    #[error(
        "{} is an archive of the topic `{archived}`, and not of `{found}`; give each set of topics a directory of its \
         own",
        .directory.display()
    )]
    OtherTopic {
        /// The directory of the archive.
        directory: PathBuf,
        /// The name of the archived topic.
        archived: String,
        /// The name of the topic that was to be exported.
        found: String,
    },
    /// A topic has fewer partitions than it had, which Kafka never does to a topic.
    #[error(
        "the topic `{topic}` had {archived} partitions when it was archived, and has {found}: it was created again; \
         archive it into another directory"
    )]
    FewerPartitions {
        /// The name of the topic.
        topic: String,
        /// Number of partitions in the archive.
        archived: i32,
        /// Number of partitions in the cluster.
        found: i32,
    },
    /// A topic has another id than the archived one of the same name.
    #[error(
        "the topic `{topic}` had the id {archived} when it was archived, and has {found}: it was deleted and created again, \
         so that its offsets are those of other records; keep the archive as it is, and export into another directory"
    )]
    Recreated {
        /// The name of the topic.
        topic: String,
        /// The id of the archived topic.
        archived: TopicId,
        /// The id of the topic in the cluster.
        found: TopicId,
    },
    /// The archive is damaged, or a file of it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The directory belongs to another user than the process runs as.
    #[error(transparent)]
    OtherOwner(#[from] disk::OtherOwner),
    /// The operating system has refused an operation.
    #[error("cannot {doing} {}: {why}{}", .path.display(), disk::permission_remedy(.path, .why))]
    Io {
        /// The operation, as a verb in the message.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        why: io::Error,
    },
    /// The thread that writes has ended without an error, which cannot happen unless it panicked.
    #[error("the archive's writing thread has ended; this is a bug, please report it")]
    AppenderGone,
}

impl ArchiveError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
        move |why| ArchiveError::Io { doing, path: path.to_owned(), why }
    }
}

/// A damaged place of an archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A line is not a sound record where one should be. Lines after it may be sound.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// The name of the file in the archive.
        file: String,
        /// The number of the line, counted from 1.
        line: u64,
        /// The defect, as the rest of the message.
        why: String,
    },
    /// A file is not what the manifest lists, or cannot be read any further.
    #[error("{file}: {why}")]
    File {
        /// The name of the file in the archive.
        file: String,
        /// The defect, as the rest of the message.
        why: String,
    },
}
