//! The requests about dead letters that other threads make of a projector. The projector takes them one after the other, a piece a
//! turn, so that reading goes on meanwhile.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use crate::domain::{DeadLetter, NamedPartition, PartitionOffset, Topic};
use crate::store::PublishedUpTo;

/// A request about dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterTask {
    /// The dead letters of these positions are decoded again; what is understood is folded and is a dead letter no more.
    Retry(VecDeque<PartitionOffset>),
    /// These dead letters, which are not the store's own, are decoded again; what is understood is folded, and is a dead letter of
    /// the store no more.
    Fold(VecDeque<DeadLetter>),
    /// The dead letters of these positions are removed.
    Discard(Vec<PartitionOffset>),
    /// The topics of these streams are read on, if they stopped because of their dead letters.
    Resume(Vec<Topic>),
}

/// The result of a request about dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterOutcome {
    /// Number of dead letters that were understood and folded.
    pub folded: u64,
    /// The dead letters that are still not understood, each with the reason.
    pub refused: Vec<(PartitionOffset, String)>,
    /// Number of positions without a dead letter.
    pub gone: u64,
    /// Number of dead letters that were discarded.
    pub discarded: u64,
    /// The partitions that are read on, each from this offset.
    pub resumed: Vec<(NamedPartition, i64)>,
}

impl LetterTask {
    /// Returns true if no letter is left that has to be decoded.
    pub(super) fn is_over(&self) -> bool {
        match self {
            LetterTask::Retry(positions) => positions.is_empty(),
            LetterTask::Fold(letters) => letters.is_empty(),
            LetterTask::Discard(_) | LetterTask::Resume(_) => true,
        }
    }
}

/// Letters that were folded, and are removed once what became of them is on the topic of views.
pub(super) struct FoldedLetters {
    pub published: PublishedUpTo,
    pub letters: Vec<PartitionOffset>,
    /// True if the outcome counts them when they are removed.
    pub are_counted: bool,
}

/// A request on its way, with what was done of it.
pub(super) struct LetterRequest {
    number: u64,
    pub task: LetterTask,
    pub outcome: LetterOutcome,
    /// The letters that were folded and are removed once what became of them is on the topic of views.
    pub folded: Option<FoldedLetters>,
    answer: Sender<LetterOutcome>,
}

/// The requests that wait.
#[derive(Default)]
pub(super) struct LetterRequests {
    waiting: Mutex<RequestQueue>,
}

/// The requests in the order in which they came.
#[derive(Default)]
struct RequestQueue {
    requests: VecDeque<LetterRequest>,
    last_number: u64,
}

impl LetterRequests {
    /// Adds a request. Returns its number, and where the answer comes.
    pub fn add(&self, task: LetterTask) -> (u64, Receiver<LetterOutcome>) {
        let (answer, answered) = channel();
        let mut waiting = self.waiting.lock();
        waiting.last_number += 1;
        let number = waiting.last_number;
        let outcome = LetterOutcome::default();
        waiting.requests.push_back(LetterRequest { number, task, outcome, folded: None, answer });
        (number, answered)
    }

    /// Returns true if no request waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().requests.is_empty()
    }

    /// Takes the first request. One that is not done is to be put back.
    pub fn take(&self) -> Option<LetterRequest> {
        self.waiting.lock().requests.pop_front()
    }

    /// Puts a request back that is not done.
    pub fn put_back(&self, request: LetterRequest) {
        self.waiting.lock().requests.push_front(request);
    }

    /// Removes a request that nobody waits for any more. Returns false if the projector has taken it.
    pub fn withdraw(&self, number: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let count = waiting.requests.len();
        waiting.requests.retain(|request| request.number != number);
        waiting.requests.len() < count
    }
}

impl LetterRequest {
    /// Answers the request.
    pub fn answer(self) {
        // Whoever asked may have gone.
        drop(self.answer.send(self.outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_be_withdrawn_until_it_is_taken_and_the_others_keep_their_order() {
        let requests = LetterRequests::default();
        let numbers = [1, 2, 3].map(|_| requests.add(LetterTask::Discard(Vec::new())).0);
        assert!(requests.withdraw(numbers[1]) && !requests.withdraw(numbers[1]));
        let taken = requests.take().unwrap();
        assert_eq!(taken.number, numbers[0]);
        assert!(!requests.withdraw(numbers[0]), "the projector has it");
        requests.put_back(taken);
        assert_eq!(
            [requests.take(), requests.take()].map(|taken| taken.unwrap().number),
            [numbers[0], numbers[2]]
        );
        assert!(requests.is_empty());
    }
}
