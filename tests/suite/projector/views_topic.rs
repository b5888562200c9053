//! A topic of views in memory, with what a cluster does to those who publish on it: another one takes it over, a transaction fails, or
//! is committed without an answer; and the process is killed before or after a commit.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use optview::domain::NamedPartition;
use optview::publication::{Mark, RECORD_HEADER};
use optview::source::views_topic::{
    FoundRecord, ScanStart, ViewsRecord, ViewsTopic, ViewsTopicError, ViewsTopicIdentity,
};
use parking_lot::Mutex;

use super::script::{KillPanic, Partition};
use crate::fixtures::Random;

/// A topic that several publishers know.
#[derive(Clone)]
pub struct FakeTopic(Arc<Mutex<TopicState>>);

struct TopicState {
    partitions: i32,
    /// The committed records in the order of their commits.
    records: Vec<ViewsRecord>,
    /// The number of times that the topic was taken over.
    epoch: u64,
    kill_in: Option<(usize, bool)>,
    fence_in: Option<usize>,
    random: Random,
}

/// A record as the tests look at it.
pub enum MarkOrView {
    Mark,
    View { key: Vec<u8>, value: Option<Vec<u8>>, version: u64 },
}

impl FakeTopic {
    pub fn new(partitions: i32) -> FakeTopic {
        let random = Random(partitions as u64);
        FakeTopic(Arc::new(Mutex::new(TopicState {
            partitions,
            records: Vec::new(),
            epoch: 0,
            kill_in: None,
            fence_in: None,
            random,
        })))
    }

    /// Has the process killed at a transaction, counted from now; `true`: after its commit. Has another one take the topic over at a
    /// transaction.
    pub fn plan(&self, kill: Option<(usize, bool)>, fence: Option<usize>) {
        let mut state = self.0.lock();
        (state.kill_in, state.fence_in) = (kill, fence);
    }

    /// Returns a client of the topic, and of the topics that the views are made from.
    pub fn client(&self, history: &[Partition]) -> TopicClient {
        let end = |partition: &Partition| {
            let name = NamedPartition::new(partition.topic.default_name(), partition.number);
            (name, partition.records.len() as i64)
        };
        TopicClient { topic: self.clone(), epoch: 0, ends: history.iter().map(end).collect(), scanned: Vec::new() }
    }

    /// Returns all records in the order of their commits.
    pub fn records(&self) -> Vec<MarkOrView> {
        self.0.lock().records.iter().map(of_record).collect()
    }

    /// Returns the last value of each key.
    pub fn compacted(&self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let views = self.records().into_iter().filter_map(|record| match record {
            MarkOrView::View { key, value, .. } => Some((key, value)),
            MarkOrView::Mark => None,
        });
        views.collect()
    }
}

impl TopicState {
    fn comes_to_fence(&mut self) -> bool {
        self.fence_in = self.fence_in.map(|left| left.saturating_sub(1));
        self.fence_in.take_if(|left| *left == 0).is_some()
    }

    /// Does what another publisher does first, and has it publish once more what is there already.
    fn take_over_by_another(&mut self) {
        self.epoch += 1;
        let version = |record: &ViewsRecord| match of_record(record) {
            MarkOrView::View { version, .. } => version,
            MarkOrView::Mark => 0,
        };
        let last = self.records.iter().map(version).max().unwrap_or(0) + 1_000;
        let mark = Mark { positions: BTreeMap::new(), version: last, written_at: String::new() };
        self.records.extend(mark.records(self.partitions, "another"));
        let view = self.records.iter().rev().find(|record| matches!(of_record(record), MarkOrView::View { .. }));
        if let Some(mut again) = view.cloned() {
            let version = again.headers.iter_mut().find(|(name, _)| *name == "optview-version");
            version.unwrap().1 = (last + 1).to_string().into();
            self.records.push(again);
        }
    }
}

fn of_record(record: &ViewsRecord) -> MarkOrView {
    let header = |name: &str| record.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value);
    if header(RECORD_HEADER).is_some() {
        return MarkOrView::Mark;
    }
    let version = std::str::from_utf8(header("optview-version").unwrap()).unwrap().parse().unwrap();
    MarkOrView::View { key: record.key.clone(), value: record.value.clone(), version }
}

/// One who publishes on the topic.
pub struct TopicClient {
    topic: FakeTopic,
    epoch: u64,
    ends: BTreeMap<NamedPartition, i64>,
    scanned: Vec<(i64, ViewsRecord)>,
}

impl ViewsTopic for TopicClient {
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        let mut state = self.topic.0.lock();
        state.epoch += 1;
        self.epoch = state.epoch;
        Ok(ViewsTopicIdentity { id: None, partitions: state.partitions })
    }

    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError> {
        let state = self.topic.0.lock();
        let mut next = BTreeMap::new();
        let numbered = state.records.iter().map(|record| {
            let offset = next.entry(record.partition).or_insert(0_i64);
            *offset += 1;
            (*offset - 1, record.clone())
        });
        self.scanned = numbered.collect();
        if let ScanStart::Tail(count) = start {
            self.scanned.retain(|(offset, record)| next[&record.partition].saturating_sub(count) <= *offset);
        }
        assert_ne!(start, ScanStart::Continuation, "nobody who publishes goes on with a scan");
        self.scanned.reverse();
        Ok(())
    }

    fn scan(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError> {
        let count = self.topic.0.lock().random.below(9);
        for _ in 0..count {
            let Some((offset, record)) = self.scanned.pop() else { break };
            take(&FoundRecord {
                partition: record.partition,
                offset,
                key: &record.key,
                value: record.value.as_deref(),
                headers: record.headers.iter().map(|(name, value)| (*name, &value[..])).collect(),
            });
        }
        Ok(self.scanned.is_empty())
    }

    fn publish(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        let mut state = self.topic.0.lock();
        if state.comes_to_fence() {
            state.take_over_by_another();
        }
        let (chance, epoch) = (state.random.below(20), state.epoch);
        if epoch != self.epoch {
            return Err(ViewsTopicError::Fenced("another one".to_owned()));
        }
        let kill = state.kill_in.as_mut().and_then(|(left, is_committed)| {
            *left = left.saturating_sub(1);
            (*left == 0).then_some(*is_committed)
        });
        if kill == Some(false) {
            drop(state);
            resume_unwind(Box::new(KillPanic));
        }
        if chance == 0 {
            return Err(ViewsTopicError::Unavailable("the transaction was aborted".to_owned()));
        }
        state.records.extend_from_slice(records);
        if kill == Some(true) {
            drop(state);
            resume_unwind(Box::new(KillPanic));
        }
        if chance == 1 {
            return Err(ViewsTopicError::Lost("nobody knows whether it was committed".to_owned()));
        }
        Ok(())
    }

    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError> {
        Ok(self.ends.clone())
    }
}
