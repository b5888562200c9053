//! The end of a topic of views, which shows how far the publishers before have come, and which of them was the last.

use std::collections::BTreeMap;

use super::fence::OwnMarks;
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

    /// Returns a position that no view on the topic is beyond. The views of a partition in which nothing but marks has come for long are
    /// known by those: they are not beyond what the last mark covers.
    pub fn position(&self) -> ReadPosition {
        let positions = self.positions.values().filter_map(|text| ReadPosition::of_text(text));
        let marks = self.marks.values().filter_map(|(_, mark)| mark.as_ref().map(Mark::position));
        positions.chain(marks).fold(ReadPosition::default(), |joined, position| joined.joined(&position))
    }

    fn has_all_marks(&self, partitions: i32) -> bool {
        (0..partitions).all(|partition| self.marks.contains_key(&partition))
    }

    /// Returns true if nobody but this publisher has published since its last mark. The first thing that a publisher puts on the topic is a
    /// mark in each partition.
    pub fn is_of(&self, publisher: &str, partitions: i32) -> bool {
        self.has_all_marks(partitions) && self.marks.values().all(|(last, _)| last == publisher)
    }

    /// Returns true if there are marks of a publisher that has come since.
    pub fn has_marks_of_others(&self, own: &OwnMarks) -> bool {
        self.marks.values().any(|(_, mark)| mark.as_ref().is_some_and(|mark| own.is_foreign(mark)))
    }

    /// Returns the last mark that all partitions have come to; `None` if some partition has none, or one that cannot be read.
    pub fn mark(&self, partitions: i32) -> Option<&Mark> {
        if !self.has_all_marks(partitions) {
            return None;
        }
        self.marks.values().map(|(_, mark)| mark.as_ref()).min_by_key(|mark| mark.map(|mark| mark.version))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::scripted_topic::{PARTITIONS, ScriptedTopic, mark, position, value};
    use crate::source::views_topic::ViewsRecord;

    fn view(partition: i32, version: u64, next_offset: i64) -> ViewsRecord {
        let headers = vec![
            ("optview-version", version.to_string().into()),
            ("optview-position", position(next_offset).text().to_owned().into()),
        ];
        ViewsRecord { partition, headers, ..value("key", Some("{}")) }
    }

    fn read(records: Vec<ViewsRecord>) -> (TopicEnd, Vec<ScanStart>) {
        let mut topic = ScriptedTopic { records, ..ScriptedTopic::default() };
        let end = TopicEnd::read(&mut topic, PARTITIONS).unwrap();
        (end, topic.starts)
    }

    #[test]
    fn the_end_has_the_greatest_version_the_last_positions_and_the_last_marks() {
        let (end, _) = read(vec![
            mark(0, "a", 3, 1),
            mark(1, "a", 3, 1),
            view(0, 4, 7),
            view(1, 9, 5),
            mark(1, "a", 9, 6),
            view(0, 8, 8),
        ]);
        assert_eq!((end.version, end.position()), (9, position(8)));
        assert_eq!(end.mark(PARTITIONS).map(|mark| (mark.version, mark.positions["jobs/0"])), Some((3, 1)));
        assert_eq!(read(Vec::new()).0, TopicEnd::default());
        let unreadable = ViewsRecord {
            headers: vec![("optview-version", "-1".into()), ("optview-position", "?".into())],
            ..value("key", Some("{}"))
        };
        let (end, _) = read(vec![unreadable]);
        assert_eq!((end.version, end.position()), (0, ReadPosition::default()), "anybody may have written it");
    }

    /// The tail that is read has marks alone, for hours perhaps.
    #[test]
    fn the_position_is_that_of_the_marks_where_no_view_has_come_for_long() {
        let marks = (2..2_010).map(|version| mark(1, "a", version, 6));
        let (end, starts) =
            read([view(1, 1, 6)].into_iter().chain(marks).chain([mark(0, "a", 2_010, 6)]).collect());
        assert_eq!((starts.len(), end.position()), (1, position(6)));
    }

    #[test]
    fn no_mark_covers_a_partition_that_has_none_or_one_that_cannot_be_read() {
        assert_eq!(read(vec![mark(0, "a", 3, 1)]).0.mark(PARTITIONS), None);
        let unreadable = ViewsRecord { value: Some(b"{".to_vec()), ..mark(1, "a", 3, 1) };
        assert_eq!(read(vec![mark(0, "a", 3, 1), unreadable]).0.mark(PARTITIONS), None);
        assert!(read(vec![mark(0, "a", 3, 1), mark(1, "a", 5, 2)]).0.mark(PARTITIONS).is_some());
    }

    #[test]
    fn a_publisher_was_the_last_if_the_last_mark_of_each_partition_is_its_own() {
        for (marks, is_last) in [
            (vec![mark(0, "a", 1, 1), mark(1, "a", 1, 1)], true),
            (vec![mark(0, "b", 1, 1), mark(1, "b", 1, 1), mark(0, "a", 2, 1), mark(1, "a", 2, 1)], true),
            (vec![mark(0, "a", 1, 1), mark(1, "a", 1, 1), mark(1, "b", 2, 1)], false),
            (vec![mark(0, "a", 1, 1), mark(1, "a", 1, 1), mark(0, "b", 2, 1)], false),
            (vec![mark(0, "a", 1, 1)], false),
            (Vec::new(), false),
        ] {
            assert_eq!(read(marks.clone()).0.is_of("a", PARTITIONS), is_last, "{marks:?}");
        }
        let nameless = ViewsRecord { headers: vec![("optview-record", "progress".into())], ..mark(1, "a", 2, 1) };
        assert!(!read(vec![mark(0, "a", 1, 1), nameless]).0.is_of("a", PARTITIONS));
    }

    #[test]
    fn the_topic_is_read_back_until_each_partition_has_a_mark() {
        let marks = [mark(0, "a", 1, 1), mark(1, "a", 1, 1)];
        let views = |count| (0..count).map(|number| view(0, number + 2, 1));
        let (end, starts) = read(marks.iter().cloned().chain(views(1_999)).collect());
        assert_eq!(starts, [ScanStart::Tail(2_000)]);
        assert!(end.is_of("a", PARTITIONS));
        let (end, starts) = read(marks.iter().cloned().chain(views(2_000)).collect());
        assert_eq!(starts, [ScanStart::Tail(2_000), ScanStart::Tail(100_000)]);
        assert!(end.is_of("a", PARTITIONS) && end.version == 2_001);
        let (end, starts) = read(views(1).collect());
        assert_eq!(starts.last(), Some(&ScanStart::Tail(i64::MAX)), "there is none");
        assert_eq!((starts.len(), end.version), (3, 2));
    }
}
