//! The reader of the generation that answers. Each request looks it up anew, so that another generation can take its place
//! between two requests.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwapOption, Guard};

use crate::status::{AnswerState, State, Status};
use crate::store::{Reader, ViewChanges};

/// A shared cell with the live generation's reader, which may be replaced by another's at any time. It is empty until the store
/// is open: the address answers from the first moment on, with 503 if it needs the store.
#[derive(Clone, Default)]
pub struct ReaderSource {
    live: Arc<ArcSwapOption<LiveGeneration>>,
    changes: ViewChanges,
}

/// The generation that readers see. Its status comes with it, so that no answer is marked with the state of another
/// generation.
struct LiveGeneration {
    reader: Reader,
    status: Status,
    /// The number of generations that readers have seen before this one, in this process.
    turn: u64,
}

impl ReaderSource {
    /// Returns the reader of the live generation; `None` until the store is open.
    pub fn get(&self) -> Option<CurrentReader> {
        let current = self.live.load();
        current.is_some().then_some(CurrentReader(current))
    }

    /// Returns the status of the generation that readers see, or `whole` while there is none. It is the status of the generation that
    /// [`ReaderSource::get`] gives, unless another takes its place in between: an answer that needs both takes it from the reader.
    pub fn status(&self, whole: &Status) -> Status {
        self.get().map_or_else(|| whole.clone(), |current| current.status().clone())
    }

    /// Answers requests that come from now on by this generation: its views and its status change at once.
    pub fn set(&self, reader: Reader, status: Status) {
        // Before readers see it, so that no change goes unnoticed.
        reader.wake(&self.changes);
        self.live.rcu(|before| {
            let turn = before.as_ref().map_or(1, |before| before.turn + 1);
            Some(Arc::new(LiveGeneration { reader: reader.clone(), status: status.clone(), turn }))
        });
        self.changes.note_switch();
    }

    /// Returns the registry of those who wait for changes of what readers see, whichever generation that is.
    pub fn changes(&self) -> &ViewChanges {
        &self.changes
    }
}

/// A reader that is held for one request. A generation that has been replaced stays open until the last such reader is dropped.
pub struct CurrentReader(Guard<Option<Arc<LiveGeneration>>>);

impl CurrentReader {
    /// Returns the state to mark this reader's answers with. `whole` is the instance's status: an answer is current only if both
    /// the generation and the instance are live. Call it before reading, so that no view is older than its mark.
    pub fn answer_state(&self, whole: &Status) -> AnswerState {
        // The clock is read once: each read by id pays for it.
        let now = Instant::now();
        let own = self.generation().status.answer_state_at(now);
        match own.state {
            State::Live => AnswerState { state: whole.state_at(now), ..own },
            _ => own,
        }
    }

    /// Returns the status of the generation that this reads.
    pub fn status(&self) -> &Status {
        &self.generation().status
    }

    /// Returns the number of this generation among those that readers have seen in this process, counted from 1. Within one no view
    /// goes back.
    pub fn turn(&self) -> u64 {
        self.generation().turn
    }

    fn generation(&self) -> &LiveGeneration {
        self.0.as_ref().expect("it was there when it was loaded")
    }
}

impl Deref for CurrentReader {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.generation().reader
    }
}
