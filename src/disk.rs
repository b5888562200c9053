//! Files and filesystems: free space, files that are replaced as a whole, the ownership of files, and the rule for what may be
//! overwritten. Nothing here knows what the files contain.

mod filesystem;
mod fingerprint;
mod lock_file;
mod ownership;
mod reserve;
mod target;

pub use filesystem::{FilesystemKind, filesystem_kind};
pub use fingerprint::FileFingerprint;
pub use lock_file::{LockError, lock_file};
pub use ownership::{OtherOwner, check_owner, check_writable, close_to_others, permission_remedy};
pub use reserve::{DiskReserve, free_bytes};
pub use target::{TargetError, check_target, open_regular};

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// The identity of the file that was at a path. An open file can be read and written after its name is gone, so a process that
/// keeps one open must check that its writes could be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Reads the identity of the file that is at `path` now.
    pub fn of(path: &Path) -> io::Result<FileIdentity> {
        let found = fs::metadata(path)?;
        Ok(FileIdentity { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Returns true if the file is no longer at its path: it or a directory above it was deleted, moved or replaced. A path that
    /// cannot be examined does not count as gone.
    pub fn is_gone(&self) -> bool {
        match FileIdentity::of(&self.path) {
            Ok(found) => found != *self,
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// Replaces a file and syncs both the new file and its directory. A crash leaves the old file or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, |path| File::create_new(path))
}

/// Replaces a file as [`replace`] does, with one that others cannot read (mode 0600). If there is a file, the new one has the same
/// owner and group, and the group keeps its rights if they were given on purpose: if the file was closed to others.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    replace_with(path, bytes, |path| {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        if let Some(found) = &found {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
                fchown(&file, Some(found.uid()), Some(found.gid()))?;
            }
            let group = if found.mode() & 0o007 == 0 { found.mode() & 0o060 } else { 0 };
            file.set_permissions(fs::Permissions::from_mode(0o600 | group))?;
        }
        Ok(file)
    })
}

fn replace_with(path: &Path, bytes: &[u8], create: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // A crash may have left a file there. A link must not be followed either.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(directory_of(path))
}

/// Returns the directory of a file. The empty parent of a path of one name stands for the current directory.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Syncs a directory, which makes the names in it as durable as the files.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_leaves_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        for text in ["one", "two"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_lies_in_the_place_of_the_new_file_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a.json"), directory.path().join("other"));
        fs::write(&other, "of somebody else").unwrap();
        std::os::unix::fs::symlink(&other, directory.path().join("a.json.new")).unwrap();
        replace(&path, b"one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
    }

    #[test]
    fn a_file_is_gone_once_it_or_what_it_lies_in_was_deleted_moved_or_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, moved) = (directory.path().join("inner"), directory.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("a"), "one").unwrap();
        let one = FileIdentity::of(&inner.join("a")).unwrap();
        fs::write(inner.join("a"), "the same file").unwrap();
        assert!(!one.is_gone());
        fs::rename(&inner, &moved).unwrap();
        assert!(one.is_gone());
        fs::rename(&moved, &inner).unwrap();
        assert!(!one.is_gone());
        fs::write(inner.join("b"), "another file").unwrap();
        fs::rename(inner.join("b"), inner.join("a")).unwrap();
        assert!(one.is_gone());
        let other = FileIdentity::of(&inner.join("a")).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        assert!(other.is_gone());
        fs::write(&inner, "a file where a directory was").unwrap();
        assert!(other.is_gone());
        assert!(FileIdentity::of(&inner.join("a")).is_err());
    }

    #[test]
    fn a_private_file_keeps_its_group_only_where_it_was_closed_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        replace_private(&path, b"one").unwrap();
        assert_eq!(mode(), 0o600);
        for (before, after) in [(0o644, 0o600), (0o640, 0o640), (0o660, 0o660), (0o600, 0o600), (0o666, 0o600)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            replace_private(&path, b"two").unwrap();
            assert_eq!(mode(), after, "{before:o}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
