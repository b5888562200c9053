//! The dead letters of a generation as readers get them, with the notes about them: how many were replaced by their count, and
//! which topics stopped because of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::keys::{
    LETTERS_COUNTED_FROM, REPLACED_LETTERS, dead_letter_key, dead_letter_position, letter_stop_key,
};
use super::{Reader, StoreError, pieces};
use crate::codec::stored_record;
use crate::domain::{DeadLetter, NamedPartition, PartitionOffset, Topic};

/// The dead letters that newer ones have replaced: only their numbers are left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedLetters {
    /// The number of each stream, in the order of `Topic::ALL`.
    pub counts: [u64; 3],
    /// The position of the last one, which a crash may have left in the store.
    pub last: Option<PartitionOffset>,
}

/// The stop of a topic of which too many records were not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterStop {
    /// Number of the latest records that were not understood.
    pub letters: u64,
    /// Number of the latest records.
    pub records: u64,
    /// The time of the stop, RFC 3339.
    pub since: String,
}

impl Reader {
    /// Returns the dead letter of a position, if the store has it.
    ///
    /// # Errors
    /// The store's, and a dead letter that does not decode.
    pub fn dead_letter(&self, position: PartitionOffset) -> Result<Option<DeadLetter>, StoreError> {
        let stored = pieces::get(&self.trees, &self.trees.dead_letters, &dead_letter_key(position))?;
        Ok(stored.map(|stored| stored_record::decode_dead_letter(&stored)).transpose()?)
    }

    /// Returns the next dead letters after a position, in the order of stream, partition and offset: `count` at the most, and no
    /// more once they have `bytes` bytes. There are no more only if none is returned.
    ///
    /// # Errors
    /// The errors of [`Reader::dead_letter`].
    pub fn dead_letters_after(
        &self,
        after: Option<PartitionOffset>,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (mut letters, mut size) = (Vec::new(), 0);
        let mut from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(dead_letter_key(after)));
        while letters.len() < count && size < bytes {
            let next = self.trees.dead_letters.range::<Vec<u8>, _>((from, Bound::Unbounded)).keys().next();
            let Some(key) = next.transpose()? else { break };
            // One that is removed meanwhile is left out.
            if let Some(stored) = pieces::get(&self.trees, &self.trees.dead_letters, &key)? {
                let letter = stored_record::decode_dead_letter(&stored)?;
                size += letter.size();
                letters.push(letter);
            }
            from = Bound::Excluded(key.to_vec());
        }
        Ok(letters)
    }

    /// Returns true if this generation has a dead letter at every position at which another one has. Once it is `until`, it returns
    /// false.
    ///
    /// # Errors
    /// The errors of either store.
    pub fn has_letters_of(&self, other: &Reader, until: Instant) -> Result<bool, StoreError> {
        for key in other.trees.dead_letters.iter().keys() {
            if !self.trees.dead_letters.contains_key(key?)? || Instant::now() >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the numbers of the dead letters that newer ones have replaced.
    ///
    /// # Errors
    /// The errors of [`Reader::dead_letter`].
    pub fn replaced_letters(&self) -> Result<ReplacedLetters, StoreError> {
        match self.trees.meta.get(REPLACED_LETTERS)? {
            Some(bytes) => Ok(stored_record::decode(&bytes, "number of replaced dead letters")?),
            None => Ok(ReplacedLetters::default()),
        }
    }

    /// Returns the stop of a stream's topic, if it has stopped because of its dead letters.
    ///
    /// # Errors
    /// The errors of [`Reader::dead_letter`].
    pub fn letter_stop(&self, topic: Topic) -> Result<Option<LetterStop>, StoreError> {
        let stored = self.trees.meta.get(letter_stop_key(topic))?;
        Ok(stored.map(|stored| stored_record::decode(&stored, "stop of a topic")).transpose()?)
    }

    /// Returns the offset of each partition from which its dead letters count towards the limit; the others count whole.
    ///
    /// # Errors
    /// The errors of [`Reader::dead_letter`].
    pub fn letters_counted_from(&self) -> Result<BTreeMap<NamedPartition, i64>, StoreError> {
        match self.trees.meta.get(LETTERS_COUNTED_FROM)? {
            Some(bytes) => Ok(stored_record::decode(&bytes, "offsets that dead letters count from")?),
            None => Ok(BTreeMap::new()),
        }
    }
}

/// Returns the position that a key of a dead letter stands for, or damage.
pub(super) fn position_of(key: &[u8]) -> Result<PartitionOffset, StoreError> {
    dead_letter_position(key).ok_or_else(|| {
        let reason = format!("{key:?} is no position");
        stored_record::CorruptValue { what: "dead letter's key", reason }.into()
    })
}
