//! The registry of those who wait for changes of what readers see: of one view, by its id, whether there is such a view yet or not; of
//! the position that is visible; and of any view, through the change log (`view_changes/log.rs`).
//!
//! It carries no views. Who is woken reads the newest state itself, so that nothing grows while nobody reads, and the writer never
//! waits for a watcher. While nobody watches, a change costs a look at a number.
//!
//! The registry belongs to what readers read from (`live_views`), and not to a generation: it lives across switches.

mod id_watches;
mod log;
mod pace;
mod signal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use id_watches::IdWatch;
use id_watches::IdWatches;
use log::ChangeLog;
pub use log::{ListScope, LogCursor, LogPlace, LogRead, ScopeChange, ViewChange};
use pace::WatcherPace;
use signal::SignalSet;
pub use signal::SignalSetWatch;

/// A handle of the registry. Clones share one registry.
#[derive(Clone, Default)]
pub struct ViewChanges(Arc<Registry>);

#[derive(Default)]
struct Registry {
    ids: Arc<IdWatches>,
    log: Arc<ChangeLog>,
    positions: Arc<SignalSet>,
    pace: WatcherPace,
    is_closed: Arc<AtomicBool>,
}

impl ViewChanges {
    /// Watches one view. The watch must be there before the view is read: what changes after that wakes it.
    pub fn watch(&self, id: &str) -> IdWatch {
        IdWatches::watch(&self.0.ids, &self.0.is_closed, id)
    }

    /// Watches the position that readers see, and the generation that they read.
    pub fn watch_position(&self) -> SignalSetWatch {
        SignalSet::watch(&self.0.positions, &self.0.is_closed)
    }

    /// Follows all changes from now on, or from a place where a follower was before.
    pub fn follow(&self, from: Option<LogPlace>) -> LogCursor {
        ChangeLog::follow(&self.0.log, &self.0.is_closed, from)
    }

    /// Returns true if changes are to be noted with the lists that the views were in before.
    pub fn is_log_on(&self) -> bool {
        self.0.log.is_on()
    }

    /// Wakes those who watch the views with these ids, which readers see now. `scopes` has the lists that each change concerns; `None` if the log was
    /// off before they were written.
    pub fn note<'a>(&self, written: impl Iterator<Item = &'a Arc<str>> + Clone, scopes: Option<Vec<ScopeChange>>) {
        self.0.ids.note(written.clone().map(|id| &**id));
        match scopes {
            Some(scopes) => {
                let changes = written.zip(scopes);
                self.0.log.note(changes.map(|(id, scopes)| ViewChange { id: id.clone(), scopes }));
            }
            // Somebody has begun to follow meanwhile, and may have read a list without these.
            None if self.0.log.is_on() => self.0.log.reset(),
            None => {}
        }
    }

    /// Wakes those who wait for a position: readers see another one now.
    pub fn note_position(&self) {
        self.0.positions.set_all();
    }

    /// Takes note whether records wait for the fold, so that watchers rest between two events.
    pub fn note_backlog(&self, is_behind: bool) {
        self.0.pace.set_slowed(is_behind);
    }

    /// Takes a turn for a watcher whose last one was at `last`, if the fold is behind. Returns the time at which the turn comes, and a
    /// watch that resolves earlier if the backlog ends.
    pub fn take_turn(&self, now: Instant, last: Option<Instant>) -> Option<(Instant, SignalSetWatch)> {
        if !self.0.pace.is_slowed() {
            return None;
        }
        // It watches before it takes the turn, so that the end of the backlog is not missed.
        let watch = self.0.pace.watch_rests(&self.0.is_closed);
        self.0.pace.take_turn(now, last).map(|turn| (turn, watch))
    }

    /// Wakes everybody: readers read another generation now, in which any view may be another, and whose fold may not be behind.
    pub fn note_switch(&self) {
        self.0.pace.set_slowed(false);
        self.0.log.reset();
        self.0.ids.wake_all();
        self.0.positions.set_all();
    }

    /// Wakes everybody for the last time: nothing is waited for any more.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.note_switch();
    }

    /// Returns true once the registry is closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::SeqCst)
    }

    /// Number of watches of single views.
    pub fn id_watches(&self) -> usize {
        self.0.ids.len()
    }
}

#[cfg(test)]
mod tests;
