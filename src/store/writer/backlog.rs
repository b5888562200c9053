//! The backlog: the bytes that are on their way to the disk. If they are too many, the projector waits, so that no more is read
//! than can be written. If the disk does not answer, nothing grows.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::domain::{Commit, DeadLetter, Job, Optimization};

/// Most bytes that may wait to be written.
const QUEUED_LIMIT: u64 = 32 << 20;
/// Most bytes that sled may hold without their being known to be on the disk. sled itself would take any number.
const UNSYNCED_LIMIT: u64 = 64 << 20;
/// Most bytes of a part of a commit, unless one record has more.
const PART_BYTES: u64 = 4 << 20;
/// Most optimizations of a part of a commit, so that writing it takes some milliseconds.
const PART_LIMIT: usize = 2_000;
/// Approximate number of bytes that a record takes in memory beside its texts.
const RECORD_BYTES: u64 = 2_500;

/// A part of a commit.
pub(super) struct CommitPart {
    pub commit: Commit,
    pub dead_letters: Vec<DeadLetter>,
    /// The number of the commit, if this is its last part.
    pub number: Option<u64>,
    /// Approximate number of bytes that the part takes in memory.
    pub bytes: u64,
}

impl CommitPart {
    fn new(commit: Commit, dead_letters: Vec<DeadLetter>, number: Option<u64>) -> CommitPart {
        let parked = commit.jobs.iter().filter_map(|(_, job)| job.as_deref());
        let bytes = commit.optimizations.iter().map(|optimization| bytes_of(optimization)).sum::<u64>()
            + parked.map(bytes_of_job).sum::<u64>()
            + dead_letters.iter().map(|dead_letter| dead_letter.size() as u64).sum::<u64>();
        CommitPart { commit, dead_letters, number, bytes }
    }
}

fn bytes_of(optimization: &Optimization) -> u64 {
    RECORD_BYTES + optimization.text_len() as u64
}

fn bytes_of_job(job: &Job) -> u64 {
    RECORD_BYTES + job.text_len() as u64
}

/// Returns the parts of commit `number` in the order in which they are to be written: the jobs that are parked first, then the
/// optimizations, last the jobs that are parked no longer.
pub(super) fn parts(
    commit: Commit,
    dead_letters: Vec<DeadLetter>,
    number: u64,
) -> impl Iterator<Item = CommitPart> {
    let Commit { optimizations, jobs } = commit;
    let (parked, removed) = jobs.into_iter().partition(|(_, job)| job.is_some());
    let first = CommitPart::new(Commit { optimizations: Vec::new(), jobs: parked }, dead_letters, None);
    let mut left = optimizations.into_iter().peekable();
    let middle = std::iter::from_fn(move || {
        left.peek()?;
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(optimization) = left.next_if(|next| has_room(&part, bytes, next)) {
            bytes += bytes_of(&optimization);
            part.push(optimization);
        }
        Some(CommitPart::new(Commit { optimizations: part, jobs: Vec::new() }, Vec::new(), None))
    });
    let last = CommitPart::new(Commit { optimizations: Vec::new(), jobs: removed }, Vec::new(), Some(number));
    std::iter::once(first).chain(middle).chain(std::iter::once(last))
}

fn has_room(part: &[Arc<Optimization>], bytes: u64, next: &Optimization) -> bool {
    part.is_empty() || (part.len() < PART_LIMIT && bytes + bytes_of(next) <= PART_BYTES)
}

/// The counts of the backlog, with a condition that is notified when they shrink.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: Mutex<ByteCounts>,
    changed: Condvar,
}

#[derive(Default)]
struct ByteCounts {
    /// Bytes handed over and not written yet.
    queued: u64,
    /// Bytes given to sled since the store was opened.
    written: u64,
    /// Bytes of `written` that are known to be on the disk.
    synced: u64,
    /// True while a sync that only makes room has been asked for and has not begun.
    sync_is_due: bool,
    /// True once one of the threads has ended: nobody may wait for it.
    is_over: bool,
}

impl Backlog {
    /// Waits until `bytes` more may wait to be written.
    pub(super) fn enter(&self, bytes: u64) {
        let mut held = self.bytes.lock();
        self.changed
            .wait_while(&mut held, |held| !held.is_over && held.queued > 0 && held.queued + bytes > QUEUED_LIMIT);
        held.queued += bytes;
    }

