//! One run of an export: what it reads, where each partition stands, and whether the topics still are those that are archived.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::domain::{Gap, OwnedRecord, Topic, TopicId};
use crate::source::archive::Appender;
use crate::source::kafka::{KafkaSettings, KafkaSource};
use crate::source::{Continuity, Overdue, Polled, ReadDeadline, Records, Source as _, Watermarks};

/// How long a poll may wait: so often the signal to stop is looked at.
const WAIT: Duration = Duration::from_millis(100);
/// How long the cluster may take to confirm that the topics still are the same.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);
const CONFIRMED_AGAIN: Duration = Duration::from_millis(5);
/// How long nothing may come, and an error stand, of what is to be copied. An export that follows waits, and says so as often.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Export<'a> {
    pub(super) kafka: &'a KafkaSettings,
    pub(super) follow: bool,
    pub(super) waiting: Waiting,
    /// The topics that are known by their ids to be those that were archived before.
    pub(super) proven: Vec<Topic>,
    pub(super) ids: BTreeMap<Topic, TopicId>,
    pub(super) appender: Appender,
    pub(super) partitions: BTreeMap<(Topic, i32), Partition>,
    /// The record that was archived last, still to be seen again, to know the topic by.
    pub(super) anchors: BTreeMap<(Topic, i32), OwnedRecord>,
    /// Copied by this run.
    pub(super) records: u64,
    /// Why it cannot go on.
    pub(super) failure: Option<anyhow::Error>,
    /// Whether all that was given to the appender is of the topics that are archived.
    pub(super) is_confirmed: bool,
    /// Whether a topic is another one than the one that is archived.
    pub(super) is_other: bool,
}

/// How long the export has waited for what does not come.
pub(super) struct Waiting {
    deadline: ReadDeadline,
    /// When it was last said why.
    said: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(now: Instant) -> Waiting {
        Waiting { deadline: ReadDeadline::new(PATIENCE, now), said: None }
    }
}

pub(super) struct Partition {
    next: i64,
    start_high: i64,
    continuity: Continuity,
}

