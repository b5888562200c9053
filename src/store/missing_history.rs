//! The records that a generation is built without, because the topic no longer had them when the generation began to read it.
//! Views may lack what these records contain, and nothing in the views shows that. So it is noted in the generation, with
//! whether somebody has accepted it, and nothing forgets it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use sled::Tree;

use super::database::with_database;
use super::keys::{MISSING_HISTORY, Trees};
use super::{FORMAT, OpenError, Reader, StoreError};
use crate::codec::stored_record;
use crate::data_dir::{self, DataDirError, GenerationManifest, MissingHistory};
use crate::domain::NamedPartition;

/// Bytes of a store's pages that are held in memory while it is opened only for a note.
const CACHE_BYTES: u64 = 16 << 20;

fn key(missing: &MissingHistory) -> Vec<u8> {
    let mut key = MISSING_HISTORY.to_vec();
    key.extend_from_slice(format!("{}/{}", missing.topic, missing.partition).as_bytes());
    key
}

fn is_of(missing: &MissingHistory, topic: &str, partition: i32) -> bool {
    missing.topic == topic && missing.partition == partition
}

/// The records that a generation is built without, noted in the generation. Clones share the notes.
#[derive(Clone)]
pub struct MissingHistoryLedger(Arc<Ledger>);

struct Ledger {
    meta: Tree,
    /// The generation's.
    directory: PathBuf,
    held: Mutex<Vec<MissingHistory>>,
}

impl MissingHistoryLedger {
    pub(super) fn open(trees: &Trees, directory: &Path) -> Result<MissingHistoryLedger, StoreError> {
        let held = Mutex::new(read(&trees.meta)?);
        Ok(MissingHistoryLedger(Arc::new(Ledger {
            meta: trees.meta.clone(),
            directory: directory.to_owned(),
            held,
        })))
    }

    /// Returns all that is missing, accepted or not.
    pub fn all(&self) -> Vec<MissingHistory> {
        self.0.held.lock().clone()
    }

    /// Returns what is missing and nobody has accepted.
    pub fn not_accepted(&self) -> Vec<MissingHistory> {
        let held = self.0.held.lock();
        held.iter().filter(|missing| missing.accepted_at.is_none()).cloned().collect()
    }

    /// Notes from which offset a partition is read first: all before that is missing.
    pub(super) fn note(
        &self,
        NamedPartition { topic, partition }: NamedPartition,
        origin: i64,
    ) -> Result<(), StoreError> {
        if origin <= 0 || self.0.held.lock().iter().any(|held| is_of(held, &topic, partition)) {
            return Ok(());
        }
        let since = data_dir::now();
        self.put(vec![MissingHistory { topic, partition, from: 0, to: origin, since, accepted_at: None }])
    }

    /// Notes what another generation was built without, which this one is a copy of.
    pub fn copy(&self, missing: Vec<MissingHistory>) -> Result<(), StoreError> {
        self.put(missing)
    }

    /// Accepts all that is missing. Gives what had not been accepted before. It is on the disk when this returns.
    pub fn accept(&self) -> Result<Vec<MissingHistory>, StoreError> {
        self.accept_where(|_| true)
    }

    /// Accepts of what is missing that for which `is_accepted` returns true.
    pub fn accept_where(
        &self,
        is_accepted: impl Fn(&MissingHistory) -> bool,
    ) -> Result<Vec<MissingHistory>, StoreError> {
        let now = data_dir::now();
        let accepted: Vec<MissingHistory> = self
            .not_accepted()
            .into_iter()
            .filter(is_accepted)
            .map(|missing| MissingHistory { accepted_at: Some(now.clone()), ..missing })
            .collect();
        self.put(accepted.clone())?;
        self.0.meta.flush()?;
        Ok(accepted)
    }

    fn put(&self, noted: Vec<MissingHistory>) -> Result<(), StoreError> {
        if noted.is_empty() {
            return Ok(());
        }
        let mut held = self.0.held.lock();
        for missing in noted {
            self.0.meta.insert(key(&missing), stored_record::encode(&missing, "missing history")?)?;
            held.retain(|other| !is_of(other, &missing.topic, missing.partition));
            held.push(missing);
        }
        held.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        let missing_history = held.clone();
        GenerationManifest::update(&self.0.directory, |about| GenerationManifest { missing_history, ..about });
        Ok(())
    }
}

