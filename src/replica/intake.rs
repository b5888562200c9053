//! The intake of records: what they are, and whether their order is that of one topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::marks::PartitionMark;
use super::note::{ReplicaNote, UnreadableRecord};
use super::pending_marks::PendingMarks;
use crate::codec::replicated_view::ReplicatedView;
use crate::domain::ReadPosition;
use crate::publication::{PROGRESS_RECORD, RECORD_HEADER, is_mark, position_of, version_of};
use crate::source::views_topic::{FoundRecord, partition_of};
use crate::store::ReplicatedRecord;

/// A version that is lower than one before it in its partition, which shows that the topic is not the one any more that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionDrop {
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The version of the record.
    pub version: u64,
    /// The version that was read before.
    pub before: u64,
}

impl VersionDrop {
    /// Returns the reason for which nothing is read on if the topic has the drop also as it is read from its beginning.
    pub fn stall_text(self) -> String {
        format!(
            "{self}, also as it is read from its beginning: it is not the topic of one line of publishers. Remove it, have the views \
             published anew, and restart this instance"
        )
    }
}

impl fmt::Display for VersionDrop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VersionDrop { partition, offset, version, before } = self;
        write!(
            formatter,
            "the record of partition {partition} at {offset} has version {version}, and one before it {before}"
        )
    }
}

/// The records of one read, as the store and the note take them.
#[derive(Default)]
pub struct Intake {
    /// The views, in their order.
    pub views: Vec<ReplicatedRecord>,
    /// The marks that count by now, in their order.
    pub marks: Vec<(i32, PartitionMark)>,
    /// The marks that do not count yet.
    pub pending: PendingMarks,
    /// The texts of the positions that the views are not beyond.
    pub positions: Vec<String>,
    /// The first version that dropped, after which nothing is taken in.
    pub dropped: Option<VersionDrop>,
    /// Number of records, whatever they were.
    pub records: u64,
    /// Number of records that could not be read.
    pub unreadable: u64,
}

impl Intake {
    /// Makes an intake with the marks that were read before and do not count yet.
    pub fn new(pending: PendingMarks) -> Intake {
        Intake { pending, ..Intake::default() }
    }

    /// Takes note that a partition was read to its end.
    pub fn count_marks_at_end(&mut self, partition: i32) {
        self.marks.extend(self.pending.take_at_end(partition).map(|mark| (partition, mark)));
    }

    /// Takes note that everything was read which a partition had at a moment.
    pub fn count_marks_before(&mut self, partition: i32, moment: Instant) {
        self.marks.extend(self.pending.take_before(partition, moment).map(|mark| (partition, mark)));
    }

    /// Takes in the next record of a partition. What it says of the place comes into the note.
    pub fn take(&mut self, record: &FoundRecord<'_>, note: &mut ReplicaNote, now: Instant) {
        let version = version_of(record);
        if let Some(drop) = version.and_then(|version| drop_of(record, version, &note.versions)) {
            self.dropped = Some(drop);
            return;
        }
        self.records += 1;
        note.next.insert(record.partition, record.offset + 1);
        note.versions.extend(version.map(|version| (record.partition, version)));
        if is_mark(record) {
            return self.take_mark(record, note, now);
        }
        // A record that lies in another partition, from when the topic had fewer, is not what its publisher keeps up to date.
        if partition_of(record.key, note.partitions) != record.partition {
            return;
        }
        let key = String::from_utf8_lossy(record.key);
        match view_of(record, version) {
            Ok(view) => {
                note.set_unreadable(&key, None);
                if let Some(text) = position_of(record)
                    && self.positions.last().is_none_or(|last| last != text)
                {
                    self.positions.push(text.to_owned());
                }
                self.views.push(view);
            }
            Err(reason) => self.note_unreadable(record, &key, reason, note),
        }
    }

    fn take_mark(&mut self, record: &FoundRecord<'_>, note: &mut ReplicaNote, now: Instant) {
        // Other records that are no views may come one day.
        if record.header(RECORD_HEADER) != Some(PROGRESS_RECORD) {
            return;
        }
        let key = format!("mark of partition {}", record.partition);
        match PartitionMark::of(record) {
            Some(mark) => {
                note.set_unreadable(&key, None);
                self.pending.put(record.partition, mark, now);
            }
            None => {
                self.note_unreadable(record, &key, "it is no mark that this version understands".to_owned(), note);
            }
        }
    }

    fn note_unreadable(&mut self, record: &FoundRecord<'_>, key: &str, reason: String, note: &mut ReplicaNote) {
        let FoundRecord { partition, offset, .. } = *record;
        tracing::error!(
            partition,
            offset,
            id = key,
            "a record of the topic of views cannot be shown, so that the view of this id is as it was before: {reason}"
        );
        note.set_unreadable(key, Some(UnreadableRecord { partition, offset, reason }));
        self.unreadable += 1;
    }

    /// Returns the least position that includes `bound` and those of the views.
    pub fn bound(&self, bound: &ReadPosition) -> Option<ReadPosition> {
        let positions = self.positions.iter().filter_map(|text| ReadPosition::of_text(text));
        let joined = positions.fold(bound.clone(), |joined, position| joined.joined(&position));
        (joined != *bound).then_some(joined)
    }
}

fn drop_of(record: &FoundRecord<'_>, version: u64, versions: &BTreeMap<i32, u64>) -> Option<VersionDrop> {
    let before = versions.get(&record.partition).copied().filter(|before| version < *before)?;
    Some(VersionDrop { partition: record.partition, offset: record.offset, version, before })
}

fn view_of(record: &FoundRecord<'_>, version: Option<u64>) -> Result<ReplicatedRecord, String> {
    let version = version.ok_or("it has no optview-version, so that it is of no publisher of views")?;
    let id = std::str::from_utf8(record.key).map_err(|_| "its key is no UTF-8")?;
    let view = match record.value {
        Some(value) => {
            let view =
                ReplicatedView::decode(value, record.header("content-type")).map_err(|why| why.to_string())?;
            if view.view().id != id {
                return Err(format!("its view is that of `{}`", view.view().id));
            }
            Some(view)
        }
        None => None,
    };
    Ok(ReplicatedRecord { id: Arc::from(id), version, view })
}
