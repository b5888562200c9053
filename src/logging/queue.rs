//! Lines on their way to stderr. Whoever logs never waits: a pipe that nobody reads, or a disk that is full, costs lines and
//! not the work that they tell of. Lines that are lost are counted, and said once they can be.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How much may wait to be written: more than any burst of a program that is well.
const LINES_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;
/// How long nothing is tried where whoever shares stderr has made it refuse instead of wait.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// Lines that were never written, since the process began.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The name of the metric of [`lost`].
const METRIC: &str = "optview_log_lines_lost_total";

/// Shows the number of lost lines from now on, also while it is none.
pub fn register_metric() {
    metrics::describe_counter!(METRIC, "Log lines that could not be written to stderr in time, or at all");
    metrics::counter!("optview_log_lines_lost_total").absolute(LOST.load(Ordering::Relaxed));
}

fn count_lost(lines: u64) {
    let lost = LOST.fetch_add(lines, Ordering::Relaxed) + lines;
    metrics::counter!("optview_log_lines_lost_total").absolute(lost);
}

/// Lines that wait. Clones are of the same queue.
#[derive(Clone, Default)]
pub struct LogQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<PendingLines>,
    /// Something waits, or all has been written.
    changed: Condvar,
}

#[derive(Default)]
struct PendingLines {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    /// What was taken last is being written.
    is_writing: bool,
    /// Lines that found no room since that was said last.
    unsaid: u64,
}

impl LogQueue {
    /// Begins to write to stderr, on a thread of its own that ends with the process.
    pub fn start() -> io::Result<LogQueue> {
        let queue = LogQueue::default();
        let writing = queue.clone();
        let write = move || match io::stderr().as_fd().try_clone_to_owned() {
            // Without the lock of the standard library's own, which others would wait for.
            Ok(stderr) => writing.write_to(File::from(stderr)),
            Err(_) => writing.write_to(io::stderr()),
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(queue)
    }

    /// Adds a line, its line break included, or loses it where too much waits.
    pub fn push(&self, line: Vec<u8>) {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() >= LINES_MAX || waiting.bytes + line.len() > BYTES_MAX {
            waiting.unsaid += 1;
            drop(waiting);
            return count_lost(1);
        }
        waiting.bytes += line.len();
        waiting.lines.push(line);
        self.0.changed.notify_all();
    }

    /// A way to add lines by writing them.
    pub fn line_writer(&self) -> LineWriter {
        LineWriter(self.clone())
    }

    /// Waits until all is written, or lost, at the most for `at_most`.
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
            let unsaid = self.written();
            if failed > 0 {
                // To say so would be lost as well.
                count_lost(failed as u64);
            } else if unsaid > 0 {
                tracing::warn!(lines = unsaid, "log lines were lost: whoever reads stderr did not keep up");
            }
        }
    }

    /// Waits for lines, and takes all that there are.
    fn take(&self) -> Vec<Vec<u8>> {
        let mut waiting = self.0.waiting.lock();
        while waiting.lines.is_empty() {
            self.0.changed.wait(&mut waiting);
        }
        waiting.bytes = 0;
        waiting.is_writing = true;
        std::mem::take(&mut waiting.lines)
    }

    /// What was taken has been written. Gives how many lines found no room since the last call.
    fn written(&self) -> u64 {
        let mut waiting = self.0.waiting.lock();
        waiting.is_writing = false;
        self.0.changed.notify_all();
        std::mem::take(&mut waiting.unsaid)
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

/// One write is one line: that is how the subscriber writes.
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

    /// Says what is to be written, and writes it once that is allowed.
    struct Gate {
        asked: Sender<Vec<u8>>,
        allowed: Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            self.allowed.recv().map_err(|_| ErrorKind::BrokenPipe)??;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogQueue, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
        let queue = LogQueue::default();
        let ((asked, asks), (allow, allowed)) = (channel(), channel());
        let writing = queue.clone();
        std::thread::spawn(move || writing.write_to(Gate { asked, allowed }));
        (queue, asks, allow)
    }

    #[test]
    fn lines_are_written_in_their_order_and_a_flush_waits_for_them() {
        let (queue, asks, allow) = gated();
        for line in ["one\n", "two\n", "three\n"] {
            queue.push(line.as_bytes().to_vec());
            allow.send(Ok(())).unwrap();
        }
        queue.flush(Duration::from_secs(600));
        assert_eq!(
            asks.try_iter().collect::<Vec<_>>(),
            [b"one\n".to_vec(), b"two\n".to_vec(), b"three\n".to_vec()]
        );
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_never_time() {
        let (queue, asks, _allow) = gated();
        queue.push(b"first\n".to_vec());
        assert_eq!(asks.recv().unwrap(), b"first\n");
        let lost = LOST.load(Ordering::Relaxed);
        // Returns, though nothing is being taken.
        (0..LINES_MAX + 100).for_each(|_| queue.push(b"another\n".to_vec()));
        assert!(LOST.load(Ordering::Relaxed) >= lost + 100, "they are counted");
        assert_eq!(queue.0.waiting.lock().unsaid, 100);
        queue.flush(Duration::from_millis(1));
    }

    #[test]
    fn a_few_large_lines_are_too_much_as_well() {
        let (queue, asks, _allow) = gated();
        queue.push(b"first\n".to_vec());
        asks.recv().unwrap();
        (0..10).for_each(|_| queue.push(vec![b'x'; 1 << 20]));
        assert_eq!(queue.0.waiting.lock().unsaid, 6);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_the_next_is_tried() {
        let (queue, asks, allow) = gated();
        queue.push(b"lost\n".to_vec());
        queue.push(b"kept\n".to_vec());
        let lost = LOST.load(Ordering::Relaxed);
        allow.send(Err(ErrorKind::StorageFull.into())).unwrap();
        allow.send(Ok(())).unwrap();
        assert_eq!((asks.recv().unwrap(), asks.recv().unwrap()), (b"lost\n".to_vec(), b"kept\n".to_vec()));
        queue.flush(Duration::from_secs(600));
        while LOST.load(Ordering::Relaxed) == lost {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reader_that_refuses_for_now_gets_the_line_later() {
        let (queue, asks, allow) = gated();
        queue.push(b"line\n".to_vec());
        allow.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        allow.send(Ok(())).unwrap();
        queue.flush(Duration::from_secs(600));
        assert_eq!(asks.try_iter().count(), 2);
    }
}
