//! The directory of an archive that is written to: creating it, checking whose it is, and removing what a crash
//! left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::errors::{ArchiveError, ReadError};
use super::format::{MANIFEST, NEW_MANIFEST, VERSION};
use super::manifest::{ArchivedTopic, Manifest, number_of, sync_directory};
use crate::disk::{self, LockError};
use crate::domain::Topic;

/// Name of the empty file that is locked while the archive is written to.
const LOCK: &str = "LOCK";

/// The cluster and the topics that an archive belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveIdentity {
    /// The id that the cluster gives itself.
    pub cluster_id: String,
    /// The archived topics, at most one of each stream.
    pub topics: Vec<ArchivedTopic>,
}

/// An archive that no other process writes to.
pub struct Archive {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
    proven: Vec<Topic>,
    // Dropping the lock lets other processes write.
    _lock: File,
}

impl Archive {
    /// Opens the archive, or creates one in an empty directory. An archive of other topics stays unchanged.
    pub fn open(directory: &Path, identity: ArchiveIdentity) -> Result<Archive, ArchiveError> {
        fs::create_dir_all(directory).map_err(ArchiveError::io("create", directory))?;
        let manifest = directory.join(MANIFEST);
        let is_there = manifest.try_exists().map_err(ArchiveError::io("look at", &manifest))?;
        if !is_there && !is_empty(directory)? {
            return Err(ArchiveError::NotEmpty { directory: directory.to_owned() });
        }
        disk::check_owner(directory, if is_there { &manifest } else { directory })?;
        let lock = lock(directory)?;
        let (manifest, proven) = match Manifest::read(directory) {
            Ok(held) => check_identity(directory, held, identity)?,
            Err(ArchiveError::NoArchive { .. }) => (begin(directory, identity)?, Vec::new()),
            Err(error) => return Err(error),
        };
        remove_unfinished(directory, &manifest)?;
        Ok(Archive { directory: directory.to_owned(), manifest, proven, _lock: lock })
    }

    /// Returns the manifest as it was when the archive was opened.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns true if the topic's id proves that it is the one that was archived before.
    pub fn is_proven(&self, stream: Topic) -> bool {
        self.proven.contains(&stream)
    }
}

fn lock(directory: &Path) -> Result<File, ArchiveError> {
    let path = directory.join(LOCK);
    disk::lock_file(&path).map_err(|error| match error {
        LockError::Held => ArchiveError::Locked { directory: directory.to_owned() },
        LockError::Io { doing, error } => ArchiveError::io(doing, &path)(error),
    })
}

/// Writes the first manifest at once: a crash during the first file must not leave a directory that looks like
/// somebody else's.
fn begin(directory: &Path, identity: ArchiveIdentity) -> Result<Manifest, ArchiveError> {
    let ArchiveIdentity { cluster_id, topics } = identity;
    let manifest = Manifest { version: VERSION, cluster_id, topics, files: Vec::new() };
    manifest.write(directory)?;
    // The directory's own name lies in its parent.
    let whole = fs::canonicalize(directory).map_err(ArchiveError::io("look at", directory))?;
    whole.parent().map_or(Ok(()), sync_directory)?;
    Ok(manifest)
}

/// Checks the identity, and takes over the present number of partitions and the topics' ids. Also returns the
/// topics that are proven by their ids.
fn check_identity(
    directory: &Path,
    mut held: Manifest,
    mut identity: ArchiveIdentity,
) -> Result<(Manifest, Vec<Topic>), ArchiveError> {
    let mut proven = Vec::new();
    let directory = || directory.to_owned();
    if held.cluster_id != identity.cluster_id {
        let (archived, found) = (held.cluster_id, identity.cluster_id);
        return Err(ArchiveError::OtherCluster { directory: directory(), archived, found });
    }
    for found in &mut identity.topics {
        let Some(archived) = held.topic(found.stream) else { continue };
        match (archived.id, found.id) {
            (Some(was), Some(is)) if was != is => {
                let (topic, archived, found) = (archived.topic.clone(), was, is);
                return Err(ArchiveError::Recreated { topic, archived, found });
            }
            (Some(_), Some(_)) => proven.push(found.stream),
            // An id that was known once is kept.
            (was, is) => found.id = is.or(was),
        }
        if archived.topic != found.topic {
            let (archived, found) = (archived.topic.clone(), found.topic.clone());
            return Err(ArchiveError::OtherTopic { directory: directory(), archived, found });
        }
        if archived.partitions > found.partitions {
            let (topic, found, archived) = (archived.topic.clone(), found.partitions, archived.partitions);
            return Err(ArchiveError::FewerPartitions { topic, archived, found });
        }
    }
    held.topics = identity.topics;
    Ok((held, proven))
}

fn is_empty(directory: &Path) -> Result<bool, ArchiveError> {
    // A crash while an archive was being created leaves these files.
    let names = names(directory)?;
    Ok(names.iter().all(|name| [LOCK, NEW_MANIFEST].contains(&name.as_str())))
}

/// Cuts off and removes the bytes and files that an export had not finished.
fn remove_unfinished(directory: &Path, manifest: &Manifest) -> Result<(), ArchiveError> {
    for file in &manifest.files {
        let path = directory.join(&file.name);
        let open = File::options().write(true).open(&path).map_err(ArchiveError::io("open", &path))?;
        let len = open.metadata().map_err(ArchiveError::io("look at", &path))?.len();
        if len < file.bytes {
            let why = format!(
                "{len} bytes, where the manifest lists {}: it was cut; restore it from a copy, or export into \
                 another directory",
                file.bytes
            );
            return Err(ReadError::File { file: file.name.clone(), why }.into());
        }
        if len > file.bytes {
            tracing::warn!(file = file.name, bytes = len - file.bytes, "cutting off the unfinished end of a file");
            open.set_len(file.bytes).map_err(ArchiveError::io("cut", &path))?;
        }
    }
    let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
    for name in names(directory)?.iter().filter(|name| number_of(name).is_some() && !listed(name)) {
        tracing::warn!(file = name, "removing an unfinished file");
        let path = directory.join(name);
        fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?;
    }
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<String>, ArchiveError> {
    let read = || {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<Result<Vec<_>, std::io::Error>>()
    };
    read().map_err(ArchiveError::io("read", directory))
}
