//! The free space that stays on a disk, whatever is written there.

use std::io;
use std::path::Path;

/// The number of bytes that stay free on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskReserve {
    /// Number of bytes that stay free, as `--min-free-disk` gives it.
    pub floor_bytes: u64,
}

impl DiskReserve {
    /// Returns the number of free bytes on the disk of `path` if that is less than `wanted_bytes` more and the reserve need;
    /// `None` if there is room.
    pub fn shortage(self, path: &Path, wanted_bytes: u64) -> io::Result<Option<u64>> {
        let free = free_bytes(path)?;
        Ok((free < wanted_bytes.saturating_add(self.floor_bytes)).then_some(free))
    }
}

/// Returns the free bytes on the filesystem of `path`. If `path` does not exist, its nearest existing ancestor counts.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    // The empty parent of a path of one name stands for the current directory. A path that cannot be examined counts as
    // existing: its ancestor may be on another filesystem.
    let existing = path.ancestors().find(|path| !matches!(path.try_exists(), Ok(false)));
    let disk = rustix::fs::statvfs(existing.unwrap_or_else(|| Path::new(".")))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_yet_has_the_room_of_where_it_would_be() {
        let directory = tempfile::tempdir().unwrap();
        assert!(free_bytes(directory.path()).unwrap() > 0);
        assert!(free_bytes(&directory.path().join("not/there")).unwrap() > 0);
        assert!(free_bytes(Path::new("no-such-file")).unwrap() > 0);
    }

    #[test]
    fn the_reserve_and_what_is_wanted_must_both_be_free() {
        let directory = tempfile::tempdir().unwrap();
        let shortage =
            |floor_bytes, wanted| DiskReserve { floor_bytes }.shortage(directory.path(), wanted).unwrap();
        assert_eq!(shortage(1, 1), None);
        for (floor_bytes, wanted) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert!(shortage(floor_bytes, wanted).is_some_and(|free| free > 0), "{floor_bytes}, {wanted}");
        }
    }
}
