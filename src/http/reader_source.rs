//! Which generation answers: looked up anew by each request, so that another can take its place between two.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::status::{AnswerState, State, Status};
use crate::store::Reader;

/// The reader of the live generation, which may be replaced by another's at any time. Empty until the store is open: the
/// address answers from the first moment on, with 503 where it needs the store.
#[derive(Clone, Default)]
pub struct ReaderSource(Arc<ArcSwapOption<Shown>>);

/// A generation that readers see. Its status comes with it, so that no answer is marked with the answer_state of another.
struct Shown {
    reader: Reader,
    status: Status,
}

impl ReaderSource {
    pub fn get(&self) -> Option<CurrentReader> {
        let current = self.0.load();
        current.is_some().then_some(CurrentReader(current))
    }

    /// Returns the status of the generation that readers see, or `whole` while there is none. It is the status of the generation that
    /// [`ReaderSource::get`] gives, unless another takes its place in between: an answer that needs both takes it from the reader.
    pub fn status(&self, whole: &Status) -> Status {
        self.get().map_or_else(|| whole.clone(), |current| current.status().clone())
    }

    /// Answers requests that come from now on by this generation: its views and its status change at once.
    pub fn set(&self, reader: Reader, status: Status) {
        self.0.store(Some(Arc::new(Shown { reader, status })));
    }
}

/// A reader that is kept for one request: a generation that is not live any more stays open until the last is gone.
pub struct CurrentReader(Guard<Option<Arc<Shown>>>);

impl CurrentReader {
    /// How far answers of this reader can be trusted, in an instance that stands as `whole` says: no answer is current that
    /// either says is not. Ask before reading: what is read later is no older than that.
    pub fn answer_state(&self, whole: &Status) -> AnswerState {
        let own = self.shown().status.answer_state();
        match own.state {
            State::Live => AnswerState { state: whole.state(), ..own },
            _ => own,
        }
    }

    /// Returns the status of the generation that this reads.
    pub fn status(&self) -> &Status {
        &self.shown().status
    }

    fn shown(&self) -> &Shown {
        self.0.as_ref().expect("it was there when it was loaded")
    }
}

impl Deref for CurrentReader {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.shown().reader
    }
}
