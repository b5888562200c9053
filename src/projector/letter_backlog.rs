//! The backlog of dead letters: those that the store has and their topic has not, because a generation has kept them that readers did
//! not see, or a process without the option `--dead-letter-topic`. They are written from the store, and until the topic has
//! acknowledged the last of them, nothing notes that it has all.

use super::letter_gate::LetterGate;
use crate::domain::PartitionOffset;
use crate::source::TopicNames;
use crate::store::{Checkpoint, LetterTopicNote, Reader, StoreError};

/// The most letters that one turn takes from the store.
const SLICE_LETTERS: usize = 500;
/// A slice ends once its letters have more bytes.
const SLICE_BYTES: usize = 8 << 20;

/// The letters that are still to be written.
pub struct LetterBacklog {
    note: LetterTopicNote,
    /// True if the store may note a topic that has every letter.
    may_be_noted: bool,
    /// Number of letters of which only the count was left when the others were to be written, so that they are not.
    only_counted: u64,
    stage: BacklogStage,
}

enum BacklogStage {
    /// Nothing is known yet.
    Unknown,
    /// The letters after a position are to be sent, so far as this checkpoint is beyond them: the records of the others are read again.
    Sending {
        after: Option<PartitionOffset>,
        before: Checkpoint,
        sent: u64,
    },
    /// All are sent, and on the topic once this number is acknowledged.
    Sent {
        number: u64,
        sent: u64,
    },
    Done,
}

impl LetterBacklog {
    /// Begins with what the store notes.
    pub fn new(note: LetterTopicNote) -> Result<LetterBacklog, StoreError> {
        let (may_be_noted, only_counted) = (note.topic()?.is_some(), note.only_counted()?);
        Ok(LetterBacklog { may_be_noted, only_counted, note, stage: BacklogStage::Unknown })
    }

    /// Looks again at what the store notes, since readers see this generation now, or no longer.
    pub fn restart(&mut self) {
        (self.may_be_noted, self.stage) = (true, BacklogStage::Unknown);
    }

    /// Returns true if nothing is left to be written.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, BacklogStage::Done)
    }

    /// Returns true if letters are to be sent in the next turn.
    pub fn is_sending(&self) -> bool {
        matches!(self.stage, BacklogStage::Sending { .. })
    }

    /// Number of letters of which only the count was left when the others were written to the topic.
    pub fn only_counted(&self) -> u64 {
        self.only_counted
    }

    /// Takes note of a letter that is kept, and not sent.
    pub fn note_unsent(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.may_be_noted) { self.note.remove() } else { Ok(()) }
    }

    /// Writes the next letters that their topic has not. `checkpoint` is the one on the disk.
    pub fn advance(
        &mut self,
        reader: &Reader,
        letters: &LetterGate,
        checkpoint: &Checkpoint,
        topics: &TopicNames,
    ) -> Result<(), StoreError> {
        let Some(topic) = letters.topic() else {
            self.stage = BacklogStage::Done;
            return Ok(());
        };
        if matches!(self.stage, BacklogStage::Unknown) {
            let noted = self.note.topic()?;
            self.may_be_noted = noted.is_some();
            (self.only_counted, self.stage) = match noted.as_deref() == Some(topic) {
                true => (self.note.only_counted()?, BacklogStage::Done),
                false => {
                    let replaced = reader.replaced_letters()?.counts.iter().sum();
                    (replaced, BacklogStage::Sending { after: None, before: checkpoint.clone(), sent: 0 })
                }
            };
        }
        if let BacklogStage::Sending { after, before, sent } = &mut self.stage
            && !letters.is_full()
        {
            let slice = reader.dead_letters_after(*after, SLICE_LETTERS, SLICE_BYTES)?;
            for letter in &slice {
                let held = before.get(&topics.partition(letter.position.topic_partition()));
                if held.is_some_and(|held| letter.position.offset < held.next_offset) {
                    letters.send_kept(letter);
                    *sent += 1;
                }
            }
            match slice.last() {
                Some(last) => *after = Some(last.position),
                None => self.stage = BacklogStage::Sent { number: letters.numbers().sent, sent: *sent },
            }
        }
        if let BacklogStage::Sent { number, sent } = self.stage
            && letters.numbers().acknowledged >= number
        {
            self.note.set(topic, self.only_counted)?;
            (self.may_be_noted, self.stage) = (true, BacklogStage::Done);
            if sent > 0 {
                tracing::info!(topic, letters = sent, "dead letters that were kept before are on their topic now");
            }
            if self.only_counted > 0 {
                let letters = self.only_counted;
                tracing::warn!(
                    topic,
                    letters,
                    "of these dead letters only the count is left, so that they are not written to their topic"
                );
            }
        }
        Ok(())
    }
}
