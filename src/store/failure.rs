//! The first thing that failed, told to whoever asks: after any failure of sled, memory may be ahead of the disk, and the
//! process must end.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{StoreError, catch_sled_panic};

#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<StoreError>>>);

impl Failure {
    /// Keeps the first.
    pub fn note(&self, error: StoreError) {
        self.0.lock().get_or_insert(error);
    }

    /// Does a thread's work on the store, and keeps what a panic of sled's means. Any other panic ends the thread.
    pub fn catch_panic(&self, doing: &str, work: impl FnOnce()) {
        let done = catch_sled_panic("store", doing, || {
            work();
            Ok(())
        });
        if let Err(error) = done {
            self.note(error);
        }
    }

    /// Passes a result on, and keeps what it says went wrong.
    pub fn note_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.note(error.duplicate()))
    }

    pub fn check(&self) -> Result<(), StoreError> {
        self.0.lock().as_ref().map_or(Ok(()), |error| Err(error.duplicate()))
    }
}
