//! The opening of a generation to be written. The store is derived: what cannot be opened is moved aside, logged as an error, and
//! built anew from Kafka. Never a crash loop, never a silently empty view.
//!
//! What another version has written is no damage: it is never moved aside, and never written to.

use std::fs;
use std::path::{Path, PathBuf};

use super::content::StoreContent;
use super::database::{open_database, with_database};
#[cfg(test)]
use super::keys::{LAYOUT, MARKER, Trees};
use super::{OpenError, Writer, writer};
use crate::data_dir::{self, GenerationManifest, IoError};

/// An open store.
pub struct OpenStore {
    /// The writer of the generation. Its readers come from it.
    pub writer: Writer,
    /// The live generation's number.
    pub generation: u64,
    /// Set if the previous live generation was damaged and moved aside: why.
    pub moved_aside: Option<String>,
    /// The live generation's directory.
    pub path: PathBuf,
}

/// Opens the live generation of `data_dir`, or begins one. `cache_bytes` is what sled keeps in memory.
///
/// # Errors
/// [`StoreError::OtherFormat`](super::StoreError::OtherFormat) where [`open_existing`](super::open_existing) can read it, and nobody can write it.
pub fn open(data_dir: &Path, cache_bytes: u64) -> Result<OpenStore, OpenError> {
    open_content(data_dir, cache_bytes, StoreContent::Events)
}

/// Opens the live generation of a data directory that is made of a topic of views, or begins one, as [`open`] does.
///
/// # Errors
/// [`StoreError::MadeOfEvents`](super::StoreError::MadeOfEvents) if the generation is made of events.
pub fn open_replica(data_dir: &Path, cache_bytes: u64) -> Result<OpenStore, OpenError> {
    open_content(data_dir, cache_bytes, StoreContent::Views)
}

fn open_content(data_dir: &Path, cache_bytes: u64, content: StoreContent) -> Result<OpenStore, OpenError> {
    data_dir::prepare(data_dir)?;
    let Some(current) = data_dir::current(data_dir)? else {
        let next = data_dir::next_number(data_dir)?;
        let why = (next > 1).then(|| {
            let last = next - 1;
            format!(
                "there are generations, the last one {last}, but CURRENT does not say which is the live one: if that was lost, \
                 stop, write {last:06} into it, and start again"
            )
        });
        if let Some(why) = &why {
            tracing::error!("{why}; meanwhile a new one is built from Kafka");
        }
        return begin_current(data_dir, next, cache_bytes, content, why);
    };
    let path = data_dir::directory(data_dir, current);
    let damage = match open_generation(&path, cache_bytes, content) {
        Ok(writer) => return Ok(OpenStore { writer, generation: current, moved_aside: None, path }),
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(error),
    };
    let mut why = format!("generation {current} could not be used: {damage}");
    if let Some(aside) = data_dir::move_aside(&path, &damage)? {
        why = format!("{why}; it was moved to {}", aside.display());
    }
    tracing::error!(generation = current, "{why}; a new one is built from Kafka");
    begin_current(data_dir, data_dir::next_number(data_dir)?.max(current + 1), cache_bytes, content, Some(why))
}

/// Opens a generation that need not be the live one. One that is damaged stays as it is.
pub fn open_beside(data_dir: &Path, generation: u64, cache_bytes: u64) -> Result<OpenStore, OpenError> {
    let path = data_dir::directory(data_dir, generation);
    let writer = open_generation(&path, cache_bytes, StoreContent::Events)?;
    Ok(OpenStore { writer, generation, moved_aside: None, path })
}

fn begin_current(
    data_dir: &Path,
    number: u64,
    cache_bytes: u64,
    content: StoreContent,
    moved_aside: Option<String>,
) -> Result<OpenStore, OpenError> {
    let opened = begin_content(data_dir, number, cache_bytes, content)?;
    data_dir::make_current(data_dir, number)?;
    Ok(OpenStore { moved_aside, ..opened })
}

/// A new generation beside the live one, which stays that until [`data_dir::make_current`].
pub fn begin_beside(data_dir: &Path, number: u64, cache_bytes: u64) -> Result<OpenStore, OpenError> {
    begin_content(data_dir, number, cache_bytes, StoreContent::Events)
}

/// A new generation that is to be made of a topic of views, beside the live one, as [`begin_beside`] makes it.
///
/// # Errors
/// The generation cannot be made.
pub fn begin_replica_beside(data_dir: &Path, number: u64, cache_bytes: u64) -> Result<OpenStore, OpenError> {
    begin_content(data_dir, number, cache_bytes, StoreContent::Views)
}

fn begin_content(
    data_dir: &Path,
    number: u64,
    cache_bytes: u64,
    content: StoreContent,
) -> Result<OpenStore, OpenError> {
    let path = data_dir::directory(data_dir, number);
    fs::create_dir_all(&path).map_err(IoError::of("create", &path))?;
    let db = open_database(&path, cache_bytes)?;
    let file = path.join("db");
    writer::mark(&db, &file, content)?;
    GenerationManifest { format: Some(content.format()), ..GenerationManifest::begun() }.write(&path);
    let writer = Writer::new(&db, &path, content)?;
    data_dir::sync_files(&path)?;
    Ok(OpenStore { writer, generation: number, moved_aside: None, path })
}

fn open_generation(path: &Path, cache_bytes: u64, content: StoreContent) -> Result<Writer, OpenError> {
    with_database(path, cache_bytes, |db, format| {
        if let Some(refusal) = content.refusal(path, format) {
            return Err(refusal.into());
        }
        writer::mark(db, &path.join("db"), content)?;
        let manifest = GenerationManifest::load(path)?.opened();
        GenerationManifest { format: Some(content.format()), ..manifest }.write(path);
        Ok(Writer::new(db, path, content)?)
    })
}

/// Leaves a generation that nobody has open as one that another version has folded.
///
/// # Errors
/// It cannot be opened or written.
#[cfg(test)]
pub fn set_other_format(path: &Path, cache_bytes: u64) -> Result<(), OpenError> {
    with_database(path, cache_bytes, |db, format| {
        Trees::open(db)?.meta.insert(MARKER, &[LAYOUT, format + 1])?;
        db.flush()?;
        GenerationManifest::update(path, |manifest| GenerationManifest { format: Some(format + 1), ..manifest });
        Ok(())
    })
}
