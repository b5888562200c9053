//! The note of the topic that has every dead letter of a generation. It is there only as long as that is true, so that a generation
//! without it writes all of its letters there.

use sled::Tree;

use super::keys::LETTER_TOPIC;
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

    /// Notes the topic that has every dead letter of the generation by now, or that none has.
    ///
    /// # Errors
    /// The store's.
    pub fn set(&self, topic: Option<&str>) -> Result<(), StoreError> {
        match topic {
            Some(topic) => self.meta.insert(LETTER_TOPIC, stored_record::encode(&topic, "dead letter topic")?)?,
            None => self.meta.remove(LETTER_TOPIC)?,
        };
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
}

fn topic(meta: &Tree) -> Result<Option<String>, StoreError> {
    let stored = meta.get(LETTER_TOPIC)?;
    Ok(stored.map(|stored| stored_record::decode(&stored, "dead letter topic")).transpose()?)
}
