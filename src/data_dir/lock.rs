//! One process at a time has a data directory. sled locks each generation by itself; this lock is on the directory as a
//! whole, so that whoever has it may also put files beside the generations. Never waits for it.
//!
//! What is in the directory is its user's only: a lock file that others could open, others could hold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{DataDirError, is_there};
use crate::disk::{self, LockError};

/// The files and directories of a data directory, but for those that come and go.
const OWN: [&str; 6] = ["LOCK", "CURRENT", "FROZEN", "REBUILD", "generations", "importing"];

/// A data directory that is this process's, for as long as this lives: also where the process is killed.
#[derive(Debug)]
pub struct DataDirLock {
    _locked: File,
}

/// Takes a data directory, which is made where it is missing.
///
/// # Errors
/// [`DataDirError::Held`] where another process has it.
pub fn lock_data_dir(data_dir: &Path) -> Result<DataDirLock, DataDirError> {
    fs::create_dir_all(data_dir).map_err(DataDirError::io("create", data_dir))?;
    lock(data_dir)
}

/// Takes a data directory that has a store, and makes none.
///
/// # Errors
/// [`DataDirError::Missing`] where there is no store; else as for [`lock_data_dir`].
pub fn lock_existing_data_dir(data_dir: &Path) -> Result<DataDirLock, DataDirError> {
    if !is_there(&data_dir.join("CURRENT"))? {
        return Err(DataDirError::Missing { path: data_dir.to_owned() });
    }
    lock(data_dir)
}

/// The data directory that a path lies in, wherever links lead.
///
/// # Errors
/// Fails if a part of the path cannot be looked at.
pub fn data_dir_around(path: &Path) -> Result<Option<PathBuf>, DataDirError> {
    let look = |path: &Path| fs::canonicalize(path).map_err(DataDirError::io("look at", path));
    // A path of one name lies where the process is.
    let there = path.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let whole = look(there.unwrap_or(Path::new(".")))?;
    Ok(whole
        .ancestors()
        .find(|path| {
            path.join("generations").is_dir() && ["CURRENT", "LOCK"].iter().any(|own| path.join(own).exists())
        })
        .map(Path::to_owned))
}

fn lock(data_dir: &Path) -> Result<DataDirLock, DataDirError> {
    // The directory itself may be root's, as a volume's is. The owner of the oldest of its files is the store's.
    let oldest = ["CURRENT", "generations", "LOCK"].map(|name| data_dir.join(name));
    let oldest = oldest.iter().find(|path| path.exists()).map_or(data_dir, PathBuf::as_path);
    disk::check_owner(data_dir, oldest)?;
    let held = take_lock(data_dir)?;
    close_to_others(data_dir);
    Ok(held)
}

/// Takes from others what versions before this one let them do. The directory itself is left as it is: it may not be
/// ours.
fn close_to_others(data_dir: &Path) {
    for path in OWN.map(|name| data_dir.join(name)) {
        match disk::close_to_others(&path) {
            Ok(true) => {
                tracing::info!(path = %path.display(), "it was open to other users of this machine, and no longer is")
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "it stays open to other users of this machine")
            }
        }
    }
}

fn take_lock(data_dir: &Path) -> Result<DataDirLock, DataDirError> {
    let path = data_dir.join("LOCK");
    match disk::lock_file(&path) {
        Ok(file) => Ok(DataDirLock { _locked: file }),
        Err(LockError::Held) => Err(DataDirError::Held { path: data_dir.to_owned() }),
        Err(LockError::Io { doing, error }) => Err(DataDirError::io(doing, &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_until_whoever_holds_it_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock_data_dir(directory.path()).unwrap();
        assert!(matches!(lock_data_dir(directory.path()), Err(DataDirError::Held { .. })));
        drop(held);
        lock_data_dir(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_without_a_store_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(lock_existing_data_dir(directory.path()), Err(DataDirError::Missing { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        fs::write(directory.path().join("CURRENT"), "000001\n").unwrap();
        lock_existing_data_dir(directory.path()).unwrap();
    }

    #[test]
    fn what_lies_in_a_data_directory_is_known_to_wherever_links_lead() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = fs::canonicalize(directory.path()).unwrap().join("data");
        fs::create_dir_all(data_dir.join("generations/000001")).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&data_dir, &link).unwrap();
        assert_eq!(data_dir_around(&data_dir.join("file")).unwrap(), None, "it has no store yet");
        fs::write(data_dir.join("CURRENT"), "000001\n").unwrap();
        for inside in ["CURRENT", "file", "generations/000001/db", "not/there/yet"] {
            for data_dir in [&data_dir, &link] {
                assert!(data_dir_around(&data_dir.join(inside)).unwrap().is_some(), "{inside}");
            }
        }
        assert_eq!(data_dir_around(&directory.path().join("file")).unwrap(), None);
        assert_eq!(data_dir_around(Path::new("file")).unwrap(), None);
    }

    #[test]
    fn what_a_version_before_left_open_to_others_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        fs::create_dir(path("generations")).unwrap();
        for (name, mode) in [("generations", 0o755), ("LOCK", 0o644), ("CURRENT", 0o664), ("elses", 0o644)] {
            if name != "generations" {
                fs::write(path(name), "").unwrap();
            }
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let _held = lock_data_dir(directory.path()).unwrap();
        assert_eq!(["generations", "LOCK", "CURRENT", "elses"].map(mode), [0o750, 0o640, 0o660, 0o644]);
    }
}
