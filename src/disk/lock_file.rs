//! Lock files: empty files that a process holds for as long as it works on what lies beside them. Never waits for one.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// The reason for which a lock file is not this process's.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held,
    /// It cannot be opened or locked.
    Io {
        /// The operation that failed, as a verb.
        doing: &'static str,
        /// The operating system's error.
        error: io::Error,
    },
}

/// Locks a file, which is made if it is missing. The lock ends when the file is dropped, or the process is gone.
pub fn lock_file(path: &Path) -> Result<File, LockError> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| LockError::Io { doing: "open", error })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Held),
        Err(TryLockError::Error(error)) => Err(LockError::Io { doing: "lock", error }),
    }
}
