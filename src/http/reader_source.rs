//! Which generation answers: looked up anew by each request, so that another can take its place between two.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::store::Reader;

/// The reader of the live generation, which may be replaced by another's at any time. Empty until the store is open: the
/// address answers from the first moment on, with 503 where it needs the store.
#[derive(Clone, Default)]
pub struct ReaderSource(Arc<ArcSwapOption<Reader>>);

impl ReaderSource {
    pub fn get(&self) -> Option<CurrentReader> {
        let current = self.0.load();
        current.is_some().then_some(CurrentReader(current))
    }

    /// Requests that come from now on are answered by this one.
    pub fn set(&self, reader: Reader) {
        self.0.store(Some(Arc::new(reader)));
    }
}

/// A reader that is kept for one request: a generation that is not live any more stays open until the last is gone.
pub struct CurrentReader(Guard<Option<Arc<Reader>>>);

impl Deref for CurrentReader {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.0.as_ref().expect("it was there when it was loaded")
    }
}
