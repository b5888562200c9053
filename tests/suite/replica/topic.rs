//! A compacted topic of views in memory, for those who publish on it and those who read it: with offsets, compaction, and what operators
//! do to topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use optview::domain::{NamedPartition, TopicId};
use optview::source::Watermarks;
use optview::source::views_feed::{FeedError, FeedItem, FoundViewsTopic, ViewsFeed};
use optview::source::views_topic::{
    FoundRecord, ScanStart, ViewsRecord, ViewsTopic, ViewsTopicError, ViewsTopicIdentity,
};
use parking_lot::Mutex;

/// The most records of a partition that one read of a feed gives, unless a test says another number.
const READ_MAX: usize = 7;
/// Number of looks after a question until its answer is there.
const LOOKS: u32 = 3;

/// A topic that publishers and replicas share.
#[derive(Clone)]
pub struct MemoryTopic(Arc<Mutex<TopicState>>);

struct TopicState {
    id: u128,
    /// The records of each partition that are there, by their offsets.
    partitions: Vec<BTreeMap<i64, ViewsRecord>>,
    /// One past the last offset of each partition.
    ends: Vec<i64>,
    /// The first offset of each partition that was not removed by an operator.
    lows: Vec<i64>,
    epoch: u64,
    is_away: bool,
    is_missing: bool,
    is_mute: bool,
    is_deaf: bool,
    read_max: usize,
    retention: Duration,
    /// Number of records that feeds were given.
    given: usize,
}

impl MemoryTopic {
    pub fn new(partitions: usize) -> MemoryTopic {
        MemoryTopic(Arc::new(Mutex::new(TopicState {
            id: 1,
            partitions: vec![BTreeMap::new(); partitions],
            ends: vec![0; partitions],
            lows: vec![0; partitions],
            epoch: 0,
            is_away: false,
            is_missing: false,
            is_mute: false,
            is_deaf: false,
            read_max: READ_MAX,
            retention: Duration::from_secs(3600),
            given: 0,
        })))
    }

    /// Makes the brokers go away, or come back.
    pub fn set_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// Makes the topic one that does not exist, or that does again.
    pub fn set_missing(&self, is_missing: bool) {
        self.0.lock().is_missing = is_missing;
    }

    /// Has nothing come of the topic though there is more, or again.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.0.lock().is_deaf = is_deaf;
    }

    /// Has questions what the topic is stay unanswered, or be answered again.
    pub fn set_mute(&self, is_mute: bool) {
        self.0.lock().is_mute = is_mute;
    }

    /// Sets the most records of a partition that one read of a feed gives.
    pub fn set_read_max(&self, read_max: usize) {
        self.0.lock().read_max = read_max;
    }

    /// Returns true if a key's record is the last of its partition.
    pub fn ends_with(&self, key: &[u8]) -> bool {
        let state = self.0.lock();
        state.partitions.iter().filter_map(BTreeMap::last_key_value).any(|(_, record)| record.key == key)
    }

    /// Sets the time for which nulls are kept.
    pub fn set_retention(&self, retention: Duration) {
        self.0.lock().retention = retention;
    }

    /// Removes every record that a later one of its key replaces, but the last few of each partition; and nulls as well, if they are old.
    pub fn compact(&self, removes_nulls: bool) {
        let mut state = self.0.lock();
        for partition in &mut state.partitions {
            let last: BTreeMap<_, _> =
                partition.iter().map(|(offset, record)| (record.key.clone(), *offset)).collect();
            let kept: BTreeSet<i64> = last.into_values().chain(partition.keys().rev().take(2).copied()).collect();
            partition.retain(|offset, record| kept.contains(offset) && !(removes_nulls && record.value.is_none()));
        }
    }

    /// Removes the topic and creates it again, with as many partitions. Versions begin anew.
    pub fn recreate(&self) {
        let mut state = self.0.lock();
        state.id += 1;
        let count = state.partitions.len();
        state.partitions = vec![BTreeMap::new(); count];
        (state.ends, state.lows) = (vec![0; count], vec![0; count]);
    }

    /// Removes all records of each partition below its end, as an operator may.
    pub fn remove_records(&self) {
        let mut state = self.0.lock();
        state.lows = state.ends.clone();
        state.partitions.iter_mut().for_each(BTreeMap::clear);
    }

    /// Puts a record on the topic past all publishers.
    pub fn put(&self, record: ViewsRecord) {
        self.0.lock().append(record);
    }

    /// Number of records that feeds were given so far.
    pub fn given(&self) -> usize {
        self.0.lock().given
    }

    /// Returns the record that is the last of a key.
    pub fn last(&self, key: &[u8]) -> Option<ViewsRecord> {
        let state = self.0.lock();
        state.partitions.iter().flat_map(BTreeMap::values).rfind(|record| record.key == key).cloned()
    }

    /// Returns one who publishes on the topic.
    pub fn publisher(&self) -> TopicPublisher {
        TopicPublisher { topic: self.clone(), epoch: 0, scanned: Vec::new() }
    }

    /// Returns one who reads the topic.
    pub fn feed(&self) -> TopicFeed {
        TopicFeed { topic: self.clone(), next: BTreeMap::new(), answer: None, looks: 0, ended: BTreeSet::new() }
    }
}

