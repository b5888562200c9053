//! Makes a store of a snapshot. The file is proven first; the store is built aside, and moved into its place when it is
//! whole and on the disk. Until then there is none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Head, Kind, Whole};
use super::{Room, SnapshotError, Summary, Watch};
use crate::codec::stored;
use crate::domain::{Commit, DeadLetter};
use crate::source::TopicNames;
use crate::store::{self, OpenStore, PartitionPosition};

/// How many records are handed to the writer at once.
const RECORDS_AT_ONCE: usize = 2_000;

/// How much of the store's pages is held in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// The only generation of the directory that it is built in.
const GENERATION: u64 = 1;

/// Imports where there is no store yet. `None`: there is one, and the file was not even opened.
///
/// # Errors
/// As for [`import`].
pub fn import_where_none(
    file: &Path,
    data_dir: &Path,
    room: Room,
    topics: &TopicNames,
    watch: &mut Watch<'_>,
) -> Result<Option<Summary>, SnapshotError> {
    match store::current(data_dir)? {
        Some(_) => Ok(None),
        None => import(file, data_dir, room, Some(topics), watch).map(Some),
    }
}

/// Makes the store of `data_dir`, which has none and is held by the caller. `topics` are those that it is to be kept up to date
/// from, where that is known.
///
/// # Errors
/// Whatever is wrong with the file, before anything is made. What goes wrong later leaves nothing either.
pub fn import(
    file: &Path,
    data_dir: &Path,
    room: Room,
    topics: Option<&TopicNames>,
    watch: &mut Watch<'_>,
) -> Result<Summary, SnapshotError> {
    if store::current(data_dir)?.is_some() {
        return Err(SnapshotError::NotEmpty { path: data_dir.to_owned() });
    }
    let mut whole = Whole::open(file, watch)?;
    let mut head = read_head(&mut whole, file)?;
    if let Some(difference) = topics.and_then(|topics| topics.difference(&head.topics)) {
        return Err(SnapshotError::OtherTopics { path: file.to_owned(), difference });
    }
    room.check_before(data_dir, "the store", head.store_bytes)?;
    let aside = Aside::begin(data_dir)?;
    let OpenStore { writer, path, .. } = store::begin_beside(&aside.0, GENERATION, CACHE_BYTES)?;
    let names = head.topics;
    store::note_topics(&path, |topic| names[topic as usize].clone());
    writer.note_topics(&names)?;
    let mut batch = Batch::default();
    let mut commits = 0;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (mut records, mut was_live) = (0, false);
    loop {
        let kind = whole.next(&mut key, &mut value).map_err(SnapshotError::io("read", file))?;
        if kind.is_none() || batch.len() >= RECORDS_AT_ONCE {
            commits += 1;
            let Batch { commit, dead_letters } = std::mem::take(&mut batch);
            writer.commit(commit, dead_letters, commits)?;
            room.check(data_dir)?;
            if watch("importing", records, head.optimizations.max(records)).is_break() {
                return Err(SnapshotError::ToldToEnd);
            }
        }
        let Some(kind) = kind else { break };
        match kind {
            Kind::Cluster => writer.note_cluster(&String::from_utf8_lossy(&value))?,
            Kind::TopicIds => {
                let ids = stored::decode(&value, "list of topic ids")?;
                store::add_topic_ids(&mut head.checkpoint, &ids);
            }
            Kind::MissingHistory => {
                writer.missing_history().copy(vec![stored::decode(&value, "missing history")?])?;
            }
            Kind::Live => was_live = true,
            kind => {
                batch.add(kind, &key, &value)?;
                records += 1;
            }
        }
    }
    for (partition, offset) in head.origins {
        writer.note_origin(partition, offset)?;
    }
    let positions = PartitionPosition::all(&head.checkpoint);
    writer.checkpoint(head.checkpoint)?;
    if was_live {
        writer.note_live()?;
    }
    let reader = writer.reader();
    writer.finish()?;
    let views = reader.views();
    // The database closes with the last that has it.
    drop(reader);
    let generation = store::install(&aside.0, GENERATION, data_dir)?;
    let generation = format!("{generation:06}");
    Ok(Summary { file: file.to_owned(), generation, views, records, bytes: whole.bytes, positions })
}

fn read_head(whole: &mut Whole, file: &Path) -> Result<Head, SnapshotError> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    match whole.next(&mut key, &mut value).map_err(SnapshotError::io("read", file))? {
        Some(Kind::Head) => Ok(stored::decode(&value, "snapshot's head")?),
        _ => Err(SnapshotError::NoSnapshot { path: file.to_owned() }),
    }
}

/// What is handed to the writer next.
#[derive(Default)]
struct Batch {
    commit: Commit,
    dead_letters: Vec<DeadLetter>,
}

impl Batch {
    fn len(&self) -> usize {
        self.commit.optimizations.len() + self.commit.jobs.len() + self.dead_letters.len()
    }

    fn add(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        match kind {
            Kind::Optimization => self.commit.optimizations.push(Arc::new(stored::decode_optimization(value)?)),
            Kind::Job => {
                let id = Arc::from(String::from_utf8_lossy(key));
                self.commit.jobs.push((id, Some(Arc::new(stored::decode_job(value)?))));
            }
            Kind::DeadLetter => self.dead_letters.push(stored::decode_dead_letter(value)?),
            Kind::Head | Kind::Cluster | Kind::TopicIds | Kind::MissingHistory | Kind::Live => {}
        }
        Ok(())
    }
}

/// Where the store is built. Removed at the end, and what a kill left at the next begin.
struct Aside(PathBuf);

impl Aside {
    fn begin(data_dir: &Path) -> Result<Aside, SnapshotError> {
        let path = data_dir.join("importing");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(SnapshotError::io("remove", &path)(error));
            }
            _ => {}
        }
        Ok(Aside(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // One that stays is removed by the next import.
        let _ = fs::remove_dir_all(&self.0);
    }
}
