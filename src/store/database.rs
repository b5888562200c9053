//! The database of one generation, opened only once everything shows that sled can open it without doing harm.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use sled::Db;

use super::keys::{KNOWN_LAYOUTS, Trees};
use super::{OpenError, catch_sled_panic, preflight};
use crate::codec::stored_record::CorruptValue;
use crate::data_dir::{self, DataDirError, IoError};

/// Milliseconds between two flushes by sled itself. It is never off, since that would turn off its garbage collection too.
const FLUSH_EVERY_MS: u64 = 1000;

/// Opens a generation that is there and laid out as this version knows, and has `with` make something of its database and
/// the format of its fold. Whatever shows damage is an error for which [`OpenError::is_damage`] is true.
pub fn with_database<T>(
    path: &Path,
    cache_bytes: u64,
    with: impl FnOnce(&Db, u8) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let damaged = |reason: String| OpenError::from(CorruptValue { what: "generation", reason });
    let held = data_dir::wait_until_closed(path)?;
    let file = path.join("db");
    match fs::metadata(&file) {
        Ok(found) if found.len() > 0 => {}
        Ok(_) => return Err(damaged("it is empty: its file was cut to nothing".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(format!("{} is not there", file.display())));
        }
        // What cannot be looked at may be there, and whole.
        Err(error) => return Err(IoError::of("look at", &file)(error).into()),
    }
    if let Some(why) = data_dir::condemnation(path)? {
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
            Some([1]) => with(&db, 1),
            Some([layout, format]) if KNOWN_LAYOUTS.contains(layout) => with(&db, *format),
            Some([found, ..]) => Err(OpenError::OtherLayout { path: path.to_owned(), found: *found }),
            Some([]) | None => Err(damaged("it is empty: its file was cut to nothing".to_owned())),
        }
    })
}

/// Opens or makes the database in a directory.
pub fn open_database(path: &Path, cache_bytes: u64) -> Result<Db, OpenError> {
    preflight::check_threads(path)?;
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MS));
    let opened = catch_sled_panic("generation", &format!("opening {}", path.display()), || {
        Ok::<_, OpenError>(config.open())
    })?;
    opened.map_err(|error| match error {
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => {
            DataDirError::Held { path: path.to_owned() }.into()
        }
        sled::Error::Io(io) if io.kind() != ErrorKind::UnexpectedEof => {
            IoError::of("open the database in", path)(io).into()
        }
        error => error.into(),
    })
}

/// A kill while sled writes its snapshot leaves these, and it then refuses to open (spacejam/sled#1527).
fn remove_unfinished_snapshots(path: &Path) -> Result<(), IoError> {
    for file in fs::read_dir(path).map_err(IoError::of("read", path))? {
        let file = file.map_err(IoError::of("read", path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = %file.display(), "removing a snapshot that was not finished");
            fs::remove_file(&file).map_err(IoError::of("remove", &file))?;
        }
    }
    Ok(())
}
