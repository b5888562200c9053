//! Whether the store still lies where it was opened. What is written to files without a name is found by nobody: the next start
//! would begin with nothing, and until then all would seem well.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::FileIdentity;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The store lies no more where it was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store is no longer in {path}: it was deleted, moved or replaced while it was in use, and what is written to it now \
     would be lost. If it was moved, move it back and start again; else start again, and the views are built anew from Kafka",
    path = path.display()
)]
pub struct StoreGone {
    path: PathBuf,
}

/// The store's file as it was found at the start.
pub struct StoreFileGuard {
    directory: PathBuf,
    file: FileIdentity,
    next_look: Instant,
}

impl StoreFileGuard {
    /// The store that lies in `directory`, and was opened from this file in it.
    pub fn new(directory: &Path, file: FileIdentity) -> StoreFileGuard {
        StoreFileGuard { directory: directory.to_owned(), file, next_look: Instant::now() }
    }

    /// # Errors
    /// Once it lies there no more.
    pub fn check(&mut self, now: Instant) -> Result<(), StoreGone> {
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK_EVERY;
        match self.file.is_gone() {
            true => Err(StoreGone { path: self.directory.clone() }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_deleted_or_moved_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("000001");
        std::fs::create_dir(&store).unwrap();
        std::fs::write(store.join("db"), "views").unwrap();
        let file = FileIdentity::of(&store.join("db")).unwrap();
        let mut presence = StoreFileGuard::new(&store, file);
        let now = Instant::now();
        presence.check(now).unwrap();
        std::fs::rename(&store, directory.path().join("moved")).unwrap();
        presence.check(now).expect("it is not looked at again before it is due");
        let why = presence.check(now + LOOK_EVERY).unwrap_err().to_string();
        for part in ["000001", "deleted, moved or replaced", "move it back", "built anew"] {
            assert!(why.contains(part), "no {part}: {why}");
        }
    }
}
