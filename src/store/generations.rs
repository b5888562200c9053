//! `DIR/CURRENT` names the live generation; `DIR/generations/NNNNNN` are the databases. The store is derived: what
//! cannot be opened is moved aside, logged as an error, and built anew from Kafka. Never a crash loop, never a silently empty view.
//!
//! What another version has written is no damage: it is never moved aside, and never written to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::Db;

#[cfg(test)]
use super::keys::MARKER;
use super::keys::Trees;
use super::{GenerationManifest, StoreError, Writer, catch_sled_panic, damage_mark, preflight, writer};
use crate::codec::stored_record::{CorruptValue, FORMAT, LAYOUT};
use crate::disk;

/// Milliseconds between two flushes by sled itself. It is never off, since that would turn off its garbage collection too.
const FLUSH_EVERY_MS: u64 = 1000;

/// Time that a generation may take to be closed.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

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
/// [`StoreError::OtherFormat`] where [`open_existing`](super::open_existing) can read it, and nobody can write it.
pub fn open(data_dir: &Path, cache_bytes: u64) -> Result<OpenStore, StoreError> {
    let generations = data_dir.join("generations");
    fs::create_dir_all(&generations).map_err(StoreError::io("create", &generations))?;
    remove_rest(&generations)?;
    let Some(current) = current(data_dir)? else {
        let last = last_number(&generations)?;
        let why = (last > 0).then(|| {
            format!(
                "there are generations, the last one {last}, but CURRENT does not say which is the live one: if that was lost, \
                 stop, write {last:06} into it, and start again"
            )
        });
        if let Some(why) = &why {
            tracing::error!("{why}; meanwhile a new one is built from Kafka");
        }
        return begin_current(data_dir, last + 1, cache_bytes, why);
    };
    let path = directory(data_dir, current);
    let damage = match open_generation(&path, cache_bytes) {
        Ok(writer) => return Ok(OpenStore { writer, generation: current, moved_aside: None, path }),
        Err(error) if error.is_damage() => error.to_string(),
        Err(error) => return Err(error),
    };
    let mut why = format!("generation {current} could not be used: {damage}");
    if let Some(aside) = damage_mark::move_aside(&path, &damage)? {
        why = format!("{why}; it was moved to {}", aside.display());
    }
    tracing::error!(generation = current, "{why}; a new one is built from Kafka");
    begin_current(data_dir, last_number(&generations)?.max(current) + 1, cache_bytes, Some(why))
}

/// The least number that no generation has.
pub fn next_number(data_dir: &Path) -> Result<u64, StoreError> {
    Ok(last_number(&data_dir.join("generations"))? + 1)
}

/// Returns true if there is anything under a generation's number.
///
/// # Errors
/// Fails if the directory cannot be looked at: an unreadable directory may hold a generation.
pub fn exists(data_dir: &Path, generation: u64) -> Result<bool, StoreError> {
    is_there(&directory(data_dir, generation))
}

/// Returns true if there is such a file. One that cannot be looked at may be there.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(StoreError::io("look at", path))
}

/// Opens a generation that need not be the live one. One that is damaged stays as it is.
pub fn open_beside(data_dir: &Path, generation: u64, cache_bytes: u64) -> Result<OpenStore, StoreError> {
    let path = directory(data_dir, generation);
    let writer = open_generation(&path, cache_bytes)?;
    Ok(OpenStore { writer, generation, moved_aside: None, path })
}

/// Moves the only generation of a data directory into another, which has no live one, and makes it that. Nothing has it
/// open. A crash leaves none or the whole.
pub fn install(from: &Path, generation: u64, data_dir: &Path) -> Result<u64, StoreError> {
    let made = directory(from, generation);
    wait_until_closed(&made)?;
    // Before it can be found.
    sync_files(&made)?;
    let generations = data_dir.join("generations");
    fs::create_dir_all(&generations).map_err(StoreError::io("create", &generations))?;
    let number = next_number(data_dir)?;
    let path = directory(data_dir, number);
    fs::rename(&made, &path).map_err(StoreError::io("move", &made))?;
    sync_directory(&generations)?;
    make_current(data_dir, number)?;
    Ok(number)
}

