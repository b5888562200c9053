//! The checks before sled opens a database: the log that it recovers from can be read, and the process can start the threads
//! that it needs. sled takes a failed read for the torn end of its log, forgets what follows, and overwrites it; and without its
//! threads it waits for ever. These checks change nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data_dir::IoError;

/// Size of a segment of sled's log: sled's default, which the store keeps.
const SEGMENT_BYTES: u64 = 512 * 1024;

/// Length of the head of a segment: a checksum of 4 bytes, the segment's log sequence number, and another one, all little endian.
const HEAD_BYTES: usize = 20;

/// The bits that sled inverts in a stored log sequence number.
const LSN_MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// Number of threads of an open database: seven of sled's pool, its flusher, and the two of the writer.
const THREADS: usize = 10;

/// Number of threads of a process that serves, beside one for each core: about 30, and some more during a rebuild.
const THREADS_TO_SERVE: usize = 48;

/// The name of the threads that are started to see whether they can be. The system shows no more than 15 bytes of a name.
const CHECK_THREAD: &str = "thread-check";

/// Longest time for which threads that have ended still count for the process's limit.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// Checks that the process can start the threads that an open database takes. One check is enough for a process: sled's pool
/// belongs to it, and stays.
///
/// # Errors
/// The operating system's, if it starts no more threads.
pub fn check_threads(path: &Path) -> Result<(), IoError> {
    static ARE_THERE: AtomicBool = AtomicBool::new(false);
    if !ARE_THERE.load(Ordering::Acquire) {
        start_threads(THREADS).map_err(IoError::of("start the threads for", path))?;
        ARE_THERE.store(true, Ordering::Release);
    }
    Ok(())
}

/// Checks that a process can start the threads that it takes to serve the store in `path`: those of the store, the server's (one
/// for each core, and some that wait for files), and those of the cluster's clients. If one of them did not start later, others
/// would wait for it for ever, panic, or abort the process. The check comes before any of them is started.
///
/// # Errors
/// The operating system's, if it starts no more threads.
pub fn check_threads_to_serve(path: &Path) -> Result<(), IoError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    start_threads(cores + THREADS_TO_SERVE).map_err(IoError::of("start the threads for", path))
}

fn start_threads(count: usize) -> io::Result<()> {
    let started = start_together(count);
    // What remains then is a limit that is reached a moment earlier than it should be.
    let _have_ended = wait_until_ended();
    started
}

/// Waits until the system has forgotten the threads of this check, which have ended but count for the limit a moment longer.
/// Returns false if it has not within [`ENDED_WITHIN`]. Other threads of the process may begin and end meanwhile.
fn wait_until_ended() -> bool {
    let begin = Instant::now();
    while check_threads_left() > 0 {
        if begin.elapsed() >= ENDED_WITHIN {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Returns the number of threads of such a check that the process still has, or 0 if that is unknown.
fn check_threads_left() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.flatten().filter(is_check_thread).count())
}

fn is_check_thread(task: &fs::DirEntry) -> bool {
    fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim_end() == CHECK_THREAD)
}

fn start_together(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    std::thread::scope(|scope| {
        let closed = gate.lock();
        let started: io::Result<Vec<_>> = (0..count)
            .map(|_| {
                let thread = std::thread::Builder::new().name(CHECK_THREAD.to_owned());
                thread.spawn_scoped(scope, || drop(gate.lock()))
            })
            .collect();
        drop(closed);
        started.map(drop)
    })
}

/// Checks that sled can read the parts of its log that it reads when it opens: the head of each segment, and the whole of each
/// segment that was begun or written since sled's last snapshot. They are in the page cache when sled reads them again.
///
/// # Errors
/// The error of the read that fails.
#[expect(clippy::cast_possible_truncation, reason = "a segment is read into memory as a whole")]
pub fn check_log(generation: &Path) -> Result<(), IoError> {
    let read_from = last_snapshot(generation)? / SEGMENT_BYTES * SEGMENT_BYTES;
    let path = generation.join("db");
    let failed = |error| IoError::of("read", &path)(error);
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

/// Returns the log sequence number in a segment's head. A head that is cut short counts as the greatest, so that the segment is read.
fn lsn(segment: &[u8]) -> u64 {
    let bytes = segment.get(4..12).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(u64::MAX, |bytes| u64::from_le_bytes(bytes) ^ LSN_MASK)
}

/// Returns the log sequence number at which sled's last snapshot ends, from the name of its file.
fn last_snapshot(generation: &Path) -> Result<u64, IoError> {
    let mut last = 0;
    for file in fs::read_dir(generation).map_err(IoError::of("read", generation))? {
        let name = file.map_err(IoError::of("read", generation))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("snap.").and_then(|number| u64::from_str_radix(number, 16).ok());
        last = last.max(number.unwrap_or(0));
    }
    Ok(last)
}

/// Checks the values that sled keeps in files of their own. There are never many here.
fn check_blobs(blobs: &Path) -> Result<(), IoError> {
    let entries = match fs::read_dir(blobs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(IoError::of("read", blobs))?,
    };
    for entry in entries {
        let path = entry.map_err(IoError::of("read", blobs))?.path();
        fs::read(&path).map_err(IoError::of("read", &path))?;
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
    fn threads_that_begin_meanwhile_are_not_waited_for() {
        start_together(THREADS).unwrap();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || ended.recv());
        assert!(wait_until_ended());
        drop(end);
        let _ = other.join().unwrap();
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
