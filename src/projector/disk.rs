//! How much room the store's disk has left.

use std::io;
use std::path::Path;

/// Why nothing may be read, where fewer than `wanted` bytes are free on the disk of `store`.
pub fn shortage(store: &Path, wanted: u64) -> io::Result<Option<String>> {
    let disk = rustix::fs::statvfs(store)?;
    let free = disk.f_bavail * disk.f_frsize;
    Ok((free < wanted).then(|| {
        let path = store.display();
        format!(
            "only {free} bytes are free on the disk of {path}, fewer than the {wanted} of --min-free-disk: nothing is \
             read until there is room"
        )
    }))
}
