//! Files that are written to a path from the command line. Only regular files are ever written to or replaced, and an existing
//! file only if the user requested it.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The reason for which a file cannot be written at a path.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Something other than a regular file is there.
    #[error("{path} is {what}, and is left as it is: give the name of a file", path = path.display())]
    NoFile {
        /// The path that was to be written.
        path: PathBuf,
        /// The kind of thing that is there, with its article.
        what: &'static str,
    },
    /// A file is there, and may not be replaced.
    #[error("{path} is there already: --force replaces it, or give another name", path = path.display())]
    Exists {
        /// The path that was to be written.
        path: PathBuf,
    },
    /// The path cannot be examined.
    #[error("cannot look at {path}: {error}", path = path.display())]
    Io {
        /// The path that was to be written.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
}

/// Checks that a file may be written at a path. An existing file may be replaced if `replace` is true.
///
/// # Errors
/// Fails if something other than a regular file is there, or a file that may not be replaced.
pub fn check_target(path: &Path, replace: bool) -> Result<(), TargetError> {
    // A link itself is checked, since it would be replaced, and not the file that it leads to.
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(TargetError::Io { path: path.to_owned(), error }),
    };
    match kind(found.file_type()) {
        Some(what) => Err(TargetError::NoFile { path: path.to_owned(), what }),
        None if !replace => Err(TargetError::Exists { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// Opens a file to read and write it, and creates it if it is missing. It never follows a link, and never waits, as opening
/// a FIFO would.
///
/// # Errors
/// Fails if the file cannot be opened, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).custom_flags(flags);
    let file = options.open(path)?;
    match kind(file.metadata()?.file_type()) {
        Some(what) => Err(io::Error::other(format!("it is {what}"))),
        None => Ok(file),
    }
}

/// Names the kind of a file that is not a regular one; `None` for a regular file.
fn kind(found: FileType) -> Option<&'static str> {
    match found {
        found if found.is_file() => None,
        found if found.is_dir() => Some("a directory"),
        found if found.is_symlink() => Some("a symbolic link"),
        found if found.is_fifo() => Some("a FIFO"),
        found if found.is_socket() => Some("a socket"),
        found if found.is_block_device() || found.is_char_device() => Some("a device"),
        _ => Some("no regular file"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_regular_file_is_replaced_and_only_where_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        let why = |path: &Path, replace| check_target(path, replace).map_err(|error| error.to_string());
        assert_eq!(why(&path("none"), false), Ok(()));
        assert_eq!(why(&path("file"), true), Ok(()));
        assert!(why(&path("file"), false).unwrap_err().contains("--force replaces it"));
        for (path, what) in [
            (path("link"), "a symbolic link"),
            (path("dangling"), "a symbolic link"),
            (path("socket"), "a socket"),
            (directory.path().to_owned(), "a directory"),
            ("/dev/null".into(), "a device"),
        ] {
            for replace in [false, true] {
                assert!(why(&path, replace).unwrap_err().contains(what), "{path:?}");
            }
        }
    }

    #[test]
    fn what_is_opened_is_a_regular_file_and_no_link_leads_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink(path("file"), path("link")).unwrap();
        assert_eq!(open_regular(&path("file")).unwrap().metadata().unwrap().len(), 4);
        open_regular(&path("new")).unwrap();
        assert!(path("new").is_file());
        open_regular(&path("link")).unwrap_err();
        assert!(open_regular(Path::new("/dev/null")).unwrap_err().to_string().contains("a device"));
    }
}