impl Export<'_> {
    pub(super) fn step(&mut self, source: &mut KafkaSource) {
        let mut found = Vec::new();
        source.poll(WAIT, &mut |polled| match polled {
            Polled::Found { topic, partition, watermarks } => found.push((topic, partition, watermarks)),
            Polled::Records(records) if self.failure.is_none() => {
                self.waiting.deadline.heard(Instant::now());
                self.failure = self.take(&*records).err();
            }
            Polled::Records(_) => {}
            Polled::Ended { topic, partition, position } => {
                self.waiting.deadline.heard(Instant::now());
                if self.anchors.remove(&(topic, partition)).is_some() {
                    self.note_no_anchor(topic, partition);
                }
                self.appender.ended(topic, partition, position);
                self.passed(topic, partition, position);
            }
            Polled::Failed { topic, partition, reason } => {
                let name = self.kafka.topics.get(topic);
                self.failure.get_or_insert_with(|| anyhow::anyhow!("{name}/{partition}: {reason}"));
            }
        });
        self.compare(source);
        for (topic, partition, watermarks) in found {
            if let Err(failure) = self.begin(source, topic, partition, watermarks) {
                self.failure.get_or_insert(failure);
            }
        }
        self.look_whether_it_is_read(source);
    }

    /// Ends what only waits. An export that follows goes on waiting, and says so.
    fn look_whether_it_is_read(&mut self, source: &KafkaSource) {
        let now = Instant::now();
        let is_awaited = |partition: &Partition| self.follow || partition.next < partition.start_high;
        let held = self.partitions.iter().filter(|(_, partition)| is_awaited(partition));
        let Some(overdue) = self.waiting.deadline.look(source, held.map(|(key, _)| *key), now) else { return };
        let why = match overdue {
            Overdue::Partition { topic, partition, why } => {
                format!("{}/{partition}: {why}", self.kafka.topics.get(topic))
            }
            // Where nothing is written, nothing need come.
            Overdue::Silence { .. } if self.follow && source.cluster_health().error.is_none() => return,
            Overdue::Silence { why } => format!("nothing has come for {} s: {why}", PATIENCE.as_secs()),
        };
        if !self.follow {
            self.failure.get_or_insert_with(|| anyhow::anyhow!("{why}; run it again when the cluster is well"));
        } else if self.waiting.said.is_none_or(|said| now.saturating_duration_since(said) >= PATIENCE) {
            self.waiting.said = Some(now);
            tracing::warn!("the archive does not grow, and it is waited for: {why}");
        }
    }

    /// Lists what was written, once the cluster has confirmed that all of it is of the topics that are archived. Where it does
    /// not answer, that waits for the next time.
    pub(super) fn commit(&mut self, source: &mut KafkaSource) -> anyhow::Result<()> {
        let read_by = Instant::now();
        source.ask_now();
        self.is_confirmed = loop {
            self.compare(source);
            if self.is_other {
                break false;
            }
            let topics: BTreeSet<Topic> = self.partitions.keys().map(|(topic, _)| *topic).collect();
            if topics.into_iter().all(|topic| source.is_confirmed_since(topic, read_by)) {
                break true;
            }
            if read_by.elapsed() > CONFIRMED_WITHIN {
                break false;
            }
            source.rest(CONFIRMED_AGAIN);
        };
        // After the answer has come, too.
        self.compare(source);
        self.is_confirmed &= !self.is_other;
        if self.is_confirmed {
            self.appender.commit()?;
        }
        Ok(())
    }

    /// Whether each topic still is the one that is archived, by the cluster's own word.
    fn compare(&mut self, source: &KafkaSource) {
        let now = Instant::now();
        for (&(topic, number), partition) in &mut self.partitions {
            let Some(observed) = source.observation(topic, number) else { continue };
            if let Err(other) = partition.continuity.compare(partition.next, &observed, now) {
                let name = self.kafka.topics.get(topic);
                self.is_other = true;
                self.failure.get_or_insert_with(|| {
                    anyhow::anyhow!(
                        "{name}/{number}: {other}; keep the archive as it is, and export into another directory"
                    )
                });
            }
        }
    }

    /// The record that was archived last cannot be compared with anything.
    fn note_no_anchor(&self, topic: Topic, partition: i32) {
        if !self.proven.contains(&topic) {
            let name = self.kafka.topics.get(topic);
            tracing::warn!(
                "{name}/{partition}: the record that was archived last is not there to be compared, and the topic's id is not \
                 known from then or not known now: nothing proves that the topic was not created again since. If it was, \
                 export into another directory"
            );
        }
    }

    fn take(&mut self, records: &dyn Records) -> anyhow::Result<()> {
        let (first, last) = (records.record(0), records.record(records.len() - 1).position);
        let anchor = self.anchors.remove(&(last.topic, last.partition));
        if anchor.as_ref().is_some_and(|anchor| anchor.position != first.position) {
            self.note_no_anchor(last.topic, last.partition);
        }
        if let Some(anchor) = anchor
            && anchor.position == first.position
            && anchor != OwnedRecord::from(&first)
        {
            let (name, partition) = (self.kafka.topics.get(last.topic), last.partition);
            let gap = Gap::OtherRecord { offset: anchor.position.offset };
            bail!("{name}/{partition}: {gap}; keep the archive as it is, and export into another directory");
        }
        self.records += self.appender.write(records)?;
        self.passed(last.topic, last.partition, last.offset + 1);
        Ok(())
    }

    fn begin(
        &mut self,
        source: &mut KafkaSource,
        topic: Topic,
        partition: i32,
        watermarks: Watermarks,
    ) -> anyhow::Result<()> {
        let name = self.kafka.topics.get(topic);
        let next = self.appender.begin(topic, partition, watermarks.low);
        if let Some(gap) = Gap::between_offsets(next, watermarks.low, watermarks.high) {
            bail!("{name}/{partition}: {gap}");
        }
        if next == watermarks.low && next > 0 {
            let low = watermarks.low;
            tracing::warn!(topic = name, partition, low, "the oldest records are no longer in the topic");
        }
        let continuity = Continuity::new(self.ids.get(&topic).copied());
        self.partitions.insert((topic, partition), Partition { next, start_high: watermarks.high, continuity });
        self.compare(source);
        let cannot = |why| anyhow::anyhow!("{name}/{partition} cannot be read: {why}");
        let anchor = self.anchors.get(&(topic, partition)).map(|anchor| anchor.position.offset);
        let anchor = anchor.filter(|offset| *offset >= watermarks.low);
        if anchor.is_none() && next > watermarks.low {
            self.note_no_anchor(topic, partition);
        }
        let from = anchor.unwrap_or(next);
        source.assign(topic, partition, from).map_err(cannot)
    }

    fn passed(&mut self, topic: Topic, partition: i32, next: i64) {
        if let Some(held) = self.partitions.get_mut(&(topic, partition)) {
            held.next = held.next.max(next);
        }
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.partitions.values().all(|partition| partition.next >= partition.start_high)
    }
}
