//! `DIR/FROZEN`: somebody asked that the live generation be shown as it was left, and not be brought up to date. It names a
//! generation and counts only while `CURRENT` names the same, so that a crash between the two files leaves one or the other.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataDirError, generations, manifest};
use crate::disk;

/// A request to show a generation as it was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenMark {
    /// The number of the generation that the mark names.
    pub generation: u64,
    /// The time at which it was asked for, RFC 3339.
    pub asked_at: String,
    /// The mark that counts while `CURRENT` still names the generation before, if that was shown as it was left, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<FrozenMark>>,
}

impl FrozenMark {
    /// Returns the mark of a generation that is asked for now. Nothing is written yet.
    pub fn new(generation: u64) -> FrozenMark {
        FrozenMark { generation, asked_at: manifest::now(), before: None }
    }

    /// Writes the mark. It counts once `CURRENT` names the same generation, and is written before, so that the generation is never
    /// opened to be written to. Until then a mark of the live generation goes on to count.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn write(&self, data_dir: &Path) -> Result<(), DataDirError> {
        let before = FrozenMark::of_current(data_dir)?.filter(|mark| mark.generation != self.generation);
        FrozenMark { before: before.map(Box::new), ..self.clone() }.replace(data_dir)
    }

    fn replace(&self, data_dir: &Path) -> Result<(), DataDirError> {
        let path = path(data_dir);
        let text = serde_json::to_vec(self).map_err(io::Error::other);
        text.and_then(|text| disk::replace(&path, &text)).map_err(DataDirError::io("write", &path))
    }

    /// Returns the mark of the live generation, if somebody asked for it to be frozen.
    ///
    /// # Errors
    /// Fails if the mark cannot be read, since a generation that was to stay as it is must not be written to.
    pub fn of_current(data_dir: &Path) -> Result<Option<FrozenMark>, DataDirError> {
        let Some(mark) = FrozenMark::read(data_dir)? else { return Ok(None) };
        let current = generations::current(data_dir)?;
        let before = mark.before.as_deref().cloned();
        let marks = [Some(FrozenMark { before: None, ..mark }), before];
        Ok(marks.into_iter().flatten().find(|mark| Some(mark.generation) == current))
    }

    /// Forgets a mark that names this generation, before it becomes the live one in another way.
    ///
    /// # Errors
    /// Fails if the file cannot be read or removed.
    pub fn clear_of(data_dir: &Path, generation: u64) -> Result<(), DataDirError> {
        match FrozenMark::read(data_dir)? {
            Some(FrozenMark { generation: marked, before, .. }) if marked == generation => match before {
                Some(before) => before.replace(data_dir),
                None => FrozenMark::clear(data_dir),
            },
            Some(mark) if mark.before.as_ref().is_some_and(|before| before.generation == generation) => {
                FrozenMark { before: None, ..mark }.replace(data_dir)
            }
            _ => Ok(()),
        }
    }

    fn read(data_dir: &Path) -> Result<Option<FrozenMark>, DataDirError> {
        let path = path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataDirError::io("read", &path)(error)),
        };
        let why = "it is not what `optview rollback --frozen` writes: remove it, and ask for that again";
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|_| DataDirError::io("understand", &path)(io::Error::new(ErrorKind::InvalidData, why)))
    }

    /// Forgets that a generation was to be frozen. Called once another is the live one, and where a mark is left from before.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub fn clear(data_dir: &Path) -> Result<(), DataDirError> {
        let path = path(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(DataDirError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("FROZEN")
}