    /// Notes that `bytes` which had entered are written, and have become `written` bytes in sled.
    pub(super) fn leave(&self, bytes: u64, written: u64) {
        let mut held = self.bytes.lock();
        held.queued = held.queued.saturating_sub(bytes);
        held.written += written;
        self.changed.notify_all();
    }

    /// Returns true, once, if a sync should be asked for so that there is room again before it is needed.
    pub(super) fn needs_sync(&self) -> bool {
        let mut held = self.bytes.lock();
        let needs = held.written - held.synced > UNSYNCED_LIMIT / 2 && !held.sync_is_due;
        held.sync_is_due |= needs;
        needs
    }

    /// Waits until sled may be given more. Returns false if one of the threads has ended.
    pub(super) fn wait_for_disk(&self) -> bool {
        let mut held = self.bytes.lock();
        self.changed.wait_while(&mut held, |held| !held.is_over && held.written - held.synced > UNSYNCED_LIMIT);
        !held.is_over
    }

    /// Returns the number of bytes that a sync that begins now covers.
    pub(super) fn begin_sync(&self) -> u64 {
        let mut held = self.bytes.lock();
        held.sync_is_due = false;
        held.written
    }

    /// Notes the end of a sync that covers `written` bytes.
    pub(super) fn end_sync(&self, written: u64) {
        let mut held = self.bytes.lock();
        held.synced = held.synced.max(written);
        self.changed.notify_all();
    }

    /// Releases all that wait, now and later.
    pub(super) fn end(&self) {
        self.bytes.lock().is_over = true;
        self.changed.notify_all();
    }
}

/// A guard that ends the backlog when the thread that holds it ends, also by a panic.
pub(super) struct BacklogGuard(pub(super) Arc<Backlog>);

impl Drop for BacklogGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::spawn;

    use super::*;

    /// Runs `work` on a thread. The receiver gets a message when it has ended.
    fn waits(
        backlog: &Arc<Backlog>,
        work: impl FnOnce(&Backlog) + Send + 'static,
    ) -> std::sync::mpsc::Receiver<()> {
        let (done, ended) = channel();
        let backlog = backlog.clone();
        spawn(move || {
            work(&backlog);
            done.send(()).unwrap();
        });
        ended
    }

    /// Returns once a thread waits for room. Panics if `ended` shows that it has passed without waiting.
    fn until_it_waits(backlog: &Backlog, ended: &std::sync::mpsc::Receiver<()>) {
        // A thread that is woken looks again, and waits again.
        while backlog.changed.notify_all() == 0 {
            assert!(ended.try_recv().is_err(), "it did not wait");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_hands_over_waits_while_too_many_bytes_are_not_written() {
        let backlog = Arc::new(Backlog::default());
        backlog.enter(QUEUED_LIMIT - 1);
        backlog.enter(1);
        let third = waits(&backlog, |backlog| backlog.enter(1));
        until_it_waits(&backlog, &third);
        backlog.leave(QUEUED_LIMIT - 1, 0);
        third.recv().unwrap();
        assert_eq!(backlog.bytes.lock().queued, 2);
        backlog.leave(2, 0);
        // A part that is larger than the limit goes alone.
        backlog.enter(3 * QUEUED_LIMIT);
    }

    #[test]
    fn who_writes_waits_while_too_many_bytes_are_not_on_the_disk() {
        let backlog = Arc::new(Backlog::default());
        assert!(!backlog.needs_sync());
        backlog.leave(0, UNSYNCED_LIMIT);
        assert!(backlog.wait_for_disk());
        assert!(backlog.needs_sync() && !backlog.needs_sync(), "it is asked for once");
        let sync = backlog.begin_sync();
        backlog.leave(0, 1);
        assert!(backlog.needs_sync(), "what was written since is not covered by the sync that has begun");
        let writer = waits(&backlog, |backlog| assert!(backlog.wait_for_disk()));
        until_it_waits(&backlog, &writer);
        backlog.end_sync(sync);
        writer.recv().unwrap();
        assert_eq!(backlog.bytes.lock().synced, UNSYNCED_LIMIT);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_ended() {
        let backlog = Arc::new(Backlog::default());
        backlog.enter(QUEUED_LIMIT);
        backlog.leave(0, 2 * UNSYNCED_LIMIT);
        let waiting = [
            waits(&backlog, |backlog| backlog.enter(1)),
            waits(&backlog, |backlog| assert!(!backlog.wait_for_disk())),
        ];
        drop(BacklogGuard(backlog));
        waiting.into_iter().for_each(|waiting| waiting.recv().unwrap());
    }
}
