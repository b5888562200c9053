//! The queue of lines on their way to stderr, or of the access log's to stdout. A thread that logs never waits: a pipe that nobody reads, or a full disk, costs
//! lines and not work. Lost lines are counted, and their number is logged once that is possible.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Number of lines that may wait: more than any burst of a healthy program.
const LINES_MAX: usize = 4096;
/// Number of bytes that the waiting lines may have.
const BYTES_MAX: usize = 4 << 20;
/// The pause before the next try if stderr refuses a line for now, which it does if a process that shares it has made it
/// non-blocking.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// Number of lines that were lost since the process began.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The name of the metric that shows [`LOST`].
const METRIC: &str = "optview_log_lines_lost_total";

/// Registers the metric of lost lines, so that it is there before the first loss.
pub fn register_metric() {
    metrics::describe_counter!(
        METRIC,
        "Log lines that could not be written in time, or at all, to stderr or the access log"
    );
    metrics::counter!("optview_log_lines_lost_total").absolute(LOST.load(Ordering::Relaxed));
}

fn count_lost(lines: u64) {
    let lost = LOST.fetch_add(lines, Ordering::Relaxed) + lines;
    metrics::counter!("optview_log_lines_lost_total").absolute(lost);
}

/// The queue of waiting lines. Clones share the queue.
#[derive(Clone, Default)]
pub struct LogQueue(Arc<SharedQueue>);

#[derive(Default)]
struct SharedQueue {
    waiting: Mutex<PendingLines>,
    /// Signals that lines wait, or that all have been written.
    changed: Condvar,
}

#[derive(Default)]
struct PendingLines {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    /// True while the lines that were taken last are being written.
    is_writing: bool,
    /// Number of lines that found no room since the last such loss was logged.
    unreported: u64,
}

impl LogQueue {
    /// Makes a queue, and starts the thread that writes it to stderr until the process ends.
    pub fn start() -> io::Result<LogQueue> {
        let queue = LogQueue::default();
        let writing = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            match io::stderr().as_fd().try_clone_to_owned() {
                // The duplicate has no lock; other threads could wait for that of the standard library's stderr.
                Ok(stderr) => writing.write_to(File::from(stderr)),
                Err(_) => writing.write_to(io::stderr()),
            }
        })?;
        Ok(queue)
    }

    /// Makes a queue, and starts the thread that writes it to `to` until the process ends.
    ///
    /// # Errors
    /// Fails if no thread can be started.
    pub fn start_with(thread: &str, to: impl Write + Send + 'static) -> io::Result<LogQueue> {
        let queue = LogQueue::default();
        let writing = queue.clone();
        std::thread::Builder::new().name(thread.to_owned()).spawn(move || writing.write_to(to))?;
        Ok(queue)
    }

    /// Adds a line, its line break included, or drops it if too much waits.
    pub fn push(&self, line: Vec<u8>) {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() >= LINES_MAX || waiting.bytes + line.len() > BYTES_MAX {
            waiting.unreported += 1;
            drop(waiting);
            return count_lost(1);
        }
        waiting.bytes += line.len();
        waiting.lines.push(line);
        self.0.changed.notify_all();
    }

    /// Returns a writer that adds lines to the queue.
    pub fn line_writer(&self) -> LineWriter {
        LineWriter(self.clone())
    }

    /// Waits until all lines are written or lost, but no longer than `at_most`.
    pub fn flush(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let mut waiting = self.0.waiting.lock();
        while !waiting.lines.is_empty() || waiting.is_writing {
            if self.0.changed.wait_until(&mut waiting, deadline).timed_out() {
                return;
            }
        }
    }

    fn write_to(&self, mut to: impl Write) {
        loop {
            let lines = self.take();
            let failed = lines.iter().filter(|line| write(&mut to, line).is_err()).count();
            let unreported = self.finish_writing();
            if failed > 0 {
                // A line about it would be lost as well.
                count_lost(failed as u64);
            } else if unreported > 0 {
                tracing::warn!(
                    lines = unreported,
                    "log lines were lost: the reader of stderr, or of the access log, did not keep up"
                );
            }
        }
    }

    /// Waits for lines, and takes all of them.
    fn take(&self) -> Vec<Vec<u8>> {
        let mut waiting = self.0.waiting.lock();
        while waiting.lines.is_empty() {
            self.0.changed.wait(&mut waiting);
        }
        waiting.bytes = 0;
        waiting.is_writing = true;
        std::mem::take(&mut waiting.lines)
    }

    /// Notes that the lines that were taken have been written. Returns the number of lines that found no room since the last
    /// call.
    fn finish_writing(&self) -> u64 {
        let mut waiting = self.0.waiting.lock();
        waiting.is_writing = false;
        self.0.changed.notify_all();
        std::mem::take(&mut waiting.unreported)
    }
}

