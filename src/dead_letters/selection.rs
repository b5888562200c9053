//! The choice of dead letters: by their ids, or by what they have in common.

use std::ops::ControlFlow;

use itertools::Itertools as _;
use serde::{Deserialize, Serialize};

use super::entry::parse_id;
use crate::domain::{DeadLetter, PartitionOffset, Topic};
use crate::source::TopicNames;
use crate::store::{Reader, StoreError};

/// The most letters that are read at once, and about how many bytes of them.
const READ_LETTERS: usize = 256;
const READ_BYTES: usize = 8 << 20;

/// A choice of dead letters. What is not set chooses all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterSelection {
    /// The ids; empty for any.
    #[serde(default)]
    pub ids: Vec<String>,
    /// The name of the topic, or of its stream.
    #[serde(default)]
    pub topic: Option<String>,
    /// A text that the reason contains, or its kind.
    #[serde(default)]
    pub reason: Option<String>,
    /// The time before which the records were written, in milliseconds since 1970.
    #[serde(default)]
    pub before_millis: Option<i64>,
    /// The time from which on the records were written, in milliseconds since 1970.
    #[serde(default)]
    pub after_millis: Option<i64>,
}

/// The reason for which letters cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The text is no id of a dead letter.
    #[error(
        "`{0}` is no dead letter's id: give TOPIC/PARTITION@OFFSET, as `optview dead-letters list` shows them"
    )]
    NoId(String),
    /// The text is like an id, of a topic that the store does not have.
    #[error(
        "`{id}` is no dead letter's id: the store is built from no topic `{name}`, but from {topics}; give TOPIC/PARTITION@OFFSET, as \
         `optview dead-letters list` shows them"
    )]
    OtherTopicsId {
        /// The text that was given.
        id: String,
        /// The name of the topic in it.
        name: String,
        /// The names of the topics.
        topics: String,
    },
    /// The store has no such topic.
    #[error("the store is built from no topic `{name}`: its topics are {topics}")]
    NoTopic {
        /// The name that was given.
        name: String,
        /// The names of the topics.
        topics: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LetterSelection {
    /// Returns the stream that was chosen, if one was.
    pub fn stream(&self, topics: &TopicNames) -> Result<Option<Topic>, SelectionError> {
        let Some(name) = &self.topic else { return Ok(None) };
        let stream = Topic::ALL.into_iter().find(|topic| topic.default_name() == name);
        match topics.topic_of(name).or(stream) {
            Some(topic) => Ok(Some(topic)),
            None => Err(SelectionError::NoTopic { name: name.clone(), topics: listed(topics) }),
        }
    }

    /// Returns the positions of the ids, each once.
    fn positions(&self, topics: &TopicNames) -> Result<Vec<PartitionOffset>, SelectionError> {
        self.ids.iter().map(|id| position_of(id, topics)).unique_by(|found| found.as_ref().ok().copied()).collect()
    }

    /// Returns true if a letter has all that was chosen. `stream` is [`LetterSelection::stream`].
    pub fn has(&self, letter: &DeadLetter, stream: Option<Topic>) -> bool {
        let time = letter.timestamp_millis.unwrap_or_default();
        stream.is_none_or(|stream| letter.position.topic == stream)
            && self.reason.as_ref().is_none_or(|text| letter.has_reason(text))
            && self.before_millis.is_none_or(|before| time < before)
            && self.after_millis.is_none_or(|after| time >= after)
    }
}

/// Returns the position that a letter's id is of.
///
/// # Errors
/// The text is no id, or names a topic that the store is not built from.
pub fn position_of(id: &str, topics: &TopicNames) -> Result<PartitionOffset, SelectionError> {
    if let Some(position) = parse_id(id, topics) {
        return Ok(position);
    }
    let topic = id.rsplit_once('@').and_then(|(partition, _)| partition.rsplit_once('/')).map(|(topic, _)| topic);
    match topic.filter(|topic| topics.topic_of(topic).is_none()) {
        Some(name) => {
            Err(SelectionError::OtherTopicsId { id: id.to_owned(), name: name.to_owned(), topics: listed(topics) })
        }
        None => Err(SelectionError::NoId(id.to_owned())),
    }
}

/// Returns the names of the topics in one line.
fn listed(topics: &TopicNames) -> String {
    Topic::ALL.map(|topic| topics.get(topic)).join(", ")
}

/// Passes each letter that is chosen to `take`, until that breaks. Returns the ids that name no letter.
pub fn each_selected(
    reader: &Reader,
    topics: &TopicNames,
    selection: &LetterSelection,
    take: &mut dyn FnMut(DeadLetter) -> ControlFlow<()>,
) -> Result<Vec<String>, SelectionError> {
    let stream = selection.stream(topics)?;
    if !selection.ids.is_empty() {
        let mut missing = Vec::new();
        for position in selection.positions(topics)? {
            match reader.dead_letter(position)? {
                Some(letter) if selection.has(&letter, stream) => {
                    if take(letter).is_break() {
                        break;
                    }
                }
                Some(_) => {}
                None => missing.push(topics.offset(position)),
            }
        }
        return Ok(missing);
    }
    let mut after = None;
    loop {
        let letters = reader.dead_letters_after(after, READ_LETTERS, READ_BYTES)?;
        let Some(last) = letters.last() else { return Ok(Vec::new()) };
        after = Some(last.position);
        for letter in letters {
            if selection.has(&letter, stream) && take(letter).is_break() {
                return Ok(Vec::new());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_chosen_from_a_time_on_and_before_another_and_one_without_a_time_is_the_oldest() {
        let letter = |timestamp_millis| DeadLetter {
            position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 1 },
            timestamp_millis,
            key: None,
            headers: Vec::new(),
            value: None,
            value_len: 0,
            reason: "event: none of pending is set".to_owned(),
        };
        let (before, after) = (
            LetterSelection { before_millis: Some(5), ..Default::default() },
            LetterSelection { after_millis: Some(5), ..Default::default() },
        );
        for (millis, is_before) in [(Some(4), true), (Some(5), false), (Some(6), false), (None, true)] {
            assert_eq!(
                (before.has(&letter(millis), None), after.has(&letter(millis), None)),
                (is_before, !is_before)
            );
        }
        let reason = LetterSelection { reason: Some("none of pending".to_owned()), ..Default::default() };
        assert!(
            reason.has(&letter(None), Some(Topic::Jobs)) && !reason.has(&letter(None), Some(Topic::Optimizations))
        );
        // As a list names it.
        let reason = LetterSelection { reason: Some("at line N".to_owned()), ..Default::default() };
        let cut = DeadLetter { reason: "not JSON: EOF at line 17".to_owned(), ..letter(None) };
        assert!(reason.has(&cut, None) && !reason.has(&letter(None), None));
        let other = LetterSelection { reason: Some("none of created".to_owned()), ..Default::default() };
        assert!(!other.has(&letter(None), None));
    }
}
