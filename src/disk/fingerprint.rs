//! The fingerprint of a file, by which a change of it is noticed without reading it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The facts of a file that change when somebody writes to it or puts another in its place. A link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_regular: bool,
}

impl FileFingerprint {
    /// Reads the fingerprint of the file that is at `path` now.
    pub fn of(path: &Path) -> io::Result<FileFingerprint> {
        let found = fs::metadata(path)?;
        Ok(FileFingerprint {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            is_regular: found.is_file(),
        })
    }

    /// Returns true for a regular file, which can be read again. What was read from a pipe is gone.
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }
}