impl Reader {
    /// The records that the generation is built without.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn missing_history(&self) -> Result<Vec<MissingHistory>, StoreError> {
        read(&self.trees.meta)
    }
}

fn read(meta: &Tree) -> Result<Vec<MissingHistory>, StoreError> {
    let values = meta.scan_prefix(MISSING_HISTORY).values();
    values.map(|value| Ok(stored_record::decode(&value?, "missing history")?)).collect()
}

/// Accepts what the live generation of a data directory is built without, which this process holds and has not open. Gives the
/// generation, and what had not been accepted before.
///
/// # Errors
/// [`DataDirError::Missing`] where there is no store, [`StoreError::OtherFormat`] where another version has folded it.
pub fn accept_missing_history(data_dir: &Path) -> Result<(u64, Vec<MissingHistory>), OpenError> {
    let generation =
        data_dir::current(data_dir)?.ok_or_else(|| DataDirError::Missing { path: data_dir.to_owned() })?;
    let path = data_dir::directory(data_dir, generation);
    let accepted = with_database(&path, CACHE_BYTES, |db, format| {
        if format != FORMAT {
            return Err(StoreError::of_format(&path, format).into());
        }
        Ok(MissingHistoryLedger::open(&Trees::open(db)?, &path)?.accept()?)
    })?;
    Ok((generation, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    const JOBS: &str = "jobs";

    #[test]
    fn what_is_missing_is_kept_until_it_is_accepted_and_remembered_after_that() {
        let directory = tempfile::tempdir().unwrap();
        let opened = store::open(directory.path(), 1 << 20).unwrap();
        opened.writer.note_origin(NamedPartition::new(JOBS.to_owned(), 0), 0).unwrap();
        opened.writer.note_origin(NamedPartition::new(JOBS.to_owned(), 1), 7).unwrap();
        // Once is enough: retention goes on, and this generation has read what it removes now.
        opened.writer.note_origin(NamedPartition::new(JOBS.to_owned(), 1), 9).unwrap();
        let ledger = opened.writer.missing_history();
        let [missing] = &ledger.not_accepted()[..] else { panic!("{:?}", ledger.all()) };
        assert_eq!((missing.topic.as_str(), missing.partition, missing.from, missing.to), (JOBS, 1, 0, 7));
        drop(ledger);
        opened.writer.finish().unwrap();

        let opened = store::open(directory.path(), 1 << 20).unwrap();
        let ledger = opened.writer.missing_history();
        assert_eq!(ledger.not_accepted().len(), 1, "a restart accepts nothing");
        assert_eq!(ledger.accept().unwrap().len(), 1);
        assert_eq!((ledger.not_accepted().len(), ledger.accept().unwrap().len()), (0, 0));
        assert_eq!(GenerationManifest::read(&opened.path).missing_history, ledger.all());
        drop(ledger);
        opened.writer.finish().unwrap();

        let opened = store::open(directory.path(), 1 << 20).unwrap();
        let ledger = opened.writer.missing_history();
        assert_eq!((ledger.not_accepted().len(), ledger.all().len()), (0, 1));
        assert_eq!(opened.writer.reader().missing_history().unwrap(), ledger.all());
        drop(ledger);
        opened.writer.finish().unwrap();
    }

    #[test]
    fn it_is_accepted_where_no_process_serves_the_store() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            accept_missing_history(directory.path()),
            Err(OpenError::DataDir(DataDirError::Missing { .. }))
        ));
        let opened = store::open(directory.path(), 1 << 20).unwrap();
        opened.writer.note_origin(NamedPartition::new(JOBS.to_owned(), 3), 12).unwrap();
        opened.writer.finish().unwrap();
        let (generation, accepted) = accept_missing_history(directory.path()).unwrap();
        assert_eq!((generation, accepted.len()), (1, 1));
        let (_, again) = accept_missing_history(directory.path()).unwrap();
        assert_eq!(again, []);
    }
}
