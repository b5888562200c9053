//! A store that is there, opened to be looked at: by a tool while no process has it, or because this version cannot write
//! it. Begins none, moves nothing aside, starts no thread that writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::catalog::from_records;
use super::checkpoint;
use super::database::with_database;
use super::journal::Journal;
use super::keys::{CLUSTER, TOPICS, Trees};
use super::progress::WriterProgress;
use super::reader::FrozenGeneration;
use super::{Checkpoint, OpenError, Reader};
use crate::codec::stored_record::{self, FORMAT};
use crate::data_dir::{self, DataDirError, FrozenMark, GenerationManifest, IoError};
use crate::disk::FileIdentity;

/// A store that is open to be read.
pub struct ReadOnlyStore {
    /// The reader of the generation.
    pub reader: Reader,
    /// The generation's number.
    pub generation: u64,
    /// Its directory.
    pub path: PathBuf,
    /// Set if somebody asked for the live generation to be frozen.
    pub asked: Option<FrozenMark>,
    /// The file that it was opened from.
    pub file: FileIdentity,
}

/// Opens the live generation of `data_dir`, to read it.
///
/// # Errors
/// [`DataDirError::Missing`] where there is none; what [`OpenError::is_damage`] where it cannot be used: it stays there.
pub fn open_existing(data_dir: &Path, cache_bytes: u64) -> Result<ReadOnlyStore, OpenError> {
    let generation =
        data_dir::current(data_dir)?.ok_or_else(|| DataDirError::Missing { path: data_dir.to_owned() })?;
    let asked = FrozenMark::of_current(data_dir)?;
    let (reader, file) = read(data_dir, generation, cache_bytes, asked.is_some())?;
    Ok(ReadOnlyStore { reader, generation, path: data_dir::directory(data_dir, generation), asked, file })
}

/// Opens a generation that need not be the live one, to show it as it was left.
///
/// # Errors
/// The errors of [`open_existing`].
pub fn open_frozen(data_dir: &Path, generation: u64, cache_bytes: u64) -> Result<ReadOnlyStore, OpenError> {
    let (reader, file) = read(data_dir, generation, cache_bytes, true)?;
    Ok(ReadOnlyStore { reader, generation, path: data_dir::directory(data_dir, generation), asked: None, file })
}

fn read(
    data_dir: &Path,
    generation: u64,
    cache_bytes: u64,
    is_frozen: bool,
) -> Result<(Reader, FileIdentity), OpenError> {
    let path = data_dir::directory(data_dir, generation);
    with_database(&path, cache_bytes, |db, format| {
        let trees = Trees::open(db)?;
        let catalog = match Journal::load(&trees)? {
            Some((_, catalog)) => catalog,
            None => from_records::read(&trees, format)?,
        };
        // Where it does not decode, the views can be read all the same, and `verify` reports it.
        let progress = WriterProgress::at(&checkpoint::read(&trees).unwrap_or_default());
        let caught_up = GenerationManifest::read(&path).closed.is_some_and(|closed| closed.caught_up);
        progress.caught_up.store(caught_up, Ordering::Release);
        let frozen =
            (is_frozen || format != FORMAT).then(|| Arc::new(FrozenGeneration { path: path.clone(), format }));
        let reader = Reader::new(trees, Arc::new(RwLock::new(catalog)), Arc::new(progress));
        let db = path.join("db");
        let file = FileIdentity::of(&db).map_err(IoError::of("look at", &db))?;
        Ok((Reader { frozen, ..reader }, file))
    })
}

/// The position of a generation that is to be brought up to date, and its topics.
pub struct GenerationPosition {
    /// The last checkpoint; empty if none was written.
    pub checkpoint: Checkpoint,
    /// The topics' names in the cluster, in the order of `Topic::ALL`, if they were noted.
    pub topics: Option<[String; 3]>,
    /// The id of the cluster that it is built from, if that was noted.
    pub cluster: Option<String>,
}

/// Looks how far a generation is that nobody has open, and changes nothing in it.
///
/// # Errors
/// The errors of [`open_existing`].
pub fn read_position(data_dir: &Path, generation: u64, cache_bytes: u64) -> Result<GenerationPosition, OpenError> {
    let path = data_dir::directory(data_dir, generation);
    with_database(&path, cache_bytes, |db, _| {
        let trees = Trees::open(db)?;
        let checkpoint = checkpoint::read(&trees)?;
        let topics =
            trees.meta.get(TOPICS)?.map(|bytes| stored_record::decode(&bytes, "topics' names")).transpose()?;
        let cluster =
            trees.meta.get(CLUSTER)?.map(|bytes| stored_record::decode(&bytes, "cluster's id")).transpose()?;
        Ok(GenerationPosition { checkpoint, topics, cluster })
    })
}
