//! Errors of archives, with messages that state what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::manifest::{MANIFEST, VERSION};
use crate::disk;
use crate::domain::TopicId;

// The field is `why` and not `source`, because each message contains it and error chains are printed whole.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{} is not an archive: it has no {MANIFEST}; is the path right?", .directory.display())]
    NoArchive { directory: PathBuf },
    #[error(
        "{} has files, but no {MANIFEST}: it is not an archive, and nothing was written to it; give an empty \
         directory, or one that is not there yet",
        .directory.display()
    )]
    NotEmpty { directory: PathBuf },
    #[error("{} is being written to by another export; wait for it, or stop it", .directory.display())]
    Locked { directory: PathBuf },
    #[error("{} is of version {version}, and this optview knows up to {VERSION}; use a newer one", .path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("{} cannot be understood: {why}; restore it from a copy", .path.display())]
    Manifest { path: PathBuf, why: String },
    #[error(
        "{} is an archive of the cluster {archived}, and this one is {found}; give each cluster a directory of its own",
        .directory.display()
    )]
    OtherCluster { directory: PathBuf, archived: String, found: String },
    #[error(
        "{} is an archive of the topic `{archived}`, and not of `{found}`; give each set of topics a directory of its \
         own",
        .directory.display()
    )]
    OtherTopic { directory: PathBuf, archived: String, found: String },
    #[error(
        "the topic `{topic}` had {archived} partitions when it was archived, and has {found}: it was created again; \
         archive it into another directory"
    )]
    FewerPartitions { topic: String, archived: i32, found: i32 },
    #[error(
        "the topic `{topic}` had the id {archived} when it was archived, and has {found}: it was deleted and created again, \
         so that its offsets are those of other records; keep the archive as it is, and export into another directory"
    )]
    Recreated { topic: String, archived: TopicId, found: TopicId },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    OtherOwner(#[from] disk::OtherOwner),
    #[error("cannot {doing} {}: {why}{}", .path.display(), disk::permission_remedy(.path, .why))]
    Io { doing: &'static str, path: PathBuf, why: io::Error },
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
    #[error("{file}, line {line}: {why}")]
    Line { file: String, line: u64, why: String },
    #[error("{file}: {why}")]
    File { file: String, why: String },
}
