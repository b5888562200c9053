//! The kind of filesystem that a path is on. sled rests on locks and syncs that network filesystems do not keep, and what is on
//! others is gone with the machine's memory or with the container.

use std::io;
use std::path::Path;

/// The kind of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesystemKind {
    /// A disk of this machine, or one that looks like it.
    Local,
    /// A network filesystem: its name.
    Network(&'static str),
    /// The machine's memory: gone after a restart of the machine.
    Memory,
    /// The layer of a container that is written to: gone with the container.
    ContainerLayer,
}

/// Returns the kind of the filesystem of `path`. If `path` does not exist, its nearest existing ancestor counts. A kind that is not
/// known counts as local.
///
/// # Errors
/// The operating system's, if it does not show the filesystem.
pub fn filesystem_kind(path: &Path) -> io::Result<FilesystemKind> {
    let existing = path.ancestors().find(|path| !matches!(path.try_exists(), Ok(false)));
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    kind_of_existing(existing)
}

#[cfg(target_os = "linux")]
fn kind_of_existing(path: &Path) -> io::Result<FilesystemKind> {
    // The width of the number differs between machines.
    #[expect(clippy::cast_possible_truncation, reason = "the kernel's numbers have 32 bits")]
    let number = rustix::fs::statfs(path)?.f_type as u32;
    Ok(of_number(number))
}

#[cfg(not(target_os = "linux"))]
fn kind_of_existing(path: &Path) -> io::Result<FilesystemKind> {
    std::fs::metadata(path).map(|_| FilesystemKind::Local)
}

/// Returns the kind that a number of Linux stands for, as `statfs(2)` lists them.
#[cfg(target_os = "linux")]
fn of_number(number: u32) -> FilesystemKind {
    match number {
        0x6969 => FilesystemKind::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => FilesystemKind::Network("SMB"),
        0x00c3_6400 => FilesystemKind::Network("Ceph"),
        0x5346_414f | 0x6b41_4653 => FilesystemKind::Network("AFS"),
        0x0102_1997 => FilesystemKind::Network("9p"),
        0x0bd0_0bd0 => FilesystemKind::Network("Lustre"),
        0x4750_4653 => FilesystemKind::Network("GPFS"),
        0x0102_1994 | 0x8584_58f6 => FilesystemKind::Memory,
        0x794c_7630 => FilesystemKind::ContainerLayer,
        _ => FilesystemKind::Local,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_keep_no_store_are_known_and_others_are_disks() {
        assert_eq!(of_number(0x6969), FilesystemKind::Network("NFS"));
        assert_eq!(of_number(0xff53_4d42), FilesystemKind::Network("SMB"));
        assert_eq!(of_number(0x0102_1994), FilesystemKind::Memory);
        assert_eq!(of_number(0x794c_7630), FilesystemKind::ContainerLayer);
        // ext4, xfs, btrfs and zfs.
        for number in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(of_number(number), FilesystemKind::Local);
        }
    }

    #[test]
    fn a_path_that_is_not_there_yet_is_of_the_filesystem_that_it_would_be_on() {
        let directory = tempfile::tempdir().unwrap();
        let there = filesystem_kind(directory.path()).unwrap();
        assert_eq!(filesystem_kind(&directory.path().join("not/there")).unwrap(), there);
        assert_eq!(filesystem_kind(Path::new("/dev/shm")).unwrap(), FilesystemKind::Memory);
        assert!(filesystem_kind(Path::new("no-such-file")).is_ok());
    }
}
