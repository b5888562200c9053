//! A list of the generations of a data directory. Opens none: another process may have any of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::generations::{self, current};
use super::manifest::GenerationManifest;
use super::{DataDirError, damage_mark};

/// A generation's directory, as it can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationListing {
    /// The directory's own name: `000001`, or `000001.damaged-1` where it was moved aside.
    pub name: String,
    /// The path of the directory.
    pub path: PathBuf,
    /// It is the one that `CURRENT` names.
    pub live: bool,
    /// The reason why it cannot be used, if it was noted.
    pub damage: Option<String>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// The manifest of the generation, which is empty if it cannot be read.
    pub about: GenerationManifest,
}

/// All generations of a data directory, by number.
pub fn list(data_dir: &Path) -> Result<Vec<GenerationListing>, DataDirError> {
    let directory = data_dir.join("generations");
    let live = current(data_dir)?.map(|number| generations::directory(data_dir, number));
    let mut listed = Vec::new();
    for entry in fs::read_dir(&directory).map_err(DataDirError::io("read", &directory))? {
        let path = entry.map_err(DataDirError::io("read", &directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_directory = fs::metadata(&path).map_err(DataDirError::io("look at", &path))?.is_dir();
        if generations::is_removed(&path)
            || !is_directory
            || !name.starts_with(|first: char| first.is_ascii_digit())
        {
            continue;
        }
        listed.push(GenerationListing {
            live: live.as_ref() == Some(&path),
            damage: damage_mark::damage_noted(&path, &name),
            bytes: bytes_of(&path),
            about: GenerationManifest::read(&path),
            name,
            path,
        });
    }
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

/// Returns the bytes that the files of a directory take. A file that goes meanwhile counts for nothing.
fn bytes_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
