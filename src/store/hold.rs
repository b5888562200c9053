//! One process at a time has a data directory. sled locks each generation by itself; this lock is on the directory as a
//! whole, so that whoever has it may also put files beside the generations. Never waits for it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::StoreError;
use super::generations::is_there;

/// A data directory that is this process's, for as long as this lives: also where the process is killed.
#[derive(Debug)]
pub struct Hold {
    _locked: File,
}

/// Takes a data directory, which is made where it is missing.
///
/// # Errors
/// [`StoreError::Held`] where another process has it.
pub fn hold(data_dir: &Path) -> Result<Hold, StoreError> {
    fs::create_dir_all(data_dir).map_err(StoreError::io("create", data_dir))?;
    lock(data_dir)
}

/// Takes a data directory that has a store, and makes none.
///
/// # Errors
/// [`StoreError::Missing`] where there is no store; else as for [`hold`].
pub fn hold_existing(data_dir: &Path) -> Result<Hold, StoreError> {
    if !is_there(&data_dir.join("CURRENT"))? {
        return Err(StoreError::Missing { path: data_dir.to_owned() });
    }
    lock(data_dir)
}

fn lock(data_dir: &Path) -> Result<Hold, StoreError> {
    let path = data_dir.join("LOCK");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Hold { _locked: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_until_whoever_holds_it_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let held = hold(directory.path()).unwrap();
        assert!(matches!(hold(directory.path()), Err(StoreError::Held { .. })));
        drop(held);
        hold(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_without_a_store_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(hold_existing(directory.path()), Err(StoreError::Missing { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(directory.path().join("CURRENT"), "000001\n").unwrap();
        hold_existing(directory.path()).unwrap();
    }
}
