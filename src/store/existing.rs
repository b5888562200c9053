//! A store that is there, opened to be looked at: by a tool while no process has it, or because this version cannot write
//! it. Begins none, moves nothing aside, starts no thread that writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::done::Done;
use super::frozen::Frozen;
use super::journal::Journal;
use super::keys::Trees;
use super::{About, Reader, StoreError, generations};
use crate::codec::stored::FORMAT;

/// A store that is open to be read.
pub struct Existing {
    pub reader: Reader,
    /// The live generation's number.
    pub generation: u64,
    /// Its directory.
    pub path: PathBuf,
}

/// Opens the live generation of `data_dir`, to read it.
///
/// # Errors
/// [`StoreError::Missing`] where there is none; what [`StoreError::is_damage`] where it cannot be used: it stays there.
pub fn open_existing(data_dir: &Path, cache_bytes: u64) -> Result<Existing, StoreError> {
    let missing = || StoreError::Missing { path: data_dir.to_owned() };
    let generation = generations::current(data_dir)?.ok_or_else(missing)?;
    let path = generations::directory(data_dir, generation);
    let reader = generations::with_database(&path, cache_bytes, |db, format| {
        let trees = Trees::open(db)?;
        let (_, catalog) = Journal::load(&trees)?;
        let done = Done::default();
        let caught_up = About::read(&path).closed.is_some_and(|closed| closed.caught_up);
        done.caught_up.store(caught_up, Ordering::Release);
        let frozen = (format != FORMAT).then(|| Arc::new(Frozen { path: path.clone(), format }));
        Ok(Reader { frozen, ..Reader::new(trees, Arc::new(RwLock::new(catalog)), Arc::new(done)) })
    })?;
    Ok(Existing { reader, generation, path })
}
