//! Writes a snapshot, under its name only once it is whole and on the disk.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file::{Entries, Head, Kind, MAGIC};
use super::{Room, SnapshotError, Summary, Watch};
use crate::codec::stored;
use crate::disk::{self, TargetError};
use crate::domain::Topic;
use crate::store::{self, ExportedRecord, PartitionPosition, Reader};

/// How many records are written before anybody is told.
const TOLD_EVERY: u64 = 1_024;

/// A snapshot takes less than the store that it is of, where nothing is compressed and old versions stay for a while: an
/// eighth of it, in what was measured.
const STORE_BYTES_PER_BYTE: u64 = 8;

/// What is to be exported.
pub struct Exported<'a> {
    pub reader: &'a Reader,
    pub generation: String,
    /// What the topics are called in the cluster.
    pub topic: &'a dyn Fn(Topic) -> String,
    /// What the generation takes on disk.
    pub store_bytes: u64,
    pub room: Room,
    /// Whether a file that is there may be replaced. It stays until the new one is whole.
    pub replace: bool,
}

/// Writes a snapshot to `file`.
///
/// # Errors
/// Where `file` is there and may not be replaced, or lies in a data directory; then nothing is made.
pub fn export(exported: Exported<'_>, file: &Path, watch: &mut Watch<'_>) -> Result<Summary, SnapshotError> {
    let Exported { reader, generation, topic, store_bytes, room, replace } = exported;
    disk::check_target(file, replace)?;
    if let Some(data_dir) = store::data_dir_around(file)? {
        return Err(SnapshotError::InDataDir { path: file.to_owned(), data_dir });
    }
    room.check_before(file, "the snapshot", store_bytes / STORE_BYTES_PER_BYTE)?;
    let (part, path) = create(file)?;
    let copying = reader.begin_export()?;
    let positions = PartitionPosition::all(&copying.checkpoint);
    let optimizations = u64::from(reader.numbers());
    let head = Head {
        checkpoint: copying.checkpoint.clone(),
        origins: copying.origins.clone(),
        topics: Topic::ALL.map(topic),
        optimizations,
        store_bytes,
    };
    let failed = |error| SnapshotError::io("write", &path)(error);
    let mut entries = Entries::begin(&part).map_err(failed)?;
    entries.put(Kind::Head, &[], &stored::encode(&head, "snapshot's head")?).map_err(failed)?;
    if let Some(id) = &copying.cluster {
        entries.put(Kind::Cluster, &[], id.as_bytes()).map_err(failed)?;
    }
    let ids = stored::encode(&store::topic_ids(&copying.checkpoint), "list of topic ids")?;
    entries.put(Kind::TopicIds, &[], &ids).map_err(failed)?;
    for missing in reader.missing_history()? {
        let value = stored::encode(&missing, "missing history")?;
        entries.put(Kind::MissingHistory, &[], &value).map_err(failed)?;
    }
    if copying.was_live {
        entries.put(Kind::Live, &[], &[]).map_err(failed)?;
    }
    let (mut records, mut views) = (0, 0);
    copying.each(&mut |copied| {
        let put = match copied {
            ExportedRecord::Job(id, job) => entries.put(Kind::Job, id, job),
            ExportedRecord::Optimization(optimization) => {
                views += u64::from(stored::layout(optimization)?.shown);
                entries.put(Kind::Optimization, &[], optimization)
            }
            ExportedRecord::DeadLetter(dead_letter) => entries.put(Kind::DeadLetter, &[], dead_letter),
        };
        put.map_err(failed)?;
        records += 1;
        if records % TOLD_EVERY == 0 {
            room.check(file)?;
            if watch("copying", records, optimizations.max(records)).is_break() {
                return Err(SnapshotError::ToldToEnd);
            }
        }
        Ok(())
    })?;
    let bytes = entries.finish().and_then(|bytes| part.sync_all().map(|()| bytes)).map_err(failed)?;
    give_name(path, file, replace)?;
    let directory = disk::directory_of(file);
    disk::sync_directory(directory).map_err(SnapshotError::io("sync", directory))?;
    Ok(Summary { file: file.to_owned(), generation, views, records, bytes, positions })
}

/// The file as it is written, which is removed where it does not get its name.
fn create(file: &Path) -> Result<(File, TempPath), SnapshotError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let path = PathBuf::from(name);
    let mut created = disk::open_regular(&path).map_err(SnapshotError::io("create", &path))?;
    // Another that is being written there keeps it.
    created.try_lock().map_err(|error| SnapshotError::io("lock", &path)(error.into()))?;
    let mut begin = Vec::new();
    let read = created.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin);
    read.and_then(|_| created.rewind()).map_err(SnapshotError::io("read", &path))?;
    // What a kill left of one begins as one does, as far as it goes.
    if !MAGIC.starts_with(&begin) {
        return Err(SnapshotError::OtherPart { path });
    }
    created.set_len(0).map_err(SnapshotError::io("write", &path))?;
    let path = TempPath::try_from_path(&path).map_err(SnapshotError::io("create", &path))?;
    Ok((created, path))
}

/// Gives the file its name. What has come to be there meanwhile is treated as if it had been there before.
fn give_name(path: TempPath, file: &Path, replace: bool) -> Result<(), SnapshotError> {
    disk::check_target(file, replace)?;
    let named = if replace { path.persist(file) } else { path.persist_noclobber(file) };
    named.map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => TargetError::Exists { path: file.to_owned() }.into(),
        _ => SnapshotError::io("write", file)(error.error),
    })
}
