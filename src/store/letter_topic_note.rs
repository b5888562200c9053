//! The note of the topic that has every dead letter of a generation. It is there only as long as that is true, so that a generation
//! without it writes all of its letters there.

use sled::Tree;

use super::keys::{LETTER_TOPIC, LETTERS_ONLY_COUNTED};
use super::{Reader, StoreError};
use crate::codec::stored_record;

/// The note, in its generation. Clones are of the same note.
#[derive(Clone)]
pub struct LetterTopicNote {
    meta: Tree,
}

impl LetterTopicNote {
    pub(super) fn new(meta: &Tree) -> LetterTopicNote {
        LetterTopicNote { meta: meta.clone() }
    }

    /// Returns the name of the topic that has every dead letter of the generation; `None` if no topic is known to.
    ///
    /// # Errors
    /// The store's.
    pub fn topic(&self) -> Result<Option<String>, StoreError> {
        topic(&self.meta)
    }

    /// Returns the number of dead letters of which only the count was left when the others were written to the noted topic.
    ///
    /// # Errors
    /// The store's.
    pub fn only_counted(&self) -> Result<u64, StoreError> {
        only_counted(&self.meta)
    }

    /// Notes the topic that has every dead letter of the generation by now, but for those of which only this count was left.
    ///
    /// # Errors
    /// The store's.
    pub fn set(&self, topic: &str, only_counted: u64) -> Result<(), StoreError> {
        // The topic is what counts, and comes last.
        self.meta.insert(LETTERS_ONLY_COUNTED, stored_record::encode(&only_counted, ONLY_COUNTED)?)?;
        self.meta.insert(LETTER_TOPIC, stored_record::encode(&topic, "dead letter topic")?)?;
        Ok(())
    }

    /// Notes that no topic is known to have every dead letter of the generation.
    ///
    /// # Errors
    /// The store's.
    pub fn remove(&self) -> Result<(), StoreError> {
        self.meta.remove(LETTER_TOPIC)?;
        self.meta.remove(LETTERS_ONLY_COUNTED)?;
        Ok(())
    }
}

impl Reader {
    /// Returns the name of the topic that has every dead letter of the generation; `None` if no topic is known to.
    ///
    /// # Errors
    /// The store's.
    pub fn letter_topic(&self) -> Result<Option<String>, StoreError> {
        topic(&self.trees.meta)
    }

    /// Returns the number of dead letters of which only the count was left when the others were written to that topic.
    ///
    /// # Errors
    /// The store's.
    pub fn letters_only_counted(&self) -> Result<u64, StoreError> {
        only_counted(&self.trees.meta)
    }
}

/// The name of the count in errors.
const ONLY_COUNTED: &str = "number of dead letters that their topic was not given";

fn only_counted(meta: &Tree) -> Result<u64, StoreError> {
    let stored = meta.get(LETTERS_ONLY_COUNTED)?;
    Ok(stored.map(|stored| stored_record::decode(&stored, ONLY_COUNTED)).transpose()?.unwrap_or(0))
}

fn topic(meta: &Tree) -> Result<Option<String>, StoreError> {
    let stored = meta.get(LETTER_TOPIC)?;
    Ok(stored.map(|stored| stored_record::decode(&stored, "dead letter topic")).transpose()?)
}
