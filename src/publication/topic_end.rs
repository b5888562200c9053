//! The end of a topic of views, which shows how far the publishers before have come, and which of them was the last.

use std::collections::BTreeMap;

use super::records::{Mark, is_mark, position_of, publisher_of, version_of};
use crate::domain::ReadPosition;
use crate::source::views_topic::{FoundRecord, ScanStart, ViewsTopic, ViewsTopicError};

/// Numbers of offsets of each partition that are read, one after the other, until there is a mark among them. Marks come every few
/// seconds.
const TAILS: [i64; 3] = [2_000, 100_000, i64::MAX];

/// The end of a topic of views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicEnd {
    /// The greatest version that was given.
    pub version: u64,
    /// The position of the last view's record in each partition, as a text.
    positions: BTreeMap<i32, String>,
    /// The last mark of each partition, with the id of its publisher.
    marks: BTreeMap<i32, (String, Option<Mark>)>,
}

impl TopicEnd {
    /// Reads the end of the topic: each partition back to its last mark, or all of it if it has none. In a partition versions and
    /// positions only grow, so that nothing greater stands before.
    pub fn read(topic: &mut dyn ViewsTopic, partitions: i32) -> Result<TopicEnd, ViewsTopicError> {
        let mut end = TopicEnd::default();
        for tail in TAILS {
            end = TopicEnd::default();
            topic.begin_scan(ScanStart::Tail(tail))?;
            while !topic.scan(&mut |record| end.take(record))? {}
            if end.has_all_marks(partitions) {
                break;
            }
        }
        Ok(end)
    }

    fn take(&mut self, record: &FoundRecord<'_>) {
        self.version = self.version.max(version_of(record).unwrap_or(0));
        if is_mark(record) {
            let mark = record.value.and_then(|value| serde_json::from_slice(value).ok());
            let publisher = publisher_of(record).unwrap_or_default().to_owned();
            self.marks.insert(record.partition, (publisher, mark));
        } else if let Some(position) = position_of(record) {
            self.positions.insert(record.partition, position.to_owned());
        }
    }

    /// Returns the least position that no view on the topic is beyond.
    pub fn position(&self) -> ReadPosition {
        let positions = self.positions.values().filter_map(|text| ReadPosition::of_text(text));
        positions.fold(ReadPosition::default(), |joined, position| joined.joined(&position))
    }

    fn has_all_marks(&self, partitions: i32) -> bool {
        (0..partitions).all(|partition| self.marks.contains_key(&partition))
    }

    /// Returns true if nobody but this publisher has published since its last mark. The first thing that a publisher puts on the topic is a
    /// mark in each partition.
    pub fn is_of(&self, publisher: &str, partitions: i32) -> bool {
        self.has_all_marks(partitions) && self.marks.values().all(|(last, _)| last == publisher)
    }

    /// Returns the last mark that all partitions have come to.
    pub fn mark(&self) -> Option<&Mark> {
        self.marks.values().map(|(_, mark)| mark.as_ref()).min_by_key(|mark| mark.map(|mark| mark.version))?
    }
}
