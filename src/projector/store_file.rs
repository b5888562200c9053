//! The guard of the store's file: the store must still lie where it was opened. Nobody finds what is written to files without a
//! name: the next start would begin with nothing, and until then all would seem well.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::FileIdentity;

/// The interval between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The error of a store that no longer lies where it was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store is no longer in {path}: it was deleted, moved or replaced while it was in use, and what is written to it now \
     would be lost. If it was moved, move it back and start again; else start again, and the views are built anew from Kafka",
    path = path.display()
)]
pub struct StoreGone {
    path: PathBuf,
}

/// The store's file as it was found at the start, and when it is looked at next.
pub struct StoreFileGuard {
    directory: PathBuf,
    file: FileIdentity,
    /// `None` before the first check.
    next_check: Option<Instant>,
}

impl StoreFileGuard {
    /// Guards the store that lies in `directory`, and was opened from this file in it.
    pub fn new(directory: &Path, file: FileIdentity) -> StoreFileGuard {
        StoreFileGuard { directory: directory.to_owned(), file, next_check: None }
    }

    /// Looks at the file if that is due. The error is that it no longer lies there.
    pub fn check(&mut self, now: Instant) -> Result<(), StoreGone> {
        if self.next_check.is_some_and(|next| now < next) {
            return Ok(());
        }
        self.next_check = Some(now + CHECK_EVERY);
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
        let now = Instant::now();
        let mut guard = StoreFileGuard::new(&store, file);
        guard.check(now).unwrap();
        std::fs::rename(&store, directory.path().join("moved")).unwrap();
        guard.check(now).expect("it is not looked at again before it is due");
        let why = guard.check(now + CHECK_EVERY).unwrap_err().to_string();
        for part in ["000001", "deleted, moved or replaced", "move it back", "built anew"] {
            assert!(why.contains(part), "no {part}: {why}");
        }
    }
}
