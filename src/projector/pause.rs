//! The handle by which another thread pauses a projector at a position, resumes it and ends it. Two projectors that are paused at
//! the same positions have read the same, so that what they built can be compared, and one can take the other's place without
//! anybody noticing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::letter_requests::{LetterOutcome, LetterRequests, LetterTask};
use crate::domain::TopicPartition;

/// The longest time that a projector may take to come to a request about dead letters.
const LETTERS_PATIENCE: Duration = Duration::from_secs(60);
/// The interval at which whoever waits for an answer looks whether the projector has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The next offset to be read of each partition.
pub type Positions = BTreeMap<TopicPartition, i64>;

/// A handle that is shared by a projector's thread, which obeys it, and the threads that use it.
#[derive(Default)]
pub struct PauseHandle {
    state: Mutex<State>,
    changed: Condvar,
    /// The requests about dead letters.
    pub(super) letters: LetterRequests,
    /// True while the generation is not what readers see.
    is_quiet: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    stop: bool,
    asked: ReadTarget,
    /// The number of requests so far, so that an answer belongs to its request.
    number: u64,
    /// The answer to the latest request. The error is the reason for which the target can never be reached.
    answer: Option<Result<Positions, String>>,
}

/// The target up to which a projector may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadTarget {
    #[default]
    Unlimited,
    /// The position at which the projector is now.
    Here,
    /// These positions exactly.
    At(Positions),
    /// These positions, until the store has a checkpoint of them.
    CheckpointAt(Positions),
}

/// The reason for which a projector does not pause.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// The target can never be reached: the reason.
    #[error("it cannot read that far: {0}")]
    Unreachable(String),
    /// The target was not reached within this time.
    #[error("it took longer than {0:?} to read that far, or to sync it")]
    TooLong(Duration),
    /// The projector did not come to the request within this time.
    #[error(
        "nothing was done within {0:?}, since it is paused, stands still, or reads nothing because the disk is full: /status says which"
    )]
    Busy(Duration),
    /// The projector has ended, by itself or because it was stopped.
    #[error("the projector has ended")]
    Ended,
}

impl PauseHandle {
    /// Ends the projector, cleanly. It cannot be taken back.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Returns true once the projector was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    /// Sets whether the projector leaves records uncounted: the projector of the generation that readers see counts them.
    pub fn set_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Release);
    }

    pub(super) fn quiet(&self) -> Arc<AtomicBool> {
        self.is_quiet.clone()
    }

    /// True if there was ever a request other than to stop.
    pub fn was_used(&self) -> bool {
        self.state.lock().number > 0
    }

    /// Pauses the projector where it is. Returns its positions once readers see everything before them.
    pub fn pause_here(&self, at_most: Duration) -> Result<Positions, PauseError> {
        self.ask(ReadTarget::Here, at_most)
    }

    /// Has the projector read up to these positions, and pauses it there. It must not have passed them.
    pub fn pause_at(&self, positions: Positions, at_most: Duration) -> Result<Positions, PauseError> {
        self.ask(ReadTarget::At(positions), at_most)
    }

    /// Leaves the projector paused at these positions, and returns once a checkpoint of them is on the disk.
    pub fn checkpoint_at(&self, positions: Positions, at_most: Duration) -> Result<(), PauseError> {
        self.ask(ReadTarget::CheckpointAt(positions), at_most).map(drop)
    }

    /// Has the projector do something about dead letters. Returns what came of it, once readers see it.
    ///
    /// # Errors
    /// The projector has ended, or does not come to it because it is paused, the disk is full, or it stands still.
    pub fn about_letters(&self, task: LetterTask) -> Result<LetterOutcome, PauseError> {
        let (number, answered) = self.letters.add(task);
        let deadline = Instant::now() + LETTERS_PATIENCE;
        loop {
            match answered.recv_timeout(LOOK_EVERY) {
                Ok(outcome) => return Ok(outcome),
                Err(RecvTimeoutError::Timeout) if !self.is_stopped() => {
                    if Instant::now() >= deadline && self.letters.withdraw(number) {
                        return Err(PauseError::Busy(LETTERS_PATIENCE));
                    }
                }
                Err(_) => return Err(PauseError::Ended),
            }
        }
    }

    /// Has the projector read on.
    pub fn resume(&self) {
        self.state.lock().ask(ReadTarget::Unlimited);
        self.changed.notify_all();
    }

    fn ask(&self, asked: ReadTarget, at_most: Duration) -> Result<Positions, PauseError> {
        let deadline = Instant::now() + at_most;
        let mut state = self.state.lock();
        state.ask(asked);
        self.changed.notify_all();
        loop {
            match state.answer.take() {
                Some(answer) => return answer.map_err(PauseError::Unreachable),
                None if state.stop => return Err(PauseError::Ended),
                None if self.changed.wait_until(&mut state, deadline).timed_out() => {
                    return Err(PauseError::TooLong(at_most));
                }
                None => {}
            }
        }
    }

    /// Returns the target of the latest request, if that is not request `number`, and sets `number` to it.
    pub(super) fn new_target(&self, number: &mut u64) -> Option<ReadTarget> {
        let state = self.state.lock();
        let is_new = state.number != *number;
        *number = state.number;
        is_new.then(|| state.asked.clone())
    }

    /// Answers request `number`, if it is still the latest.
    pub(super) fn answer(&self, number: u64, answer: Result<Positions, String>) {
        let mut state = self.state.lock();
        if state.number == number {
            state.answer = Some(answer);
            self.changed.notify_all();
        }
    }

    /// Waits for a request after `number`, but not for longer than `at_most`.
    pub(super) fn wait(&self, number: u64, at_most: Duration) {
        let mut state = self.state.lock();
        if state.number == number && !state.stop {
            self.changed.wait_for(&mut state, at_most);
        }
    }
}

impl State {
    fn ask(&mut self, asked: ReadTarget) {
        self.asked = asked;
        self.number += 1;
        self.answer = None;
    }
}