fn write(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(REFUSED_PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A writer that takes each write as one line, which is how the subscriber writes.
pub struct LineWriter(LogQueue);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A writer that reports each write, and completes it once the test allows that.
    struct GatedWriter {
        requested: Sender<Vec<u8>>,
        allowed: Receiver<io::Result<()>>,
    }

    impl Write for GatedWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.requested.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            self.allowed.recv().map_err(|_| ErrorKind::BrokenPipe)??;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogQueue, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
        let queue = LogQueue::default();
        let ((requested, requests), (allow, allowed)) = (channel(), channel());
        let writing = queue.clone();
        std::thread::spawn(move || writing.write_to(GatedWriter { requested, allowed }));
        (queue, requests, allow)
    }

    #[test]
    fn lines_are_written_in_their_order_and_a_flush_waits_for_them() {
        let (queue, requests, allow) = gated();
        for line in ["one\n", "two\n", "three\n"] {
            queue.push(line.as_bytes().to_vec());
            allow.send(Ok(())).unwrap();
        }
        queue.flush(Duration::from_secs(600));
        assert_eq!(
            requests.try_iter().collect::<Vec<_>>(),
            [b"one\n".to_vec(), b"two\n".to_vec(), b"three\n".to_vec()]
        );
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_never_time() {
        let (queue, requests, _allow) = gated();
        queue.push(b"first\n".to_vec());
        assert_eq!(requests.recv().unwrap(), b"first\n");
        let lost = LOST.load(Ordering::Relaxed);
        // Returns, though nothing is being taken.
        (0..LINES_MAX + 100).for_each(|_| queue.push(b"another\n".to_vec()));
        assert!(LOST.load(Ordering::Relaxed) >= lost + 100, "they are counted");
        assert_eq!(queue.0.waiting.lock().unreported, 100);
        queue.flush(Duration::from_millis(1));
    }

    #[test]
    fn a_few_large_lines_are_too_much_as_well() {
        let (queue, requests, _allow) = gated();
        queue.push(b"first\n".to_vec());
        requests.recv().unwrap();
        (0..10).for_each(|_| queue.push(vec![b'x'; 1 << 20]));
        assert_eq!(queue.0.waiting.lock().unreported, 6);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_the_next_is_tried() {
        let (queue, requests, allow) = gated();
        queue.push(b"lost\n".to_vec());
        queue.push(b"kept\n".to_vec());
        let lost = LOST.load(Ordering::Relaxed);
        allow.send(Err(ErrorKind::StorageFull.into())).unwrap();
        allow.send(Ok(())).unwrap();
        assert_eq!((requests.recv().unwrap(), requests.recv().unwrap()), (b"lost\n".to_vec(), b"kept\n".to_vec()));
        queue.flush(Duration::from_secs(600));
        while LOST.load(Ordering::Relaxed) == lost {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reader_that_refuses_for_now_gets_the_line_later() {
        let (queue, requests, allow) = gated();
        queue.push(b"line\n".to_vec());
        allow.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        allow.send(Ok(())).unwrap();
        queue.flush(Duration::from_secs(600));
        assert_eq!(requests.try_iter().count(), 2);
    }
}
