//! The views that a publisher has still to put on its topic: the numbers of the optimizations that were written since it last read
//! them. It carries no views. Whoever publishes reads the newest state, so that a view that changes often is published seldom, and what
//! is kept is one bit an optimization at the most, whatever the broker does.
//!
//! It is also the gate of the checkpoints. A checkpoint that is about to be written takes a seal, and the seal holds once every view that
//! was noted before it has been acknowledged.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use roaring::RoaringBitmap;

/// The views of one generation that are to be published.
#[derive(Default)]
pub struct TouchedViews {
    state: Mutex<TouchedState>,
    /// Notified when there is something to publish, and when something was acknowledged.
    changed: Condvar,
    /// True while no checkpoint may be ahead of the topic.
    is_gate_closed: AtomicBool,
    /// True once nothing is acknowledged any more.
    has_ended: AtomicBool,
}

/// The views that were taken to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenViews {
    /// The numbers of their optimizations.
    pub numbers: Vec<u32>,
    /// True if nothing else had been noted that is not acknowledged.
    pub is_all: bool,
}

/// A point in the notes: all that was noted before it, and perhaps some that was noted after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seal(u64);

/// The notes in two sets. New ones go to `newer`; what is published comes from `older`, which is filled again from `newer` once all of it is
/// acknowledged, or where both are so few that they are taken together. So whatever is noted is acknowledged by the end of the round after the one that it was noted in.
#[derive(Default)]
struct TouchedState {
    newer: RoaringBitmap,
    older: RoaringBitmap,
    taken: Vec<u32>,
    /// Number of times that `older` was filled.
    rounds: u64,
    /// The time of the first note in `newer`, and of the first one in `older`.
    newer_since: Option<Instant>,
    older_since: Option<Instant>,
}

impl TouchedState {
    fn is_clear(&self) -> bool {
        self.newer.is_empty() && self.is_round_over()
    }

    fn is_round_over(&self) -> bool {
        self.older.is_empty() && self.taken.is_empty()
    }

    /// Begins the next round if this one is over.
    fn turn_over(&mut self) {
        if self.is_round_over() {
            self.rounds += 1;
            std::mem::swap(&mut self.older, &mut self.newer);
            self.older_since = self.newer_since.take();
        }
    }

    fn seal(&self) -> Seal {
        match (self.is_round_over(), self.newer.is_empty()) {
            (true, true) => Seal(self.rounds),
            // The next round has nothing of what was noted so far, and is counted once this one is over.
            (false, true) => Seal(self.rounds + 1),
            (_, false) => Seal(self.rounds + 2),
        }
    }
}

impl TouchedViews {
    /// Notes views that were written. Readers must see them already, so that whoever takes a number finds what it was noted for.
    pub fn note(&self, numbers: impl IntoIterator<Item = u32>) {
        let mut state = self.state.lock();
        let was_clear = state.newer.is_empty();
        state.newer.extend(numbers);
        if !state.newer.is_empty() && was_clear {
            state.newer_since = Some(Instant::now());
            self.changed.notify_all();
        }
    }

    /// Takes up to `most` views to publish. They count as unpublished until they are acknowledged or given back.
    pub fn take(&self, most: usize) -> TakenViews {
        let mut state = self.state.lock();
        debug_assert!(state.taken.is_empty(), "what was taken is acknowledged or given back first");
        state.turn_over();
        if state.newer.union_len(&state.older) <= most as u64 {
            // All of it is acknowledged by the end of this round.
            let newer = std::mem::take(&mut state.newer);
            state.older |= newer;
            state.newer_since = None;
        }
        let taken: Vec<u32> = state.older.iter().take(most).collect();
        if let Some(last) = taken.last() {
            state.older.remove_range(..=*last);
        }
        state.taken.clone_from(&taken);
        TakenViews { numbers: taken, is_all: state.older.is_empty() && state.newer.is_empty() }
    }

    /// Notes that what was taken is on the topic.
    pub fn acknowledge(&self) {
        let mut state = self.state.lock();
        state.taken.clear();
        state.turn_over();
        if state.is_clear() {
            // Nothing noted is left, so that every seal holds.
            state.rounds += 2;
        }
        self.changed.notify_all();
    }

