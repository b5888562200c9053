//! Writes a snapshot, under its name only once it is whole and on the disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file::{Entries, Head, Kind};
use super::{Room, SnapshotError, Summary, Watch};
use crate::codec::stored;
use crate::disk;
use crate::domain::Topic;
use crate::store::{self, Copied, PartitionPosition, Reader};

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
}

/// Writes a snapshot to `file`, of which one that is there stays until the new one is whole.
pub fn export(exported: Exported<'_>, file: &Path, watch: &mut Watch<'_>) -> Result<Summary, SnapshotError> {
    let Exported { reader, generation, topic, store_bytes, room } = exported;
    room.check_before(file, "the snapshot", store_bytes / STORE_BYTES_PER_BYTE)?;
    let (part, path) = create(file)?;
    let copying = reader.begin_copy()?;
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
            Copied::Job(id, job) => entries.put(Kind::Job, id, job),
            Copied::Optimization(optimization) => {
                views += u64::from(stored::layout(optimization)?.shown);
                entries.put(Kind::Optimization, &[], optimization)
            }
            Copied::DeadLetter(dead_letter) => entries.put(Kind::DeadLetter, &[], dead_letter),
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
    path.persist(file).map_err(|error| SnapshotError::io("write", file)(error.error))?;
    let directory = disk::directory_of(file);
    disk::sync_directory(directory).map_err(SnapshotError::io("sync", directory))?;
    Ok(Summary { file: file.to_owned(), generation, views, records, bytes, positions })
}

/// The file as it is written, which is removed where it does not get its name.
fn create(file: &Path) -> Result<(File, TempPath), SnapshotError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let path = PathBuf::from(name);
    let created = File::options().write(true).create(true).truncate(false).open(&path);
    let created = created.map_err(SnapshotError::io("create", &path))?;
    // Another that is being written there keeps it.
    created.try_lock().map_err(|error| SnapshotError::io("lock", &path)(error.into()))?;
    created.set_len(0).map_err(SnapshotError::io("write", &path))?;
    let path = TempPath::try_from_path(&path).map_err(SnapshotError::io("create", &path))?;
    Ok((created, path))
}
