//! The groups of dead letters: those of one topic and one kind of reason, with their number and the newest of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::entry::DeadLetterEntry;
use super::selection::{LetterSelection, SelectionError, each_selected};
use crate::domain::{DeadLetter, Topic};
use crate::source::TopicNames;
use crate::store::Reader;

/// The groups of the letters that were chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterList {
    /// Number of letters that were chosen.
    pub count: u64,
    /// Number of dead letters in the store.
    pub total: u64,
    /// Number of dead letters of each stream of which only this count is left, by the topic's name.
    pub replaced: BTreeMap<String, u64>,
    /// The topics that have stopped because of their dead letters, each with the time since when.
    pub stopped: BTreeMap<String, String>,
    /// The groups, the largest first within a topic.
    pub groups: Vec<DeadLetterGroup>,
    /// The ids that name no letter.
    pub missing: Vec<String>,
}

/// The letters of one topic and one kind of reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterGroup {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The kind of their reasons.
    pub kind: String,
    /// Number of letters.
    pub count: u64,
    /// The letter whose record was written last.
    pub newest: DeadLetterEntry,
}

/// Groups the letters that are chosen.
///
/// # Errors
/// The choice is none, or the store cannot be read.
pub fn list(
    reader: &Reader,
    topics: &TopicNames,
    selection: &LetterSelection,
) -> Result<LetterList, SelectionError> {
    let mut groups: BTreeMap<(Topic, String), (u64, DeadLetter)> = BTreeMap::new();
    let missing = each_selected(reader, topics, selection, &mut |letter| {
        match groups.get_mut(&(letter.position.topic, letter.kind())) {
            Some((count, newest)) => {
                *count += 1;
                if letter.timestamp_millis >= newest.timestamp_millis {
                    *newest = letter;
                }
            }
            None => drop(groups.insert((letter.position.topic, letter.kind()), (1, letter))),
        }
        ControlFlow::Continue(())
    })?;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((topic, _), (count, _))| (*topic, std::cmp::Reverse(*count)));
    let replaced = reader.replaced_letters()?;
    let mut stopped = BTreeMap::new();
    for topic in Topic::ALL {
        if let Some(stop) = reader.letter_stop(topic)? {
            stopped.insert(topics.get(topic).to_owned(), stop.since);
        }
    }
    Ok(LetterList {
        count: groups.iter().map(|(_, (count, _))| count).sum(),
        total: reader.count_dead_letters()?,
        replaced: Topic::ALL
            .into_iter()
            .map(|topic| (topics.get(topic).to_owned(), replaced.counts[topic as usize]))
            .filter(|(_, count)| *count > 0)
            .collect(),
        stopped,
        groups: groups
            .into_iter()
            .map(|((topic, kind), (count, newest))| DeadLetterGroup {
                topic: topics.get(topic).to_owned(),
                kind,
                count,
                newest: DeadLetterEntry::of(&newest, topics),
            })
            .collect(),
        missing,
    })
}