    /// Notes that what was taken is not known to be on the topic: it is taken again.
    pub fn give_back(&self) {
        let mut state = self.state.lock();
        let taken = std::mem::take(&mut state.taken);
        state.older.extend(taken);
    }

    /// Returns a seal of all that was noted before the call.
    pub fn seal(&self) -> Seal {
        self.state.lock().seal()
    }

    /// Returns true if all that was noted before the seal has been acknowledged.
    pub fn holds(&self, seal: Seal) -> bool {
        self.state.lock().rounds >= seal.0
    }

    /// Has every checkpoint from now on wait for the topic. Returns a seal of all that those cover which passed before: it is taken
    /// once the gate is closed.
    pub fn close_gate(&self) -> Seal {
        self.is_gate_closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.seal()
    }

    /// Lets checkpoints pass, those that wait, too.
    pub fn open_gate(&self) {
        self.is_gate_closed.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Returns true while checkpoints wait for the topic.
    pub fn is_gate_closed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_gate_closed.load(Ordering::SeqCst)
    }

    /// Returns true if a checkpoint with this seal may be written.
    pub fn lets_pass(&self, seal: Seal) -> bool {
        !self.is_gate_closed() || self.holds(seal)
    }

    /// Waits until a checkpoint with this seal may be written, or until a time; not at all without one. Returns true if it may.
    pub fn wait_to_pass(&self, seal: Seal, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while self.is_gate_closed() && state.rounds < seal.0 {
            if self.has_ended.load(Ordering::Acquire) {
                return false;
            }
            if until.is_none_or(|until| self.changed.wait_until(&mut state, until).timed_out()) {
                return !self.is_gate_closed() || state.rounds >= seal.0;
            }
        }
        true
    }

    /// Waits until there is something to publish, for this time at the most.
    pub fn wait(&self, longest: Duration) {
        let mut state = self.state.lock();
        if state.newer.is_empty() && state.older.is_empty() {
            self.changed.wait_for(&mut state, longest);
        }
    }

