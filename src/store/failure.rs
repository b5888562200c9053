//! The first failure of the store, for every thread that must end because of it: after any failure of sled, memory may be ahead
//! of the disk, and the process must end.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{StoreError, catch_sled_panic};

/// The first failure, shared by the threads of a store.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<StoreError>>>);

impl Failure {
    /// Keeps an error, if it is the first.
    pub fn note(&self, error: StoreError) {
        self.0.lock().get_or_insert(error);
    }

    /// Does a thread's work on the store, and keeps the error that a panic of sled's stands for. Any other panic ends the thread.
    pub fn catch_panic(&self, doing: &str, work: impl FnOnce()) {
        let ended = catch_sled_panic("store", doing, || {
            work();
            Ok(())
        });
        if let Err(error) = ended {
            self.note(error);
        }
    }

    /// Returns the result, and keeps its error.
    pub fn note_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.note(error.clone()))
    }

    /// Returns the first failure, if there was one.
    pub fn check(&self) -> Result<(), StoreError> {
        self.0.lock().as_ref().map_or(Ok(()), |error| Err(error.clone()))
    }
}
