//! The groups of dead letters: those of one topic and one kind of reason, with their number and the newest of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::entry::DeadLetterEntry;
use super::selection::{LetterSelection, SelectionError, each_selected};
use crate::domain::Topic;
use crate::source::TopicNames;
use crate::store::Reader;

/// The most kinds that are told apart, since reasons quote names that producers choose.
const KINDS_MAX: usize = 1_000;
/// The kind of the letters beyond them.
const OTHER_KINDS: &str = "of other kinds";

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
    /// The groups, the largest first within a topic. Beyond 1,000, the letters of further kinds are one group of each topic.
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

/// A group while its letters are counted.
struct LetterGroup {
    count: u64,
    newest_millis: Option<i64>,
    newest: DeadLetterEntry,
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
    let mut groups: BTreeMap<(Topic, String), LetterGroup> = BTreeMap::new();
    let missing = each_selected(reader, topics, selection, &mut |letter| {
        let (millis, entry) = (letter.timestamp_millis, DeadLetterEntry::of(&letter, topics));
        let mut key = (letter.position.topic, letter.kind());
        if groups.len() >= KINDS_MAX && !groups.contains_key(&key) {
            OTHER_KINDS.clone_into(&mut key.1);
        }
        match groups.get_mut(&key) {
            Some(group) => {
                group.count += 1;
                if millis >= group.newest_millis {
                    (group.newest_millis, group.newest) = (millis, entry);
                }
            }
            None => drop(groups.insert(key, LetterGroup { count: 1, newest_millis: millis, newest: entry })),
        }
        ControlFlow::Continue(())
    })?;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((topic, _), group)| (*topic, std::cmp::Reverse(group.count)));
    let replaced = reader.replaced_letters()?;
    let mut stopped = BTreeMap::new();
    for topic in Topic::ALL {
        if let Some(stop) = reader.letter_stop(topic)? {
            stopped.insert(topics.get(topic).to_owned(), stop.since);
        }
    }
    Ok(LetterList {
        count: groups.iter().map(|(_, group)| group.count).sum(),
        total: reader.count_dead_letters()?,
        replaced: Topic::ALL
            .into_iter()
            .map(|topic| (topics.get(topic).to_owned(), replaced.counts[topic as usize]))
            .filter(|(_, count)| *count > 0)
            .collect(),
        stopped,
        groups: groups
            .into_iter()
            .map(|((topic, kind), LetterGroup { count, newest, .. })| DeadLetterGroup {
                topic: topics.get(topic).to_owned(),
                kind,
                count,
                newest,
            })
            .collect(),
        missing,
    })
}
