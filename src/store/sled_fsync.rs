//! A real sync for sled, and a limit of syncs under way that keeps sled from a deadlock. This module does nothing to memory or
//! files but syncing them.
//!
//! **Sync.** sled takes `sync_file_range` for a sync, which it is not (spacejam/sled#1452): it then believes that a part of its
//! log is on the disk, and overwrites what that part replaces; no sync of ours at a checkpoint can bring it back. Among the
//! disks that a power cut may leave, some then had views older than their checkpoint (see the test `power_cut`). So this module
//! defines the function of that name as a real sync: the linker finds it before libc's.
//!
//! **Deadlock.** sled writes and truncates its file on a pool of 7 threads, which never grows: its count of idle threads falls
//! below zero. A thread that needs a segment at the end of the file holds a lock while it waits for the truncation, and each
//! thread that has written waits for that lock; with 7 such threads, none is left to truncate, and all wait for ever. It
//! happened with `sync_file_range` too. So the writer waits while several syncs are under way.

#![expect(unsafe_code, reason = "the linker calls this function in the place of libc's")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most syncs under way. It leaves threads of the pool for writes whose sync has not begun, and for truncating the file.
const MOST_UNDER_WAY: usize = 4;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Waits while [`MOST_UNDER_WAY`] syncs are under way: on a disk that is slower than the writer they would only become more.
pub fn wait_for_room() {
    while UNDER_WAY.load(Ordering::Relaxed) >= MOST_UNDER_WAY {
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_uint};
    use std::sync::atomic::Ordering;

    use super::UNDER_WAY;

    unsafe extern "C" {
        /// Syncs the data of a file, and the metadata that it takes to find them again.
        fn fdatasync(fd: c_int) -> c_int;
    }

    /// Syncs the whole file. Returns and sets `errno` as `fdatasync` does.
    ///
    /// # Safety
    /// The call is as safe as `fdatasync`, which takes any number for a descriptor.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn sync_file_range(fd: c_int, _offset: i64, _len: i64, _flags: c_uint) -> c_int {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        // SAFETY: no memory is passed.
        let result = unsafe { fdatasync(fd) };
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        result
    }
}