    /// Forgets what was noted, because all views are looked at from now on.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        debug_assert!(state.taken.is_empty(), "nothing is being published");
        state.newer.clear();
        state.older.clear();
        (state.newer_since, state.older_since) = (None, None);
        state.rounds += 2;
        self.changed.notify_all();
    }

    /// Notes that nothing is acknowledged any more, so that nobody waits for it.
    pub fn end(&self) {
        let _state = self.state.lock();
        self.has_ended.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Returns the number of views that are to be published, and the time since which there have been some.
    pub fn unpublished(&self) -> (u64, Option<Instant>) {
        let state = self.state.lock();
        (state.newer.union_len(&state.older) + state.taken.len() as u64, state.older_since.or(state.newer_since))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Note(Vec<u32>),
        Take(usize),
        Acknowledge,
        GiveBack,
        Seal,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => proptest::collection::vec(0..40_u32, 0..6).prop_map(Step::Note),
            3 => (0..6_usize).prop_map(Step::Take),
            3 => Just(Step::Acknowledge),
            1 => Just(Step::GiveBack),
            2 => Just(Step::Seal),
        ]
    }

    proptest! {
        /// Beside the sets runs a model: what each seal still waits for, as noted and as taken.
        #[test]
        fn a_seal_holds_only_once_all_that_was_noted_before_is_acknowledged(steps in proptest::collection::vec(step(), 0..60)) {
            let touched = TouchedViews::default();
            touched.close_gate();
            let mut is_taken = false;
            // The first stands for a seal of this moment, of which each seal is a copy.
            let mut waits: Vec<(Option<Seal>, BTreeSet<u32>, BTreeSet<u32>)> = vec![Default::default()];
            for step in steps {
                match step {
                    Step::Note(numbers) => {
                        waits[0].1.extend(&numbers);
                        touched.note(numbers);
                    }
                    Step::Take(most) if !is_taken => {
                        let TakenViews { numbers, is_all } = touched.take(most);
                        prop_assert!(numbers.len() <= most);
                        for (_, noted, taken) in &mut waits {
                            taken.extend(numbers.iter().filter(|number| noted.remove(number)));
                        }
                        prop_assert!(!is_all || waits[0].1.is_empty(), "{:?}", waits[0].1);
                        is_taken = true;
                    }
                    Step::Take(_) => {}
                    Step::Acknowledge => {
                        touched.acknowledge();
                        waits.iter_mut().for_each(|(_, _, taken)| taken.clear());
                        is_taken = false;
                    }
                    Step::GiveBack => {
                        touched.give_back();
                        waits.iter_mut().for_each(|(_, noted, taken)| noted.append(taken));
                        is_taken = false;
                    }
                    Step::Seal => {
                        let (_, noted, taken) = waits[0].clone();
                        waits.push((Some(touched.seal()), noted, taken));
                    }
                }
                for (seal, noted, taken) in &waits {
                    let is_done = noted.is_empty() && taken.is_empty();
                    prop_assert!(seal.is_none_or(|seal| !touched.lets_pass(seal) || is_done), "{noted:?} {taken:?}");
                }
            }
            touched.acknowledge();
            // Once all is acknowledged, every seal holds.
            while !touched.take(7).numbers.is_empty() {
                touched.acknowledge();
            }
            touched.acknowledge();
            prop_assert_eq!(touched.unpublished(), (0, None));
            prop_assert!(waits.iter().all(|(seal, ..)| seal.is_none_or(|seal| touched.lets_pass(seal))));
            prop_assert!(touched.lets_pass(touched.seal()));
        }
    }

    #[test]
    fn a_seal_holds_although_more_is_noted_all_the_time() {
        let touched = TouchedViews::default();
        touched.note(0..1_000);
        let seal = touched.seal();
        let mut rounds = 0;
        while !touched.holds(seal) {
            touched.note(0..1_000);
            touched.take(100);
            touched.acknowledge();
            rounds += 1;
        }
        assert!((10..=20).contains(&rounds), "{rounds}");
    }

    #[test]
    fn what_is_taken_is_all_unless_more_was_noted_that_is_not_acknowledged() {
        let touched = TouchedViews::default();
        let take = |most| {
            let taken = touched.take(most);
            (taken.numbers, taken.is_all)
        };
        touched.note([1, 2, 3]);
        assert_eq!(take(2), (vec![1, 2], false));
        touched.note([4]);
        touched.acknowledge();
        assert_eq!(take(1), (vec![3], false), "the last one is of the next round");
        touched.note([5, 6]);
        touched.acknowledge();
        touched.note([7]);
        assert_eq!(take(4), (vec![4, 5, 6, 7], true), "both rounds are taken together if they are few");
        touched.note([8]);
        touched.give_back();
        assert_eq!(take(4), (vec![4, 5, 6, 7], false));
        touched.acknowledge();
        assert_eq!(take(4), (vec![8], true));
        touched.acknowledge();
        assert_eq!(take(2), (vec![], true));
    }

    #[test]
    fn the_age_is_of_what_waits_although_more_is_noted_all_the_time() {
        let touched = TouchedViews::default();
        assert_eq!(touched.unpublished(), (0, None));
        touched.note([1]);
        let first = touched.unpublished().1;
        touched.take(1);
        touched.note([2]);
        touched.note([3]);
        assert_eq!(touched.unpublished().1, first, "the first is not acknowledged");
        touched.give_back();
        touched.take(1);
        touched.acknowledge();
        let second = touched.unpublished().1;
        assert!(second.is_some() && second > first);
        touched.take(1);
        touched.note([4]);
        touched.acknowledge();
        assert_eq!(touched.unpublished(), (2, second), "it is one round");
        touched.clear();
        assert_eq!(touched.unpublished(), (0, None));
    }

    #[test]
    fn an_open_gate_lets_all_pass() {
        let touched = TouchedViews::default();
        touched.note([1]);
        let seal = touched.seal();
        assert!(touched.lets_pass(seal));
        touched.close_gate();
        assert!(!touched.lets_pass(seal) && !touched.wait_to_pass(seal, Some(Instant::now())));
        touched.take(1);
        touched.acknowledge();
        assert!(touched.wait_to_pass(seal, None));
    }
}
