//! A topic for tests, which has the records that the test has written, and a store with views of the test's own.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::records::{Mark, RecordForm};
use crate::codec::published_view::ViewsFormat;
use crate::domain::{
    Commit, CreationFacts, Metadata, NamedPartition, Optimization, PartitionOffset, ReadPosition, Register, Stamp,
    Timestamp, Topic,
};
use crate::source::views_topic::{
    FoundRecord, ScanStart, ViewsRecord, ViewsTopic, ViewsTopicError, ViewsTopicIdentity, partition_of,
};
use crate::store::{OpenStore, Reader, open};

/// Number of partitions of the topic.
pub const PARTITIONS: i32 = 2;

/// A topic that is read record by record.
#[derive(Default)]
pub struct ScriptedTopic {
    pub records: Vec<ViewsRecord>,
    /// The records that come before each continuation of a scan.
    pub later: VecDeque<Vec<ViewsRecord>>,
    /// The errors of the next transactions; `None` for one that is committed. After them all are.
    pub outcomes: VecDeque<Option<ViewsTopicError>>,
    /// The record that another publisher writes once this one is fenced.
    pub comes_at_fence: Option<ViewsRecord>,
    /// The number of transactions after which the next one panics.
    pub panics_after: Option<usize>,
    /// The number of transactions after which the next one waits for a lock.
    pub is_away: Option<(usize, Arc<Mutex<()>>)>,
    /// The transactions that were committed, for a test that has given the topic away.
    pub log: Arc<Mutex<Vec<Vec<ViewsRecord>>>>,
    /// The offset at which the one partition of the views' topics ends.
    pub ends: i64,
    /// The starts of the scans so far.
    pub starts: Vec<ScanStart>,
    /// The rest of the scan.
    pub left: VecDeque<(i64, ViewsRecord)>,
    /// Number of records that the last scan has come to.
    pub scanned: usize,
}

impl ViewsTopic for ScriptedTopic {
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        Ok(ViewsTopicIdentity { id: None, partitions: PARTITIONS })
    }

    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError> {
        self.starts.push(start);
        if start == ScanStart::Continuation {
            self.records.extend(self.later.pop_front().unwrap_or_default());
        }
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut numbered = Vec::new();
        for record in &self.records {
            let end = ends.entry(record.partition).or_default();
            numbered.push((*end, record.clone()));
            *end += 1;
        }
        let from = match start {
            ScanStart::Continuation => self.scanned,
            _ => 0,
        };
        let rest = numbered.into_iter().skip(from).filter(|(offset, record)| match start {
            ScanStart::Tail(count) => *offset >= ends[&record.partition].saturating_sub(count),
            _ => true,
        });
        self.left = rest.collect();
        self.scanned = self.records.len();
        Ok(())
    }

    fn scan(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError> {
        if let Some((offset, record)) = self.left.pop_front() {
            take(&FoundRecord {
                partition: record.partition,
                offset,
                key: &record.key,
                value: record.value.as_deref(),
                headers: record.headers.iter().map(|(name, value)| (*name, &value[..])).collect(),
            });
        }
        Ok(self.left.is_empty())
    }

    fn publish(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        assert!(self.panics_after != Some(self.log.lock().len()), "the test says so");
        if let Some((_, lock)) = self.is_away.as_ref().filter(|(after, _)| *after == self.log.lock().len()) {
            drop(lock.lock());
        }
        if let Some(Some(error)) = self.outcomes.pop_front() {
            if matches!(error, ViewsTopicError::Fenced(_)) {
                self.records.extend(self.comes_at_fence.take());
            }
            return Err(error);
        }
        self.records.extend_from_slice(records);
        self.log.lock().push(records.to_vec());
        Ok(())
    }

    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError> {
        Ok(BTreeMap::from([(NamedPartition::new("jobs", 0), self.ends)]))
    }
}

/// Returns the position at which the next offset of the one partition of the views' topics is this.
pub fn position(next_offset: i64) -> ReadPosition {
    ReadPosition::new(BTreeMap::from([(NamedPartition::new("jobs", 0), next_offset)]))
}

/// Returns a mark in one partition.
pub fn mark(partition: i32, publisher: &str, version: u64, covered: i64) -> ViewsRecord {
    let mark = Mark::new(&position(covered), version, String::new());
    let records = mark.records(PARTITIONS, publisher).into_iter();
    records.max_by_key(|record| record.partition == partition).expect("there are partitions")
}

/// Returns the record of a value, in the partition of its key.
pub fn value(key: &str, value: Option<&str>) -> ViewsRecord {
    let partition = partition_of(key.as_bytes(), PARTITIONS);
    let value = value.map(|value| value.as_bytes().to_vec());
    ViewsRecord { partition, key: key.as_bytes().to_vec(), value, headers: Vec::new() }
}

/// A store whose views the test writes.
pub struct ScriptedStore {
    _directory: TempDir,
    opened: OpenStore,
    pub reader: Reader,
    commits: u64,
}

impl ScriptedStore {
    pub fn new() -> ScriptedStore {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(directory.path(), 1 << 20).unwrap();
        ScriptedStore { _directory: directory, reader: opened.writer.reader(), opened, commits: 0 }
    }

    /// Returns the directory of the generation.
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Writes the view of an optimization with a name, or without one that it is deleted.
    pub fn write(&mut self, id: &str, name: Option<&str>) {
        let metadata = Metadata { event_id: "event".into(), occurred_at: Timestamp::default(), sequence: 1 };
        let source = PartitionOffset { topic: Topic::Optimizations, partition: 0, offset: 0 };
        let stamp = Stamp::new(&metadata, 0, source);
        let mut optimization = Optimization::new(Arc::from(id));
        let facts = CreationFacts {
            organization_id: "o".into(),
            project_id: "p".into(),
            name: name.map(Box::from),
            ..CreationFacts::default()
        };
        optimization.created = Some(Register::new(facts, stamp.clone()));
        optimization.deleted = name.is_none().then(|| Register::new((), stamp));
        self.commits += 1;
        let commit = Commit { optimizations: vec![Arc::new(optimization)], jobs: Vec::new() };
        self.opened.writer.commit(commit, Vec::new(), self.commits).unwrap();
        while self.opened.writer.commits_written() < self.commits {
            self.opened.writer.check().unwrap();
            std::thread::yield_now();
        }
    }

    /// Has readers see a position, which no view is beyond, and nothing after it come any more.
    pub fn rest_at(&self, next_offset: i64) {
        self.opened.writer.note_position(Arc::new(position(next_offset))).unwrap();
        while **self.reader.visible_position() != position(next_offset) {
            self.opened.writer.check().unwrap();
            std::thread::yield_now();
        }
        self.reader.publish_as_it_is(position(next_offset));
    }

    /// Returns the record that the view of an optimization is published as.
    pub fn record(&self, id: &str) -> ViewsRecord {
        let form = RecordForm { partitions: PARTITIONS, format: ViewsFormat::Json, position: Default::default() };
        let number = self.reader.number_of(id).unwrap();
        let view = self.reader.numbered_view(number).unwrap().unwrap();
        form.view(id.as_bytes(), view.shown, 1).unwrap()
    }
}
