//! The log of the latest changes of views, which those who watch lists follow. It is one ring for all of them, with ids and without
//! views: a follower that is slow finds each view as it is when it comes to it, and one that is too slow learns that it has missed some.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use parking_lot::Mutex;
use slab::Slab;

use super::signal::Signal;

/// Number of changes that are kept.
const CAPACITY: usize = 16_384;

/// One change of a view, as readers see it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The id of the optimization.
    pub id: Arc<str>,
    /// The lists that the change concerns.
    pub scopes: ScopeChange,
}

/// The lists that a change of a view concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeChange {
    /// The list that the view was in before the change, if the change is one that lists show.
    pub before: Option<ListScope>,
    /// The list that the view is in after it.
    pub after: Option<ListScope>,
}

/// The list that a view is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListScope {
    /// The organization that may see the view.
    pub organization_id: Arc<str>,
    /// The project of the view.
    pub project_id: Arc<str>,
}

/// A place in the log, from which a follower can go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// The log that the place is in: each process has another.
    pub log: u64,
    /// The number of the next change.
    pub next: u64,
}

/// The changes since a follower's last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRead {
    /// The next changes in their order, each with the number that follows it. Empty if there are none.
    Changes(Vec<(u64, ViewChange)>),
    /// Changes have been missed: any view may be another. What follows is what changes after this call.
    Gap,
}

pub struct ChangeLog {
    /// A number by which a place in this log is recognized.
    id: u64,
    is_on: AtomicBool,
    state: Mutex<LogState>,
}

#[derive(Default)]
struct LogState {
    /// The latest changes, of which the last has the number `next - 1`.
    entries: VecDeque<ViewChange>,
    next: u64,
    followers: Slab<Arc<Signal>>,
    /// Number of changes that were noted since there was a follower.
    unfollowed: usize,
}

impl Default for ChangeLog {
    fn default() -> ChangeLog {
        ChangeLog { id: RandomState::new().hash_one(0_u8), is_on: AtomicBool::new(false), state: Mutex::default() }
    }
}

impl LogState {
    fn first(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    /// Forgets all changes. Whoever has not read them learns that it has missed some.
    fn clear(&mut self) {
        self.entries.clear();
        self.next += 1;
    }
}

impl ChangeLog {
    pub fn follow(log: &Arc<ChangeLog>, is_closed: &Arc<AtomicBool>, from: Option<LogPlace>) -> LogCursor {
        let signal = Arc::new(Signal::default());
        let mut state = log.state.lock();
        log.is_on.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let key = state.followers.insert(signal.clone());
        let next = match from {
            None => state.next,
            Some(LogPlace { log: id, next }) if id == log.id => next,
            // No change has this number, so that the first look finds the gap.
            Some(_) => u64::MAX,
        };
        drop(state);
        LogCursor { log: log.clone(), key, signal, is_closed: is_closed.clone(), next }
    }

    /// Returns true if changes are to be noted. A writer must ask after it has read what the change will replace.
    pub fn is_on(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_on.load(Ordering::SeqCst)
    }

    pub fn note(&self, changes: impl Iterator<Item = ViewChange>) {
        let mut state = self.state.lock();
        for change in changes {
            if state.entries.len() == CAPACITY {
                state.entries.pop_front();
            }
            state.entries.push_back(change);
            state.next += 1;
            state.unfollowed += 1;
        }
        if !state.followers.is_empty() {
            state.unfollowed = 0;
            state.followers.iter().for_each(|(_, signal)| signal.set());
        } else if state.unfollowed >= CAPACITY {
            // Nobody who left so long ago could go on without a gap.
            state.clear();
            state.entries.shrink_to_fit();
            state.unfollowed = 0;
            self.is_on.store(false, Ordering::SeqCst);
        }
    }

    /// Has every follower find a gap.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        state.clear();
        state.followers.iter().for_each(|(_, signal)| signal.set());
    }
}

/// A follower's place in the log. Dropping it ends the following.
pub struct LogCursor {
    log: Arc<ChangeLog>,
    key: usize,
    signal: Arc<Signal>,
    is_closed: Arc<AtomicBool>,
    next: u64,
}

impl LogCursor {
    /// Waits until there may be changes that were not read. Returns at once where the registry is closed.
    pub async fn changed(&mut self) {
        self.signal.wait(&self.is_closed).await;
    }

    /// Returns true if the log holds so much that was not read that it may soon lose some of it.
    pub fn is_far_behind(&self) -> bool {
        self.log.state.lock().next.saturating_sub(self.next) > CAPACITY as u64 / 2
    }

    /// Reads up to `most` of the next changes.
    pub fn read(&mut self, most: usize) -> LogRead {
        let state = self.log.state.lock();
        let first = state.first();
        if self.next < first || self.next > state.next {
            self.next = state.next;
            return LogRead::Gap;
        }
        let from = usize::try_from(self.next - first).unwrap_or(usize::MAX);
        let changes: Vec<_> = (self.next + 1..).zip(state.entries.range(from..).take(most).cloned()).collect();
        self.next += changes.len() as u64;
        LogRead::Changes(changes)
    }

    /// Returns the place of the change with this number in the log.
    pub fn place(&self, next: u64) -> LogPlace {
        LogPlace { log: self.log.id, next }
    }

    /// Returns the place of the next change that [`LogCursor::read`] returns.
    pub fn next_place(&self) -> LogPlace {
        self.place(self.next)
    }
}

impl Drop for LogCursor {
    fn drop(&mut self) {
        drop(self.log.state.lock().followers.try_remove(self.key));
    }
}
