//! `DIR/CURRENT` names the live generation; `DIR/generations/NNNNNN` are the databases, of which nothing is opened here.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::manifest::GenerationManifest;
use super::{DataDirError, damage_mark, is_there};
use crate::codec::stored_record::FORMAT;
use crate::disk;

/// Time that a generation may take to be closed.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// Makes the directory of the generations, if it is missing, and removes what a crash left of generations that were being removed.
///
/// # Errors
/// The directory cannot be made, read or changed.
pub fn prepare(data_dir: &Path) -> Result<(), DataDirError> {
    let generations = data_dir.join("generations");
    fs::create_dir_all(&generations).map_err(DataDirError::io("create", &generations))?;
    remove_rest(&generations)
}

/// The least number that no generation has.
pub fn next_number(data_dir: &Path) -> Result<u64, DataDirError> {
    Ok(last_number(&data_dir.join("generations"))? + 1)
}

/// Returns true if there is anything under a generation's number.
///
/// # Errors
/// Fails if the directory cannot be looked at: an unreadable directory may hold a generation.
pub fn exists(data_dir: &Path, generation: u64) -> Result<bool, DataDirError> {
    is_there(&directory(data_dir, generation))
}

/// Moves the only generation of a data directory into another, which has no live one, and makes it that. Nothing has it
/// open. A crash leaves none or the whole.
pub fn install(from: &Path, generation: u64, data_dir: &Path) -> Result<u64, DataDirError> {
    let made = directory(from, generation);
    wait_until_closed(&made)?;
    // Before it can be found.
    sync_files(&made)?;
    let generations = data_dir.join("generations");
    fs::create_dir_all(&generations).map_err(DataDirError::io("create", &generations))?;
    let number = next_number(data_dir)?;
    let path = directory(data_dir, number);
    fs::rename(&made, &path).map_err(DataDirError::io("move", &made))?;
    sync_directory(&generations)?;
    make_current(data_dir, number)?;
    Ok(number)
}

/// The generations that are not known to be damaged, in their order.
pub fn usable(data_dir: &Path) -> Result<Vec<u64>, DataDirError> {
    let generations = data_dir.join("generations");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(&generations).map_err(DataDirError::io("read", &generations))? {
        let entry = entry.map_err(DataDirError::io("read", &generations))?;
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if damage_mark::condemnation(&entry.path())?.is_none() {
            numbers.push(number.into());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The last generation beside the live one that this version can keep up to date, as far as is noted of them.
pub fn of_this_format(data_dir: &Path) -> Result<Option<u64>, DataDirError> {
    let live = current(data_dir)?;
    Ok(usable(data_dir)?.into_iter().rev().find(|&number| {
        Some(number) != live && GenerationManifest::read(&directory(data_dir, number)).format == Some(FORMAT)
    }))
}

/// Removes a generation. Never the live one, nor one that is open. It is out of its place at once: a crash leaves no half of
/// it there to go back to.
pub fn remove(data_dir: &Path, generation: u64) -> Result<(), DataDirError> {
    let path = directory(data_dir, generation);
    if !is_there(&path)? || current(data_dir)? == Some(generation) {
        return Ok(());
    }
    wait_until_closed(&path)?;
    let removed = path.with_extension(REMOVED);
    fs::rename(&path, &removed).map_err(DataDirError::io("remove", &path))?;
    fs::remove_dir_all(&removed).map_err(DataDirError::io("remove", &removed))
}

/// The extension of a generation's directory that is being removed.
const REMOVED: &str = "removed";

/// Returns true if nothing but the removal of the directory is left to do.
pub fn is_removed(generation: &Path) -> bool {
    generation.extension().is_some_and(|extension| extension == REMOVED)
}

/// Removes what a crash left of generations that were being removed.
fn remove_rest(generations: &Path) -> Result<(), DataDirError> {
    for entry in fs::read_dir(generations).map_err(DataDirError::io("read", generations))? {
        let path = entry.map_err(DataDirError::io("read", generations))?.path();
        if is_removed(&path) {
            fs::remove_dir_all(&path).map_err(DataDirError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Makes sure that no other process has it: what is there is then nobody's. sled holds the same lock while it is open.
fn lock_database(path: &Path) -> Result<Option<fs::File>, DataDirError> {
    let file = path.join("db");
    let held = match fs::File::open(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        held => held.map_err(DataDirError::io("open", &file))?,
    };
    match rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(held)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::Held { path: path.to_owned() }),
        Err(error) => Err(DataDirError::io("lock", &file)(error.into())),
    }
}

/// sled lets go of its file a moment after its last user has gone, and a request under way may be that.
/// The lock is that of `lock_database`.
pub fn wait_until_closed(path: &Path) -> Result<Option<fs::File>, DataDirError> {
    let begin = Instant::now();
    loop {
        match lock_database(path) {
            Err(DataDirError::Held { .. }) if begin.elapsed() < CLOSES_WITHIN => {
                std::thread::sleep(Duration::from_millis(1));
            }
            held => return held,
        }
    }
}

/// Returns the directory of a generation.
pub fn directory(data_dir: &Path, generation: u64) -> PathBuf {
    data_dir.join("generations").join(format!("{generation:06}"))
}

/// The number of the live generation.
pub fn current(data_dir: &Path) -> Result<Option<u64>, DataDirError> {
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
        Err(error) => Err(DataDirError::io("read", &path)(error)),
    }
}

/// Makes a generation the live one: the next start opens it. A crash leaves either the one before or this one.
pub fn make_current(data_dir: &Path, generation: u64) -> Result<(), DataDirError> {
    let path = data_dir.join("CURRENT");
    disk::replace(&path, format!("{generation:06}\n").as_bytes()).map_err(DataDirError::io("write", &path))
}

/// All that a new generation consists of, and that it is there. sled never syncs its `conf`, and does not open without.
pub fn sync_files(generation: &Path) -> Result<(), DataDirError> {
    for file in fs::read_dir(generation).map_err(DataDirError::io("read", generation))? {
        // A directory is synced by opening it, too.
        sync_directory(&file.map_err(DataDirError::io("read", generation))?.path())?;
    }
    sync_directory(generation)?;
    generation.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(path: &Path) -> Result<(), DataDirError> {
    disk::sync_directory(path).map_err(DataDirError::io("sync", path))
}

/// The greatest number among the generations there are, those moved aside included; 0 where there are none.
fn last_number(generations: &Path) -> Result<u64, DataDirError> {
    let mut last = 0;
    for entry in fs::read_dir(generations).map_err(DataDirError::io("read", generations))? {
        let name = entry.map_err(DataDirError::io("read", generations))?.file_name();
        let name = name.to_string_lossy();
        let digits = name.split('.').next().unwrap_or_default();
        last = last.max(digits.parse::<u32>().map_or(0, u64::from));
    }
    Ok(last)
}