impl TopicState {
    fn append(&mut self, record: ViewsRecord) {
        let partition = record.partition as usize;
        let offset = self.ends[partition];
        self.partitions[partition].insert(offset, record);
        // Behind each transaction lies its marker.
        self.ends[partition] += 2;
    }
}

pub struct TopicPublisher {
    topic: MemoryTopic,
    epoch: u64,
    scanned: Vec<(i64, ViewsRecord)>,
}

impl ViewsTopic for TopicPublisher {
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        let mut state = self.topic.0.lock();
        state.epoch += 1;
        self.epoch = state.epoch;
        let id = Some(TopicId { most_significant: 0, least_significant: state.id as u64 as i64 });
        Ok(ViewsTopicIdentity { id, partitions: state.partitions.len() as i32 })
    }

    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError> {
        let state = self.topic.0.lock();
        let tail = match start {
            ScanStart::Tail(count) => count,
            ScanStart::Beginning | ScanStart::Continuation => i64::MAX,
        };
        let scanned = state.partitions.iter().zip(&state.ends).flat_map(|(records, end)| {
            records.range(end.saturating_sub(tail)..).map(|(offset, record)| (*offset, record.clone()))
        });
        self.scanned = scanned.collect();
        Ok(())
    }

    fn scan(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError> {
        self.scanned.drain(..).for_each(|(offset, record)| take(&found(offset, &record)));
        Ok(true)
    }

    fn publish(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        let mut state = self.topic.0.lock();
        if state.epoch != self.epoch {
            return Err(ViewsTopicError::Fenced("another one".to_owned()));
        }
        records.iter().for_each(|record| state.append(record.clone()));
        Ok(())
    }

    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError> {
        Ok(BTreeMap::from([(NamedPartition::new("optimizations", 0), i64::MAX)]))
    }
}

fn found(offset: i64, record: &ViewsRecord) -> FoundRecord<'_> {
    FoundRecord {
        partition: record.partition,
        offset,
        key: &record.key,
        value: record.value.as_deref(),
        headers: record.headers.iter().map(|(name, value)| (*name, &value[..])).collect(),
    }
}

pub struct TopicFeed {
    topic: MemoryTopic,
    next: BTreeMap<i32, i64>,
    /// The answer to the last question, which is given late.
    answer: Option<Result<FoundViewsTopic, ViewsTopicError>>,
    /// Number of looks until the answer is there.
    looks: u32,
    /// The partitions of which the end was given since the last record.
    ended: BTreeSet<i32>,
}

impl MemoryTopic {
    fn describe(&self) -> Result<FoundViewsTopic, ViewsTopicError> {
        let state = self.0.lock();
        if state.is_away {
            return Err(ViewsTopicError::Unavailable("all brokers are down".to_owned()));
        }
        if state.is_missing {
            return Err(ViewsTopicError::Refused("there is no topic `views`: is its name right?".to_owned()));
        }
        let bounds = state.ends.iter().zip(&state.lows).enumerate();
        Ok(FoundViewsTopic {
            cluster_id: Some("a cluster".to_owned()),
            id: Some(TopicId { most_significant: 0, least_significant: state.id as u64 as i64 }),
            bounds: bounds
                .map(|(partition, (high, low))| (partition as i32, Watermarks { low: *low, high: *high }))
                .collect(),
            delete_retention: Some(state.retention),
        })
    }
}

impl ViewsFeed for TopicFeed {
    fn ask(&mut self) {
        (self.answer, self.looks) = (Some(self.topic.describe()), LOOKS);
    }

    fn find(&mut self) -> Option<Result<FoundViewsTopic, ViewsTopicError>> {
        // Records come between the question and its answer.
        self.looks = self.looks.saturating_sub(1);
        if self.looks > 0 || self.topic.0.lock().is_mute { None } else { self.answer.take() }
    }

    fn begin(&mut self, from: &BTreeMap<i32, i64>) -> Result<(), FeedError> {
        self.next.clone_from(from);
        self.ended.clear();
        Ok(())
    }

    fn read(&mut self, _: Duration, take: &mut dyn FnMut(&FeedItem<'_>)) -> Result<(), FeedError> {
        let mut state = self.topic.0.lock();
        if state.is_away || state.is_deaf {
            return Ok(());
        }
        let mut given = 0;
        for (partition, next) in &mut self.next {
            for (offset, record) in state.partitions[*partition as usize].range(*next..).take(state.read_max) {
                self.ended.remove(partition);
                take(&FeedItem::Record(found(*offset, record)));
                (*next, given) = (offset + 1, given + 1);
            }
            let is_over = state.partitions[*partition as usize].range(*next..).next().is_none();
            if is_over && self.ended.insert(*partition) {
                take(&FeedItem::End(*partition));
            }
        }
        state.given += given;
        Ok(())
    }
}
