//! The signal that a connection is to end, for answers that would never end by themselves.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

/// The signal that one connection is to end: the process stops, or another connection needs the room. It is an extension of the
/// requests whose answers need it.
#[derive(Clone, Default)]
pub struct ConnectionEnd(Arc<Notify>);

impl ConnectionEnd {
    /// Has the answer that is under way end, or the next one that would never end by itself.
    pub fn request(&self) {
        self.0.notify_one();
    }

    /// Returns true if the connection is to end. The answer that learns of it must end then.
    pub fn is_requested(&self) -> bool {
        self.0.notified().now_or_never().is_some()
    }

    /// Waits until the connection is to end.
    pub async fn requested(&self) {
        self.0.notified().await;
    }
}
