//! The dead letters as the writer keeps them: each is stored once, and beyond a bound the oldest are replaced by their count.
//!
//! Their order by age is a tree of its own, so that each letter costs the same however many there are. Every step leaves a store
//! that the next start can go on from: what is counted as replaced and still there is removed without being counted again, and a
//! letter that was removed does not come back where Kafka sends its record again.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::Sender;

use sled::{Db, Tree};

use super::{StoreError, Trees, WriterProgress, pieces, stored_record};
use crate::domain::{DeadLetter, PartitionOffset, TopicPartition};
use crate::store::dead_letters::position_of;
use crate::store::keys::{REMOVED_LETTERS, REPLACED_LETTERS, dead_letter_key, removed_letters_key};
use crate::store::{DeadLetterBound, Reader, ReplacedLetters};

/// The bytes of a record's timestamp, with which a key in the order by age begins.
const AGE_BYTES: usize = 8;

/// A command about the dead letters that are stored already.
pub(super) enum LetterCommand {
    /// The most dead letters that are kept.
    Bound(DeadLetterBound),
    /// The removal of dead letters, and where to send the number of those that were there.
    Remove(Vec<PartitionOffset>, Sender<u64>),
}

/// The dead letters of the generation that is written.
pub(super) struct LetterShelf {
    trees: Trees,
    /// The keys of the dead letters, each behind its record's timestamp. Another version's store has no such tree, so [`Trees`]
    /// has none.
    ages: Tree,
    bound: DeadLetterBound,
    replaced: ReplacedLetters,
    /// The offset of each partition below which a letter that is not there was removed.
    removed_below: BTreeMap<TopicPartition, i64>,
}

impl LetterShelf {
    /// Opens the dead letters of a store, and counts them.
    pub(super) fn open(db: &Db, reader: &Reader) -> Result<LetterShelf, StoreError> {
        let mut shelf = LetterShelf {
            trees: reader.trees.clone(),
            ages: db.open_tree("dead-letter-ages")?,
            bound: DeadLetterBound::default(),
            replaced: reader.replaced_letters()?,
            removed_below: BTreeMap::new(),
        };
        for removed in shelf.trees.meta.scan_prefix(REMOVED_LETTERS) {
            let (key, offset) = removed?;
            // The rest of the key is a position without its offset.
            let place = [&key[REMOVED_LETTERS.len()..], &offset[..]].concat();
            let position = position_of(&place)?;
            shelf.removed_below.insert(position.topic_partition(), position.offset);
        }
        if let Some(last) = shelf.replaced.last
            && let Some(age) = shelf.age_of(last)?
        {
            shelf.take_out(last, &age)?;
        }
        let (count, bytes) = shelf.complete_ages()?;
        reader.progress.letters.begin(count, bytes, shelf.replaced.counts);
        Ok(shelf)
    }

    /// Brings the order by age in line with the letters: a version without that order may have written some, and a crash may
    /// have left an age without its letter. Returns the number of letters and of their bytes.
    fn complete_ages(&self) -> Result<(u64, u64), StoreError> {
        let mut without_letter = HashSet::new();
        for age in self.ages.iter().keys() {
            without_letter.insert(age?);
        }
        let aged: HashSet<Vec<u8>> = without_letter.iter().map(|age| letter_key(age).to_vec()).collect();
        let (mut count, mut bytes) = (0, 0);
        let mut with_letter = HashSet::new();
        for letter in self.trees.dead_letters.iter() {
            let (key, stored) = letter?;
            count += 1;
            bytes += pieces::stored_len(&stored)?;
            if aged.contains(&*key) {
                with_letter.insert(key);
            } else if let Some(stored) = pieces::get(&self.trees, &self.trees.dead_letters, &key)? {
                self.ages.insert(age_key(&stored_record::decode_dead_letter(&stored)?), &[])?;
            }
        }
        without_letter.retain(|age| !with_letter.contains(letter_key(age)));
        for age in without_letter {
            self.ages.remove(age)?;
        }
        Ok((count, bytes))
    }

