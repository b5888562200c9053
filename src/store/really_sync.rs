//! sled takes `sync_file_range` for a sync, which it is not (spacejam/sled#1452): it then believes of a part of its log
//! that it is on the disk, overwrites what that part replaces, and no sync of ours at a checkpoint can bring it back.
//! Among the disks that a power cut may leave, some then had views older than their checkpoint; see the test
//! `power_cut`. So the name stands for a real sync here: the linker finds this one before libc's.

use std::ffi::{c_int, c_uint};

unsafe extern "C" {
    /// The data, and of the rest what it takes to find them again.
    fn fdatasync(fd: c_int) -> c_int;
}

/// Syncs the whole file. Returns and sets `errno` as `fdatasync` does.
///
/// # Safety
/// As safe as `fdatasync`, which takes any number for a descriptor.
#[unsafe(no_mangle)]
unsafe extern "C" fn sync_file_range(fd: c_int, _offset: i64, _len: i64, _flags: c_uint) -> c_int {
    // SAFETY: no memory is passed.
    unsafe { fdatasync(fd) }
}
