//! The signal by which a thread wakes a task, and sets of signals that are set together.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use slab::Slab;

/// A flag that one task waits for. Set twice, it wakes the task once.
#[derive(Default)]
pub struct Signal {
    is_set: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    pub fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Returns ready, and takes the flag back, if it was set since the last time.
    pub fn poll(&self, task: &mut Context<'_>) -> Poll<()> {
        if self.is_set.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.waker.register(task.waker());
        if self.is_set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the flag is set, or `is_closed`.
    pub async fn wait(&self, is_closed: &AtomicBool) {
        poll_fn(|task| {
            let polled = self.poll(task);
            if is_closed.load(Ordering::SeqCst) { Poll::Ready(()) } else { polled }
        })
        .await;
    }
}

/// A number of watchers, which a writer looks at before it takes any lock.
#[derive(Default)]
pub struct WatcherCount(AtomicUsize);

impl WatcherCount {
    /// Counts a watcher. It must be counted before it reads what it watches.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of watchers, for a writer that has written. One that is not counted yet will read what was written.
    pub fn after_writing(&self) -> usize {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst)
    }
}

/// Signals that are set together.
#[derive(Default)]
pub struct SignalSet {
    count: WatcherCount,
    signals: Mutex<Slab<Arc<Signal>>>,
}

impl SignalSet {
    pub fn watch(set: &Arc<SignalSet>, is_closed: &Arc<AtomicBool>) -> SignalSetWatch {
        let signal = Arc::new(Signal::default());
        set.count.enter();
        let key = set.signals.lock().insert(signal.clone());
        SignalSetWatch { set: set.clone(), key, signal, is_closed: is_closed.clone() }
    }

    pub fn set_all(&self) {
        if self.count.after_writing() > 0 {
            self.signals.lock().iter().for_each(|(_, signal)| signal.set());
        }
    }
}

/// A watch over the signals of a set, as over the position that readers see. Dropping it ends it.
pub struct SignalSetWatch {
    set: Arc<SignalSet>,
    key: usize,
    signal: Arc<Signal>,
    is_closed: Arc<AtomicBool>,
}

impl SignalSetWatch {
    /// Waits until the signals have been set since the last call, or since the watch began. Returns at once where the registry is
    /// closed.
    pub async fn changed(&mut self) {
        self.signal.wait(&self.is_closed).await;
    }
}

impl Drop for SignalSetWatch {
    fn drop(&mut self) {
        drop(self.set.signals.lock().try_remove(self.key));
        self.set.count.leave();
    }
}
