//! A topic of views in memory, with what a cluster does to those who publish on it: another one takes it over, a transaction fails, or
//! is committed without an answer; and the process is killed before or after a commit.

use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;

use optview::domain::{NamedPartition, TopicId};
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
    id: Option<TopicId>,
    partitions: i32,
    /// The committed records in the order of their commits.
    records: Vec<ViewsRecord>,
    /// The number of records of each committed transaction.
    transactions: Vec<usize>,
    /// The number of times that the topic was taken over.
    epoch: u64,
    kill_in: Option<(usize, bool)>,
    fence_in: Option<usize>,
    /// True if transactions fail by chance, where no outcome is planned.
    has_chances: bool,
    /// The outcomes of the next transactions.
    planned: VecDeque<Outcome>,
    /// The number of slices of scans that fail from now on.
    failing_slices: usize,
    /// The number of scans that were begun.
    scans: usize,
    random: Random,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// Nothing of it is on the topic.
    Aborted,
    /// It is committed, and the publisher does not learn it.
    CommittedWithoutAnswer,
    /// The brokers have ended it because it took too long, and take nothing more of this producer. librdkafka calls that a fence.
    TimedOut,
}

/// A record as the tests look at it.
pub enum MarkOrView {
    Mark,
    View { key: Vec<u8>, value: Option<Vec<u8>>, version: u64 },
}

impl FakeTopic {
    /// Makes a topic whose transactions fail by chance.
    pub fn new(partitions: i32) -> FakeTopic {
        let random = Random(partitions as u64);
        FakeTopic(Arc::new(Mutex::new(TopicState {
            id: None,
            partitions,
            records: Vec::new(),
            transactions: Vec::new(),
            epoch: 0,
            kill_in: None,
            fence_in: None,
            has_chances: true,
            planned: VecDeque::new(),
            failing_slices: 0,
            scans: 0,
            random,
        })))
    }

    /// Makes a topic on which nothing fails that is not planned.
    pub fn without_chances(partitions: i32) -> FakeTopic {
        let topic = FakeTopic::new(partitions);
        topic.0.lock().has_chances = false;
        topic
    }

    /// Plans the outcomes of the next transactions.
    pub fn plan_outcomes(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.0.lock().planned.extend(outcomes);
    }

    /// Has the next slices of scans fail.
    pub fn plan_failing_slices(&self, count: usize) {
        self.0.lock().failing_slices = count;
    }

    /// Makes the topic anew, without records.
    pub fn create_again(&self, id: TopicId, partitions: i32) {
        let mut state = self.0.lock();
        (state.id, state.partitions) = (Some(id), partitions);
        state.records.clear();
    }

    /// Puts records there, by whomever.
    pub fn write(&self, records: impl IntoIterator<Item = ViewsRecord>) {
        self.0.lock().records.extend(records);
    }

    /// Does what another publisher does first.
    pub fn take_over_by_another(&self) {
        self.0.lock().take_over_by_another();
    }

    /// Returns the number of scans that were begun.
    pub fn scans(&self) -> usize {
        self.0.lock().scans
    }

    /// Returns the number of records of each transaction.
    pub fn transactions(&self) -> Vec<usize> {
        self.0.lock().transactions.clone()
    }

    /// Returns all records as they were written.
    pub fn raw_records(&self) -> Vec<ViewsRecord> {
        self.0.lock().records.clone()
    }

    /// Has the process killed at a transaction, counted from now; `true`: after its commit. Has another one take the topic over at a
    /// transaction.
    pub fn plan(&self, kill: Option<(usize, bool)>, fence: Option<usize>) {
        let mut state = self.0.lock();
        (state.kill_in, state.fence_in) = (kill, fence);
    }

    /// Returns a client of the topic, and of the topics that the views are made from.
    pub fn client(&self, history: &[Partition]) -> TopicClient {
        let ends = history.iter().map(|partition| {
            let name = NamedPartition::new(partition.topic.default_name(), partition.number);
            (name, partition.records.len() as i64)
        });
        self.client_with_ends(ends.collect())
    }

    /// Returns a client of the topic. The topics that the views are made from end at these offsets.
    pub fn client_with_ends(&self, ends: BTreeMap<NamedPartition, i64>) -> TopicClient {
        TopicClient { topic: self.clone(), epoch: 0, has_producer: false, ends, scanned: Vec::new() }
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
    fn next_outcome(&mut self) -> Outcome {
        if let Some(planned) = self.planned.pop_front() {
            return planned;
        }
        match self.random.below(20) {
            _ if !self.has_chances => Outcome::Committed,
            0 => Outcome::Aborted,
            1 => Outcome::CommittedWithoutAnswer,
            2 => Outcome::TimedOut,
            _ => Outcome::Committed,
        }
    }

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
    /// False until the topic is taken over, and again once the producer is of no use any more.
    has_producer: bool,
    ends: BTreeMap<NamedPartition, i64>,
    scanned: Vec<(i64, ViewsRecord)>,
}

impl ViewsTopic for TopicClient {
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        let mut state = self.topic.0.lock();
        state.epoch += 1;
        (self.epoch, self.has_producer) = (state.epoch, true);
        Ok(ViewsTopicIdentity { id: state.id, partitions: state.partitions })
    }

    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError> {
        let mut state = self.topic.0.lock();
        state.scans += 1;
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
        let mut state = self.topic.0.lock();
        if state.failing_slices > 0 {
            state.failing_slices -= 1;
            // Nothing more comes of this scan.
            self.scanned.clear();
            return Err(ViewsTopicError::Unavailable("the topic cannot be read".to_owned()));
        }
        let count = if state.has_chances { state.random.below(9) } else { 1_000 };
        drop(state);
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
        if !self.has_producer {
            return Err(ViewsTopicError::Lost("nothing is published before the topic is taken over".to_owned()));
        }
        let published = self.try_publish(records);
        self.has_producer = matches!(published, Ok(()) | Err(ViewsTopicError::Unavailable(_)));
        published
    }

    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError> {
        Ok(self.ends.clone())
    }
}

impl TopicClient {
    fn try_publish(&self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        let mut state = self.topic.0.lock();
        if state.comes_to_fence() {
            state.take_over_by_another();
        }
        if state.epoch != self.epoch {
            return Err(ViewsTopicError::Fenced("another one".to_owned()));
        }
        let outcome = state.next_outcome();
        let kill = state.kill_in.as_mut().and_then(|(left, is_committed)| {
            *left = left.saturating_sub(1);
            (*left == 0).then_some(*is_committed)
        });
        if kill == Some(false) {
            drop(state);
            resume_unwind(Box::new(KillPanic));
        }
        match outcome {
            Outcome::Aborted => {
                return Err(ViewsTopicError::Unavailable("the transaction was aborted".to_owned()));
            }
            Outcome::TimedOut => {
                state.epoch += 1;
                return Err(ViewsTopicError::Fenced("the transaction took too long".to_owned()));
            }
            Outcome::Committed | Outcome::CommittedWithoutAnswer => {}
        }
        state.records.extend_from_slice(records);
        state.transactions.push(records.len());
        if kill == Some(true) {
            drop(state);
            resume_unwind(Box::new(KillPanic));
        }
        if outcome == Outcome::CommittedWithoutAnswer {
            return Err(ViewsTopicError::Lost("nobody knows whether it was committed".to_owned()));
        }
        Ok(())
    }
}
