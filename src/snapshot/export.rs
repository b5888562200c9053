//! Writes a snapshot. The file gets its name only once it is complete and synced.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file::{EntryKind, MAGIC, SnapshotHead, SnapshotWriter};
use super::{SnapshotError, SnapshotSummary, check_room, check_room_before};
use crate::codec::stored_record;
use crate::data_dir;
use crate::disk::{self, DiskReserve, TargetError};
use crate::domain::Topic;
use crate::progress::{Progress, ProgressSink};
use crate::store::{self, ExportedRecord, Reader};

/// Number of records between two reports of progress.
const PROGRESS_EVERY: u64 = 1_024;

/// Estimated ratio of the store's size to the snapshot's. The store compresses nothing and keeps old versions for
/// a while; snapshots took an eighth of it or less when measured.
const STORE_BYTES_PER_BYTE: u64 = 8;

/// The generation to export, and how.
pub struct ExportRequest<'a> {
    /// The reader of the generation.
    pub reader: &'a Reader,
    /// The name of the generation, which is only reported.
    pub generation: String,
    /// The topics' names in the cluster.
    pub topic: &'a dyn Fn(Topic) -> String,
    /// Size of the generation on disk in bytes.
    pub store_bytes: u64,
    /// The space that is left free on the snapshot's disk.
    pub room: DiskReserve,
    /// True if an existing file may be replaced. It stays until the new one is complete.
    pub replace: bool,
}

/// Writes a snapshot to `file`.
///
/// # Errors
/// Returns an error and makes nothing if `file` exists and may not be replaced, or lies in a data directory.
pub fn export(
    exported: ExportRequest<'_>,
    file: &Path,
    watch: &mut ProgressSink<'_>,
) -> Result<SnapshotSummary, SnapshotError> {
    let ExportRequest { reader, generation, topic, store_bytes, room, replace } = exported;
    disk::check_target(file, replace)?;
    if let Some(data_dir) = data_dir::data_dir_around(file)? {
        return Err(SnapshotError::InDataDir { path: file.to_owned(), data_dir });
    }
    check_room_before(room, file, "the snapshot", store_bytes / STORE_BYTES_PER_BYTE)?;
    let (part, path) = create(file)?;
    let copying = reader.begin_export()?;
    let positions = store::positions(&copying.checkpoint);
    let optimizations = u64::from(reader.numbers());
    let head = SnapshotHead {
        checkpoint: copying.checkpoint.clone(),
        origins: copying.origins.clone(),
        topics: Topic::ALL.map(topic),
        optimizations,
        store_bytes,
    };
    let failed = |error| SnapshotError::io("write", &path)(error);
    let mut entries = SnapshotWriter::begin(&part).map_err(failed)?;
    entries.put(EntryKind::Head, &[], &stored_record::encode(&head, "snapshot's head")?).map_err(failed)?;
    if let Some(id) = &copying.cluster {
        entries.put(EntryKind::Cluster, &[], id.as_bytes()).map_err(failed)?;
    }
    let ids = stored_record::encode(&store::topic_ids(&copying.checkpoint), "list of topic ids")?;
    entries.put(EntryKind::TopicIds, &[], &ids).map_err(failed)?;
    for missing in reader.missing_history()? {
        let value = stored_record::encode(&missing, "missing history")?;
        entries.put(EntryKind::MissingHistory, &[], &value).map_err(failed)?;
    }
    if copying.was_live {
        entries.put(EntryKind::Live, &[], &[]).map_err(failed)?;
    }
    let (mut records, mut views) = (0, 0);
    copying.each(&mut |copied| {
        let put = match copied {
            ExportedRecord::Job(id, job) => entries.put(EntryKind::Job, id, job),
            ExportedRecord::Optimization(optimization) => {
                views += u64::from(stored_record::layout(optimization)?.shown);
                entries.put(EntryKind::Optimization, &[], optimization)
            }
            ExportedRecord::DeadLetter(dead_letter) => entries.put(EntryKind::DeadLetter, &[], dead_letter),
        };
        put.map_err(failed)?;
        records += 1;
        if records % PROGRESS_EVERY == 0 {
            check_room(room, file)?;
            if watch(Progress::new("copying", records, Some(optimizations.max(records)))).is_break() {
                return Err(SnapshotError::Interrupted);
            }
        }
        Ok(())
    })?;
    let bytes = entries.finish().and_then(|bytes| part.sync_all().map(|()| bytes)).map_err(failed)?;
    give_name(path, file, replace)?;
    let directory = disk::directory_of(file);
    disk::sync_directory(directory).map_err(SnapshotError::io("sync", directory))?;
    Ok(SnapshotSummary { file: file.to_owned(), generation, views, records, bytes, positions })
}

/// Creates the temporary file, which is removed unless it gets its name.
fn create(file: &Path) -> Result<(File, TempPath), SnapshotError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let path = PathBuf::from(name);
    let mut created = disk::open_regular(&path).map_err(SnapshotError::io("create", &path))?;
    // The lock protects a file that another export is writing.
    created.try_lock().map_err(|error| SnapshotError::io("lock", &path)(error.into()))?;
    let mut begin = Vec::new();
    let read = created.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin);
    read.and_then(|_| created.rewind()).map_err(SnapshotError::io("read", &path))?;
    // A killed export left a file that begins like a snapshot, as far as it goes.
    if !MAGIC.starts_with(&begin) {
        return Err(SnapshotError::OtherPart { path });
    }
    created.set_len(0).map_err(SnapshotError::io("write", &path))?;
    let path = TempPath::try_from_path(&path).map_err(SnapshotError::io("create", &path))?;
    Ok((created, path))
}

/// Gives the file its name. A file that has appeared there meanwhile is treated like one that existed before.
fn give_name(path: TempPath, file: &Path, replace: bool) -> Result<(), SnapshotError> {
    disk::check_target(file, replace)?;
    let named = if replace { path.persist(file) } else { path.persist_noclobber(file) };
    named.map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => TargetError::Exists { path: file.to_owned() }.into(),
        _ => SnapshotError::io("write", file)(error.error),
    })
}
