//! Makes a store of a snapshot. The file is checked first. The store is built in a directory of its own and moved
//! into its place once it is complete and synced; until then there is none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{EntryKind, SnapshotFile, SnapshotHead};
use super::{SnapshotError, SnapshotSummary, check_room, check_room_before};
use crate::codec::stored_record;
use crate::data_dir;
use crate::disk::DiskReserve;
use crate::domain::{Commit, DeadLetter};
use crate::progress::{Progress, ProgressSink};
use crate::source::TopicNames;
use crate::store::{self, OpenStore};

/// Number of records that the writer gets at once.
const BATCH_RECORDS: usize = 2_000;

/// Size of the store's page cache in bytes.
const CACHE_BYTES: u64 = 64 << 20;

/// The number of the only generation of the staging directory.
const GENERATION: u64 = 1;

/// Imports a snapshot if there is no store yet. `None` if there is one; then the file was not even opened.
///
/// # Errors
/// Fails as [`import`] does.
pub fn import_where_none(
    file: &Path,
    data_dir: &Path,
    room: DiskReserve,
    topics: &TopicNames,
    watch: &mut ProgressSink<'_>,
) -> Result<Option<SnapshotSummary>, SnapshotError> {
    match data_dir::current(data_dir)? {
        Some(_) => Ok(None),
        None => import(file, data_dir, room, Some(topics), watch).map(Some),
    }
}

/// Makes the store of `data_dir`, which has none and which the caller has locked. `topics` are the names of the
/// topics that will keep it up to date, if known.
///
/// # Errors
/// Returns an error in the file before anything is made. A later error leaves nothing either.
pub fn import(
    file: &Path,
    data_dir: &Path,
    room: DiskReserve,
    topics: Option<&TopicNames>,
    watch: &mut ProgressSink<'_>,
) -> Result<SnapshotSummary, SnapshotError> {
    if data_dir::current(data_dir)?.is_some() {
        return Err(SnapshotError::NotEmpty { path: data_dir.to_owned() });
    }
    let mut whole = SnapshotFile::open(file, watch)?;
    let mut head = read_head(&mut whole, file)?;
    if let Some(difference) = topics.and_then(|topics| topics.difference(&head.topics)) {
        return Err(SnapshotError::OtherTopics { path: file.to_owned(), difference });
    }
    check_room_before(room, data_dir, "the store", head.store_bytes)?;
    let aside = StagingDir::begin(data_dir)?;
    let OpenStore { writer, path, .. } = store::begin_beside(&aside.0, GENERATION, CACHE_BYTES)?;
    let names = head.topics;
    data_dir::note_topics(&path, |topic| names[topic as usize].clone());
    writer.note_topics(&names)?;
    let mut batch = ImportBatch::default();
    let mut commits = 0;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (mut records, mut was_live) = (0, false);
    loop {
        let kind = whole.next(&mut key, &mut value).map_err(SnapshotError::io("read", file))?;
        if kind.is_none() || batch.len() >= BATCH_RECORDS {
            commits += 1;
            let ImportBatch { commit, dead_letters } = std::mem::take(&mut batch);
            writer.commit(commit, dead_letters, commits)?;
            check_room(room, data_dir)?;
            if watch(Progress::new("importing", records, Some(head.optimizations.max(records)))).is_break() {
                return Err(SnapshotError::Interrupted);
            }
        }
        let Some(kind) = kind else { break };
        match kind {
            EntryKind::Cluster => writer.note_cluster(&String::from_utf8_lossy(&value))?,
            EntryKind::TopicIds => {
                let ids = stored_record::decode(&value, "list of topic ids")?;
                store::add_topic_ids(&mut head.checkpoint, &ids);
            }
            EntryKind::MissingHistory => {
                writer.missing_history().copy(vec![stored_record::decode(&value, "missing history")?])?;
            }
            EntryKind::Live => was_live = true,
            kind => {
                batch.add(kind, &key, &value)?;
                records += 1;
            }
        }
    }
    for (partition, offset) in head.origins {
        writer.note_origin(partition, offset)?;
    }
    let positions = store::positions(&head.checkpoint);
    writer.checkpoint(head.checkpoint)?;
    if was_live {
        writer.note_live()?;
    }
    let reader = writer.reader();
    writer.finish()?;
    let views = reader.views();
    // The database closes with its last user.
    drop(reader);
    let generation = data_dir::install(&aside.0, GENERATION, data_dir)?;
    let generation = format!("{generation:06}");
    Ok(SnapshotSummary { file: file.to_owned(), generation, views, records, bytes: whole.bytes, positions })
}

fn read_head(whole: &mut SnapshotFile, file: &Path) -> Result<SnapshotHead, SnapshotError> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    match whole.next(&mut key, &mut value).map_err(SnapshotError::io("read", file))? {
        Some(EntryKind::Head) => Ok(stored_record::decode(&value, "snapshot's head")?),
        _ => Err(SnapshotError::NoSnapshot { path: file.to_owned() }),
    }
}

/// The records that the writer gets next.
#[derive(Default)]
struct ImportBatch {
    commit: Commit,
    dead_letters: Vec<DeadLetter>,
}

impl ImportBatch {
    fn len(&self) -> usize {
        self.commit.optimizations.len() + self.commit.jobs.len() + self.dead_letters.len()
    }

    fn add(&mut self, kind: EntryKind, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        match kind {
            EntryKind::Optimization => {
                self.commit.optimizations.push(Arc::new(stored_record::decode_optimization(value)?))
            }
            EntryKind::Job => {
                let id = Arc::from(String::from_utf8_lossy(key));
                self.commit.jobs.push((id, Some(Arc::new(stored_record::decode_job(value)?))));
            }
            EntryKind::DeadLetter => self.dead_letters.push(stored_record::decode_dead_letter(value)?),
            EntryKind::Head
            | EntryKind::Cluster
            | EntryKind::TopicIds
            | EntryKind::MissingHistory
            | EntryKind::Live => {}
        }
        Ok(())
    }
}

/// The directory in which the store is built. It is removed at the end; one that a kill left is removed by the
/// next import.
struct StagingDir(PathBuf);

impl StagingDir {
    fn begin(data_dir: &Path) -> Result<StagingDir, SnapshotError> {
        let path = data_dir.join("importing");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(SnapshotError::io("remove", &path)(error));
            }
            _ => {}
        }
        Ok(StagingDir(path))
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // A directory that remains is removed by the next import.
        let _ = fs::remove_dir_all(&self.0);
    }
}
