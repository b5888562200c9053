//! What must hold before sled opens a database: that the log it recovers from can be read, and that the process can start
//! the threads that sled needs. sled takes an error of reading for the torn end of its log, forgets what follows, and
//! overwrites it; and without its threads it waits for ever. So both are found out first, without changing anything.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::StoreError;

/// The size of the segments of sled's log: sled's own default, which is not changed.
const SEGMENT_BYTES: u64 = 512 * 1024;

/// The head of a segment: a checksum of 4 bytes, its log sequence number, another, all little endian.
const HEAD_BYTES: usize = 20;

/// sled keeps a log sequence number with these bits turned.
const LSN_MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// Seven threads of sled's pool and its flusher, and the two of the writer.
const THREADS: usize = 10;

/// A process that serves takes about 30 beside the server's one for each core, while it rebuilds some more.
const THREADS_TO_SERVE: usize = 48;

/// For how long threads that have ended may still count for the process's limit.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// Checks that the process can start the threads that an open database takes. sled's pool is the process's, and stays.
///
/// # Errors
/// Where the operating system starts no more.
pub fn check_threads(path: &Path) -> Result<(), StoreError> {
    static ARE_THERE: AtomicBool = AtomicBool::new(false);
    if !ARE_THERE.load(Ordering::Acquire) {
        start_threads(THREADS).map_err(StoreError::io("start the threads for", path))?;
        ARE_THERE.store(true, Ordering::Release);
    }
    Ok(())
}

/// Checks that a process can start the threads that it takes to serve the store in `path`: beside those of the store, the
/// server's, a core each and some that wait for files, and those of clients of the cluster. Where one of these does not start,
/// others wait for ever for it, panic, or abort the process. Called before any is started.
///
/// # Errors
/// Where the operating system starts no more.
pub fn check_threads_to_serve(path: &Path) -> Result<(), StoreError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    start_threads(cores + THREADS_TO_SERVE).map_err(StoreError::io("start the threads for", path))
}

fn start_threads(count: usize) -> io::Result<()> {
    let before = threads_of_process();
    let started = start_together(count);
    // Those that have ended count for the limit a moment longer.
    let begin = Instant::now();
    while threads_of_process() > before && begin.elapsed() < ENDED_WITHIN {
        std::thread::sleep(Duration::from_millis(1));
    }
    started
}

/// How many threads the process has; 0 where that is not known.
fn threads_of_process() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn start_together(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        let closed = gate.lock();
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()));
        let started: io::Result<Vec<_>> = (0..count).map(start).collect();
        drop(closed);
        started.map(drop)
    })
}

/// Checks that all can be read that sled reads of its log when it opens: the head of each segment, and each segment whole
/// that was begun or written since sled's last snapshot. What was read is in the page cache when sled reads it again.
///
/// # Errors
/// What reading fails at.
#[expect(clippy::cast_possible_truncation, reason = "a segment is read into memory as a whole")]
pub fn check_log(generation: &Path) -> Result<(), StoreError> {
    let read_from = last_snapshot(generation)? / SEGMENT_BYTES * SEGMENT_BYTES;
    let path = generation.join("db");
    let failed = |error| StoreError::io("read", &path)(error);
    let file = File::open(&path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let mut segment = vec![0; SEGMENT_BYTES as usize];
    for begin in (0..len).step_by(SEGMENT_BYTES as usize) {
        let head = read_at(&file, &mut segment[..HEAD_BYTES], begin).map_err(failed)?;
        if head < HEAD_BYTES || lsn(&segment) >= read_from {
            read_at(&file, &mut segment, begin).map_err(failed)?;
        }
    }
    check_blobs(&generation.join("blobs"))
}

/// The log sequence number in a segment's head. One that makes no sense is the greatest, so that the segment is read.
fn lsn(segment: &[u8]) -> u64 {
    let bytes = segment.get(4..12).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(u64::MAX, |bytes| u64::from_le_bytes(bytes) ^ LSN_MASK)
}

/// Up to which log sequence number sled's last snapshot goes: its name says so.
fn last_snapshot(generation: &Path) -> Result<u64, StoreError> {
    let mut last = 0;
    for file in fs::read_dir(generation).map_err(StoreError::io("read", generation))? {
        let name = file.map_err(StoreError::io("read", generation))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("snap.").and_then(|number| u64::from_str_radix(number, 16).ok());
        last = last.max(number.unwrap_or(0));
    }
    Ok(last)
}

/// Values that sled keeps in files of their own, of which it never has many here.
fn check_blobs(blobs: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(blobs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(StoreError::io("read", blobs))?,
    };
    for entry in entries {
        let path = entry.map_err(StoreError::io("read", blobs))?.path();
        fs::read(&path).map_err(StoreError::io("read", &path))?;
    }
    Ok(())
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], begin: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], begin + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_start_as_are_needed_and_all_end() {
        start_threads(THREADS).unwrap();
    }

    #[test]
    fn the_log_of_a_store_can_be_read_and_its_numbers_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let opened = crate::store::open(directory.path(), 1 << 20).unwrap();
        opened.writer.finish().unwrap();
        let opened = crate::store::open(directory.path(), 1 << 20);
        drop(opened);
        let generation = directory.path().join("generations/000001");
        check_log(&generation).unwrap();
        assert!(last_snapshot(&generation).unwrap() > 0, "it was opened again, so sled has a snapshot");
        let head = fs::read(generation.join("db")).unwrap();
        assert_eq!(lsn(&head), 0, "the first segment begins the log");
    }
}