/// The generations that are not known to be damaged, in their order.
pub fn usable(data_dir: &Path) -> Result<Vec<u64>, StoreError> {
    let generations = data_dir.join("generations");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(&generations).map_err(StoreError::io("read", &generations))? {
        let entry = entry.map_err(StoreError::io("read", &generations))?;
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if damage_mark::why(&entry.path())?.is_none() {
            numbers.push(number.into());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The last generation beside the live one that this version can keep up to date, as far as is noted of them.
pub fn of_this_format(data_dir: &Path) -> Result<Option<u64>, StoreError> {
    let live = current(data_dir)?;
    let is = |&number: &u64| {
        Some(number) != live && GenerationManifest::read(&directory(data_dir, number)).format == Some(FORMAT)
    };
    Ok(usable(data_dir)?.into_iter().rev().find(is))
}

/// Removes a generation. Never the live one, nor one that is open. It is out of its place at once: a crash leaves no half of
/// it there to go back to.
pub fn remove(data_dir: &Path, generation: u64) -> Result<(), StoreError> {
    let path = directory(data_dir, generation);
    if !is_there(&path)? || current(data_dir)? == Some(generation) {
        return Ok(());
    }
    wait_until_closed(&path)?;
    let removed = path.with_extension(REMOVED);
    fs::rename(&path, &removed).map_err(StoreError::io("remove", &path))?;
    fs::remove_dir_all(&removed).map_err(StoreError::io("remove", &removed))
}

/// The extension of a generation's directory that is being removed.
const REMOVED: &str = "removed";

/// Returns true if nothing but the removal of the directory is left to do.
pub(super) fn is_removed(generation: &Path) -> bool {
    generation.extension().is_some_and(|extension| extension == REMOVED)
}

/// Removes what a crash left of generations that were being removed.
fn remove_rest(generations: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(generations).map_err(StoreError::io("read", generations))? {
        let path = entry.map_err(StoreError::io("read", generations))?.path();
        if is_removed(&path) {
            fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn begin_current(
    data_dir: &Path,
    number: u64,
    cache_bytes: u64,
    moved_aside: Option<String>,
) -> Result<OpenStore, StoreError> {
    let opened = begin_beside(data_dir, number, cache_bytes)?;
    make_current(data_dir, number)?;
    Ok(OpenStore { moved_aside, ..opened })
}

/// A new generation beside the live one, which stays that until [`make_current`].
pub fn begin_beside(data_dir: &Path, number: u64, cache_bytes: u64) -> Result<OpenStore, StoreError> {
    let path = directory(data_dir, number);
    fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
    let db = open_database(&path, cache_bytes)?;
    let file = path.join("db");
    writer::mark(&db, &file)?;
    GenerationManifest::new().write(&path);
    let writer = Writer::new(&db, &path)?;
    sync_files(&path)?;
    Ok(OpenStore { writer, generation: number, moved_aside: None, path })
}

fn open_generation(path: &Path, cache_bytes: u64) -> Result<Writer, StoreError> {
    with_database(path, cache_bytes, |db, format| {
        if format != FORMAT {
            return Err(StoreError::OtherFormat { path: path.to_owned(), found: format });
        }
        GenerationManifest::load(path)?.opened().write(path);
        Writer::new(db, path)
    })
}

/// Opens a generation that is there and laid out as this version knows, and has `with` make something of its database and
/// the format of its fold. Whatever shows damage is an error for which [`StoreError::is_damage`] is true.
pub(super) fn with_database<T>(
    path: &Path,
    cache_bytes: u64,
    with: impl FnOnce(&Db, u8) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let damaged = |reason: String| StoreError::from(CorruptValue { what: "generation", reason });
    let held = wait_until_closed(path)?;
    let file = path.join("db");
    match fs::metadata(&file) {
        Ok(found) if found.len() > 0 => {}
        Ok(_) => return Err(damaged("it is empty: its file was cut to nothing".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(format!("{} is not there", file.display())));
        }
        // What cannot be looked at may be there, and whole.
        Err(error) => return Err(StoreError::io("look at", &file)(error)),
    }
    if let Some(why) = damage_mark::why(path)? {
        return Err(damaged(format!("damage showed while it was in use: {why}")));
    }
    preflight::check_log(path)?;
    remove_unfinished_snapshots(path)?;
    drop(held);
    catch_sled_panic("generation", &format!("opening {}", path.display()), || {
        let db = open_database(path, cache_bytes)?;
        let marker = Trees::marker(&db)?;
        match marker.as_deref() {
            // The first there was had one number for both.
            Some([LAYOUT]) => with(&db, 1),
            Some([LAYOUT, format]) => with(&db, *format),
            Some([found, ..]) => Err(StoreError::OtherLayout { path: path.to_owned(), found: *found }),
            Some([]) | None => Err(damaged("it is empty: its file was cut to nothing".to_owned())),
        }
    })
}

fn open_database(path: &Path, cache_bytes: u64) -> Result<Db, StoreError> {
    preflight::check_threads(path)?;
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MS));
    let opened = catch_sled_panic("generation", &format!("opening {}", path.display()), || {
        Ok::<_, StoreError>(config.open())
    })?;
    opened.map_err(|error| match error {
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => {
            StoreError::Held { path: path.to_owned() }
        }
        sled::Error::Io(io) if io.kind() != ErrorKind::UnexpectedEof => {
            StoreError::io("open the database in", path)(io)
        }
        error => StoreError::Sled(error),
    })
}

/// Makes sure that no other process has it: what is there is then nobody's. sled holds the same lock while it is open.
fn lock_database(path: &Path) -> Result<Option<fs::File>, StoreError> {
    let file = path.join("db");
    let held = match fs::File::open(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        held => held.map_err(StoreError::io("open", &file))?,
    };
    match rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(held)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Held { path: path.to_owned() }),
        Err(error) => Err(StoreError::io("lock", &file)(error.into())),
    }
}

/// sled lets go of its file a moment after its last user has gone, and a request under way may be that.
/// The lock is that of [`lock_database`].
fn wait_until_closed(path: &Path) -> Result<Option<fs::File>, StoreError> {
    let begin = Instant::now();
    loop {
        match lock_database(path) {
            Err(StoreError::Held { .. }) if begin.elapsed() < CLOSES_WITHIN => {
                std::thread::sleep(Duration::from_millis(1));
            }
            held => return held,
        }
    }
}

/// A kill while sled writes its snapshot leaves these, and it then refuses to open (spacejam/sled#1527).
fn remove_unfinished_snapshots(path: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(path).map_err(StoreError::io("read", path))? {
        let file = file.map_err(StoreError::io("read", path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = %file.display(), "removing a snapshot that was not finished");
            fs::remove_file(&file).map_err(StoreError::io("remove", &file))?;
        }
    }
    Ok(())
}

/// Returns the directory of a generation.
pub fn directory(data_dir: &Path, generation: u64) -> PathBuf {
    data_dir.join("generations").join(format!("{generation:06}"))
}

/// The number of the live generation.
pub fn current(data_dir: &Path) -> Result<Option<u64>, StoreError> {
    let path = data_dir.join("CURRENT");
    match fs::read(&path) {
        Ok(bytes) => match std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(number) => Ok(Some(number.into())),
            None => {
                tracing::error!(path = %path.display(), "does not hold a number, and counts for nothing");
                Ok(None)
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// Makes a generation the live one: the next start opens it. A crash leaves either the one before or this one.
pub fn make_current(data_dir: &Path, generation: u64) -> Result<(), StoreError> {
    let path = data_dir.join("CURRENT");
    disk::replace(&path, format!("{generation:06}\n").as_bytes()).map_err(StoreError::io("write", &path))
}

/// All that a new generation consists of, and that it is there. sled never syncs its `conf`, and does not open without.
fn sync_files(generation: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(generation).map_err(StoreError::io("read", generation))? {
        // A directory is synced by opening it, too.
        sync_directory(&file.map_err(StoreError::io("read", generation))?.path())?;
    }
    sync_directory(generation)?;
    generation.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    disk::sync_directory(path).map_err(StoreError::io("sync", path))
}

/// The greatest number among the generations there are, those moved aside included; 0 where there are none.
fn last_number(generations: &Path) -> Result<u64, StoreError> {
    let mut last = 0;
    for entry in fs::read_dir(generations).map_err(StoreError::io("read", generations))? {
        let name = entry.map_err(StoreError::io("read", generations))?.file_name();
        let name = name.to_string_lossy();
        let digits = name.split('.').next().unwrap_or_default();
        last = last.max(digits.parse::<u32>().map_or(0, u64::from));
    }
    Ok(last)
}

/// Leaves a generation that nobody has open as one that another version has folded.
///
/// # Errors
/// It cannot be opened or written.
#[cfg(test)]
pub fn set_other_format(path: &Path, cache_bytes: u64) -> Result<(), StoreError> {
    with_database(path, cache_bytes, |db, format| {
        Trees::open(db)?.meta.insert(MARKER, &[LAYOUT, format + 1])?;
        db.flush()?;
        GenerationManifest::update(path, |manifest| GenerationManifest { format: Some(format + 1), ..manifest });
        Ok(())
    })
}
