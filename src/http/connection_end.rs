//! The end of a connection, which answers that would never end by themselves learn of, and which is not for silence while they last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::Notify;

/// The signal that one connection is to end: the process stops, or another connection needs the room. It is an extension of the
/// requests whose answers need it.
#[derive(Clone, Default)]
pub struct ConnectionEnd(Arc<ConnectionState>);

#[derive(Default)]
struct ConnectionState {
    requested: Notify,
    /// Number of answers under way that have no end of their own.
    endless: AtomicUsize,
}

/// An answer that ends only when its connection is to end. It is one as long as this lives.
pub struct EndlessAnswer(ConnectionEnd);

impl EndlessAnswer {
    /// Waits until the connection is to end.
    pub async fn end_requested(&self) {
        self.0.0.requested.notified().await;
    }

    /// Returns true if the connection is to end. The answer that learns of it must end then.
    pub fn is_end_requested(&self) -> bool {
        self.0.0.requested.notified().now_or_never().is_some()
    }
}

impl Drop for EndlessAnswer {
    fn drop(&mut self) {
        self.0.0.endless.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionEnd {
    /// Has the answer that is under way end, or the next one that would never end by itself.
    pub fn request(&self) {
        self.0.requested.notify_one();
    }

    /// Begins an answer that has no end of its own.
    pub fn begin_endless_answer(&self) -> EndlessAnswer {
        self.0.endless.fetch_add(1, Ordering::Relaxed);
        EndlessAnswer(self.clone())
    }

    /// Returns true while an answer is under way that has no end of its own.
    pub fn has_endless_answer(&self) -> bool {
        self.0.endless.load(Ordering::Relaxed) > 0
    }
}
