//! The disk: how much room it has left, files that are replaced as a whole, whose files are, and what may be
//! overwritten. Knows nothing of what is kept there.

mod ownership;
mod target;

pub use ownership::{OtherOwner, check_owner, close_to_others, permission_remedy};
pub use target::{TargetError, check_target, open_regular};

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How much room is left where something lies, or would lie: of a path that is not there yet, what there is of it counts.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    // A path of one name lies in the directory that the process is in, which is what its empty parent stands for.
    // What cannot be looked at is there, and is what the question is about: asking another disk would answer something else.
    let is_there = |path: &&Path| !matches!(path.try_exists(), Ok(false));
    let there = path.ancestors().find(is_there).unwrap_or_else(|| Path::new("."));
    let disk = rustix::fs::statvfs(there)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Which file lay under a path when it was looked at. An open file goes on to be read and written after its name is gone, so
/// whoever keeps one open must look whether what he writes could be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file that lies under `path` now.
    pub fn of(path: &Path) -> io::Result<FileIdentity> {
        let found = fs::metadata(path)?;
        Ok(FileIdentity { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Whether the file lies there no more: it or a directory above it was deleted, moved or replaced. What cannot be looked
    /// at is not gone.
    pub fn is_gone(&self) -> bool {
        match FileIdentity::of(&self.path) {
            Ok(found) => found != *self,
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// Puts a new file in the old one's place, and both it and that on the disk: a crash leaves one or the other, whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // What a crash left; and if it is a link, it must not lead elsewhere.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(directory_of(path))
}

/// Where a file lies. A path of one name lies in the directory that the process is in, which its empty parent stands for.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes the names in it as durable as what they name.
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
    fn what_is_not_there_yet_has_the_room_of_where_it_would_be() {
        let directory = tempfile::tempdir().unwrap();
        assert!(free_bytes(directory.path()).unwrap() > 0);
        assert!(free_bytes(&directory.path().join("not/there")).unwrap() > 0);
        assert!(free_bytes(Path::new("no-such-file")).unwrap() > 0);
    }
}
