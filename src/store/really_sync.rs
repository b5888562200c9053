//! Makes sled sync what it writes, and keeps it from standing still because of that. Never touches memory or files
//! other than by syncing them.
//!
//! **Sync.** sled takes `sync_file_range` for a sync, which it is not (spacejam/sled#1452): it then believes of a part of
//! its log that it is on the disk, overwrites what that part replaces, and no sync of ours at a checkpoint can bring it
//! back. Among the disks that a power cut may leave, some then had views older than their checkpoint; see the test
//! `power_cut`. So the name stands for a real sync here: the linker finds this one before libc's.
//!
//! **Standing still.** sled writes and cuts its file on a pool of 7 threads, which never grows: its count of idle threads
//! passes below zero. Whoever needs a segment at the end of the file holds a lock while it waits for the cut, and each
//! thread that has written waits for that lock; with 7 such threads, none is left to cut, and all stand still for ever.
//! It happened with `sync_file_range` too. So the writer waits while several syncs are under way.

#![expect(unsafe_code, reason = "the linker calls this function in the place of libc's")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Leaves threads of the pool for what has been written and not begun to be synced, and for cutting the file.
const MOST_UNDER_WAY: usize = 4;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Waits while many syncs are under way: a disk that is slower than the writer would only gather more.
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
        /// Syncs the data, and of the rest what it takes to find them again.
        fn fdatasync(fd: c_int) -> c_int;
    }

    /// Syncs the whole file. Returns and sets `errno` as `fdatasync` does.
    ///
    /// # Safety
    /// As safe as `fdatasync`, which takes any number for a descriptor.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn sync_file_range(fd: c_int, _offset: i64, _len: i64, _flags: c_uint) -> c_int {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        // SAFETY: no memory is passed.
        let done = unsafe { fdatasync(fd) };
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        done
    }
}