    pub(super) fn carry_out(
        &mut self,
        command: LetterCommand,
        progress: &WriterProgress,
    ) -> Result<(), StoreError> {
        match command {
            LetterCommand::Bound(bound) => {
                self.bound = bound;
                self.replace_oldest(progress)
            }
            LetterCommand::Remove(positions, answer) => {
                let removed = self.remove(&positions, progress)?;
                // Whoever asked may have gone.
                let _ = answer.send(removed);
                Ok(())
            }
        }
    }

    /// Stores a letter, unless one of its position was removed. Returns its number of bytes.
    pub(super) fn put(&mut self, letter: &DeadLetter, progress: &WriterProgress) -> Result<u64, StoreError> {
        let key = dead_letter_key(letter.position);
        let before = pieces::get_stored(&self.trees.dead_letters, &key)?;
        let removed_below = self.removed_below.get(&letter.position.topic_partition());
        if before.is_none() && removed_below.is_some_and(|below| letter.position.offset < *below) {
            return Ok(0);
        }
        let value = stored_record::encode_dead_letter(letter)?;
        self.ages.insert(age_key(letter), &[])?;
        pieces::put(&self.trees, &self.trees.dead_letters, &key, &value)?;
        let bytes = value.len() as u64;
        if let Some(before) = before {
            progress.letters.remove(pieces::stored_len(&before)?);
        }
        progress.letters.add(bytes);
        self.replace_oldest(progress)?;
        Ok(bytes)
    }

    /// Removes letters. Returns the number of those that were there.
    fn remove(&mut self, positions: &[PartitionOffset], progress: &WriterProgress) -> Result<u64, StoreError> {
        let mut removed = 0;
        for position in positions {
            if let Some(age) = self.age_of(*position)? {
                progress.letters.remove(self.take_out(*position, &age)?);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Replaces the oldest letters by their count, until the rest is within the bound.
    fn replace_oldest(&mut self, progress: &WriterProgress) -> Result<(), StoreError> {
        while progress.letters.exceed(self.bound) {
            let Some((age, _)) = self.ages.first()? else { return Ok(()) };
            let position = position_of(letter_key(&age))?;
            if !self.trees.dead_letters.contains_key(letter_key(&age))? {
                self.ages.remove(age)?;
                continue;
            }
            if self.replaced.last != Some(position) {
                self.replaced.counts[position.topic as usize] += 1;
                self.replaced.last = Some(position);
                let value = stored_record::encode(&self.replaced, "number of replaced dead letters")?;
                self.trees.meta.insert(REPLACED_LETTERS, value)?;
                progress.letters.count_replaced(position.topic);
            }
            progress.letters.remove(self.take_out(position, &age)?);
        }
        Ok(())
    }

    /// Returns a letter's key in the order by age; `None` if there is no such letter.
    fn age_of(&self, position: PartitionOffset) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = pieces::get(&self.trees, &self.trees.dead_letters, &dead_letter_key(position))?;
        let letter = stored.map(|stored| stored_record::decode_dead_letter(&stored)).transpose()?;
        Ok(letter.as_ref().map(age_key))
    }

    /// Takes a letter that is there out of the store. Returns its number of bytes.
    fn take_out(&mut self, position: PartitionOffset, age: &[u8]) -> Result<u64, StoreError> {
        let key = dead_letter_key(position);
        let stored = pieces::get_stored(&self.trees.dead_letters, &key)?;
        let below = self.removed_below.entry(position.topic_partition()).or_default();
        if *below <= position.offset {
            *below = position.offset + 1;
            self.trees.meta.insert(removed_letters_key(position.topic_partition()), &below.to_be_bytes())?;
        }
        pieces::remove(&self.trees, &self.trees.dead_letters, &key)?;
        self.ages.remove(age)?;
        stored.map_or(Ok(0), |stored| pieces::stored_len(&stored))
    }
}

/// Returns the key of a letter in the order by age.
fn age_key(letter: &DeadLetter) -> Vec<u8> {
    // In this form negative numbers come before the others. Records without a time count as the oldest.
    let age = letter.timestamp_millis.unwrap_or(i64::MIN).cast_unsigned() ^ (1 << 63);
    [&age.to_be_bytes()[..], &dead_letter_key(letter.position)].concat()
}

/// Returns the letter's key in a key of the order by age.
fn letter_key(age: &[u8]) -> &[u8] {
    age.get(AGE_BYTES..).unwrap_or_default()
}
