//! The way of dead letters from a projector to a topic of their own: the projector's end, which never waits, and the end of the thread
//! that writes them. The projector asks for one number, up to which all letters are acknowledged, before a checkpoint passes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::letter_headers::OutgoingLetter;

/// Once the letters that are not acknowledged have more bytes than this, nothing more is to be read.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// The projector's end. Clones send on the same way.
#[derive(Clone, Debug)]
pub struct LetterOutlet {
    topic: String,
    letters: Sender<(u64, OutgoingLetter)>,
    progress: Arc<OutletProgress>,
}

/// The end of the thread that writes the letters.
#[derive(Debug)]
pub struct LetterInbox {
    /// The letters with their numbers, counted from 1.
    pub letters: Receiver<(u64, OutgoingLetter)>,
    /// The acknowledgments, as the projector sees them.
    pub acknowledgments: Acknowledgments,
}

/// The letters that were acknowledged, in any order.
#[derive(Debug)]
pub struct Acknowledgments {
    progress: Arc<OutletProgress>,
    /// The numbers of those beyond the first that is not acknowledged.
    beyond: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct OutletProgress {
    sent: AtomicU64,
    waiting_bytes: AtomicU64,
    /// The number up to which all letters are acknowledged.
    acknowledged: Mutex<u64>,
    more_acknowledged: Condvar,
    trouble: Mutex<Option<String>>,
}

/// Returns both ends of a way to the topic of this name.
pub fn letter_outlet(topic: &str) -> (LetterOutlet, LetterInbox) {
    let (send, letters) = channel();
    let progress = Arc::new(OutletProgress::default());
    let acknowledgments = Acknowledgments { progress: progress.clone(), beyond: BTreeSet::new() };
    let outlet = LetterOutlet { topic: topic.to_owned(), letters: send, progress };
    (outlet, LetterInbox { letters, acknowledgments })
}

impl LetterOutlet {
    /// The name of the dead letter topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Sends a letter.
    pub fn send(&self, letter: OutgoingLetter) {
        let number = self.progress.sent.fetch_add(1, Ordering::Relaxed) + 1;
        self.progress.waiting_bytes.fetch_add(letter.size(), Ordering::Relaxed);
        // If the thread is gone, the letter is never acknowledged.
        let _ = self.letters.send((number, letter));
    }

    /// Number of letters that were sent.
    pub fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// The number up to which all letters are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        *self.progress.acknowledged.lock()
    }

    /// Returns true if so many letters wait that nothing more is to be read.
    pub fn is_full(&self) -> bool {
        self.progress.waiting_bytes.load(Ordering::Relaxed) > WAITING_BYTES_MAX
    }

    /// Waits until all letters are acknowledged, but not for longer than `at_most`, nor while the topic takes none.
    pub fn wait_until_acknowledged(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let mut acknowledged = self.progress.acknowledged.lock();
        while *acknowledged < self.sent() && self.trouble().is_none() {
            if self.progress.more_acknowledged.wait_until(&mut acknowledged, deadline).timed_out() {
                return;
            }
        }
    }

    /// The reason for which the topic takes no letters.
    pub fn trouble(&self) -> Option<String> {
        self.progress.trouble.lock().clone()
    }
}

impl Acknowledgments {
    /// Notes that a letter is acknowledged, which took so many bytes.
    pub fn note(&mut self, number: u64, bytes: u64) {
        self.progress.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.beyond.insert(number);
        let mut acknowledged = self.progress.acknowledged.lock();
        while self.beyond.remove(&(*acknowledged + 1)) {
            *acknowledged += 1;
        }
        self.progress.more_acknowledged.notify_all();
    }

    /// Sets the reason for which the topic takes no letters; `None` if it does.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.progress.trouble.lock() = trouble;
        self.progress.more_acknowledged.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{NamedPartition, OwnedRecord, Topic, TopicPartition};

    fn letter(bytes: usize) -> OutgoingLetter {
        let position = TopicPartition::new(Topic::Jobs, 0).at(1);
        let value = Some(vec![0; bytes]);
        let record = OwnedRecord { position, timestamp_millis: None, key: None, value, headers: Vec::new() };
        let partition = NamedPartition::new("jobs", 0);
        OutgoingLetter { partition, record, cut_from: None, reason: String::new() }
    }

    proptest! {
        #[test]
        fn the_number_is_the_first_letters_that_are_all_acknowledged(
            order in Just((1..=20_u64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let (outlet, LetterInbox { letters, mut acknowledgments }) = letter_outlet("letters");
            (0..20).for_each(|_| outlet.send(letter(1)));
            let sizes: Vec<u64> = letters.try_iter().map(|(_, letter)| letter.size()).collect();
            for (count, number) in (1..).zip(&order) {
                acknowledgments.note(*number, sizes[0]);
                let first = (1..=20).take_while(|number| order[..count].contains(number)).count() as u64;
                prop_assert_eq!(outlet.acknowledged(), first);
            }
            prop_assert_eq!((outlet.acknowledged(), outlet.sent()), (20, 20));
        }
    }

    #[test]
    fn it_is_full_until_enough_is_acknowledged() {
        let (outlet, LetterInbox { letters, mut acknowledgments }) = letter_outlet("letters");
        (0..9).for_each(|_| outlet.send(letter(8 << 20)));
        assert!(outlet.is_full());
        let (number, first) = letters.recv().unwrap();
        acknowledgments.note(number, first.size());
        assert!(outlet.is_full(), "8 of them are just too many");
        let (number, second) = letters.recv().unwrap();
        acknowledgments.note(number, second.size());
        assert!(!outlet.is_full());
    }

    #[test]
    fn nobody_waits_for_a_topic_that_takes_nothing() {
        let (outlet, inbox) = letter_outlet("letters");
        outlet.send(letter(1));
        inbox.acknowledgments.set_trouble(Some("no broker".to_owned()));
        outlet.wait_until_acknowledged(Duration::from_secs(3600));
        assert_eq!(outlet.acknowledged(), 0);
        assert_eq!(outlet.trouble().as_deref(), Some("no broker"));
    }
}
