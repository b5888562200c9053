//! One run of an export: its source, the position of each partition, and the checks that the topics are those that
//! are archived.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::domain::{Gap, OwnedRecord, Topic, TopicId, TopicPartition};
use crate::source::archive::Appender;
use crate::source::kafka::{KafkaSettings, KafkaSource};
use crate::source::{Continuity, ReadDeadline, ReadTimeout, Records, Source as _, SourceEvent, Watermarks};

/// Time limit of one poll, and so the interval of the checks of the stop flag.
const WAIT: Duration = Duration::from_millis(100);
/// Time limit of the cluster's confirmation that the topics are the same.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(10);
const CONFIRMATION_POLL: Duration = Duration::from_millis(5);
/// Time without records, or with a standing error, after which an export ends. With `--follow`, it waits and logs
/// the reason at this interval.
const STALL_AFTER: Duration = Duration::from_secs(60);

pub(super) struct ExportSession<'a> {
    pub(super) kafka: &'a KafkaSettings,
    pub(super) follow: bool,
    pub(super) stall_timer: StallTimer,
    /// The topics whose ids prove that they are those that were archived before.
    pub(super) proven: Vec<Topic>,
    pub(super) ids: BTreeMap<Topic, TopicId>,
    pub(super) appender: Appender,
    pub(super) partitions: BTreeMap<TopicPartition, ExportPartition>,
    /// The last archived record of each partition, until it is read again to recognize the topic.
    pub(super) anchors: BTreeMap<TopicPartition, OwnedRecord>,
    /// Number of records copied by this run.
    pub(super) records: u64,
    /// The reason for which the export cannot continue.
    pub(super) failure: Option<anyhow::Error>,
    /// True if all records given to the appender are proven to be of the archived topics.
    pub(super) is_confirmed: bool,
    /// True if a topic is not the one that is archived.
    pub(super) is_recreated: bool,
}

/// The time for which the export has waited without progress.
pub(super) struct StallTimer {
    deadline: ReadDeadline,
    /// The time of the last warning.
    last_warning: Option<Instant>,
}

impl StallTimer {
    pub(super) fn new(now: Instant) -> StallTimer {
        StallTimer { deadline: ReadDeadline::new(STALL_AFTER, now), last_warning: None }
    }
}

pub(super) struct ExportPartition {
    next: i64,
    start_high: i64,
    continuity: Continuity,
}

impl ExportSession<'_> {
    pub(super) fn step(&mut self, source: &mut KafkaSource) {
        let mut found = Vec::new();
        source.poll(WAIT, &mut |polled| match polled {
            SourceEvent::Found { partition, watermarks } => found.push((partition, watermarks)),
            SourceEvent::Records(records) if self.failure.is_none() => {
                self.stall_timer.deadline.restart(Instant::now());
                self.failure = self.take(&*records).err();
            }
            SourceEvent::Records(_) => {}
            SourceEvent::Ended { partition, position } => {
                self.stall_timer.deadline.restart(Instant::now());
                if self.anchors.remove(&partition).is_some() {
                    self.warn_of_missing_anchor(partition);
                }
                self.appender.ended(partition, position);
                self.advance(partition, position);
            }
            SourceEvent::Failed { partition, reason } => {
                let name = self.kafka.topics.partition(partition);
                self.failure.get_or_insert_with(|| anyhow::anyhow!("{name}: {reason}"));
            }
        });
        self.compare_topics(source);
        for (partition, watermarks) in found {
            if let Err(failure) = self.begin(source, partition, watermarks) {
                self.failure.get_or_insert(failure);
            }
        }
        self.check_progress(source);
    }

    /// Ends an export that makes no progress. With `--follow`, it logs the reason and goes on waiting.
    fn check_progress(&mut self, source: &KafkaSource) {
        let now = Instant::now();
        let is_awaited = |partition: &ExportPartition| self.follow || partition.next < partition.start_high;
        let held = self.partitions.iter().filter(|(_, partition)| is_awaited(partition));
        let Some(overdue) = self.stall_timer.deadline.check(source, held.map(|(key, _)| *key), now) else {
            return;
        };
        let why = match overdue {
            ReadTimeout::Partition { partition, why } => {
                format!("{}: {why}", self.kafka.topics.partition(partition))
            }
            // Without writers, no records need arrive.
            ReadTimeout::Silence { .. } if self.follow && source.cluster_health().error.is_none() => return,
            ReadTimeout::Silence { why } => {
                format!("no record has arrived for {} s: {why}", STALL_AFTER.as_secs())
            }
        };
        if !self.follow {
            self.failure.get_or_insert_with(|| anyhow::anyhow!("{why}; run it again when the cluster is well"));
        } else if self.stall_timer.last_warning.is_none_or(|at| now.saturating_duration_since(at) >= STALL_AFTER) {
            self.stall_timer.last_warning = Some(now);
            tracing::warn!("the archive does not grow, and the export waits: {why}");
        }
    }

    /// Lists the written records once the cluster has confirmed that all of them are of the archived topics. If it
    /// does not answer, the next commit lists them.
    pub(super) fn commit(&mut self, source: &mut KafkaSource) -> anyhow::Result<()> {
        let read_by = Instant::now();
        source.ask_now();
        self.is_confirmed = loop {
            self.compare_topics(source);
            if self.is_recreated {
                break false;
            }
            let topics: BTreeSet<Topic> =
                self.partitions.keys().map(|TopicPartition { topic, .. }| *topic).collect();
            if topics.into_iter().all(|topic| source.is_confirmed_since(topic, read_by)) {
                break true;
            }
            if read_by.elapsed() > CONFIRMATION_TIMEOUT {
                break false;
            }
            source.rest(CONFIRMATION_POLL);
        };
        // The topics are compared once more after the answer has arrived.
        self.compare_topics(source);
        self.is_confirmed &= !self.is_recreated;
        if self.is_confirmed {
            self.appender.commit()?;
        }
        Ok(())
    }

    /// Compares each topic with the archived one by the cluster's own answers.
    fn compare_topics(&mut self, source: &KafkaSource) {
        let now = Instant::now();
        for (&key, partition) in &mut self.partitions {
            let Some(observed) = source.observation(key) else { continue };
            if let Err(other) = partition.continuity.compare(partition.next, &observed, now) {
                let name = self.kafka.topics.partition(key);
                self.is_recreated = true;
                self.failure.get_or_insert_with(|| {
                    anyhow::anyhow!(
                        "{name}: {other}; keep the archive as it is, and export into another directory"
                    )
                });
            }
        }
    }

    /// Warns that the last archived record cannot be compared with anything.
    fn warn_of_missing_anchor(&self, partition: TopicPartition) {
        if !self.proven.contains(&partition.topic) {
            let name = self.kafka.topics.partition(partition);
            tracing::warn!(
                "{name}: the last archived record no longer exists, and the topic's id is missing in \
                 the archive or in the cluster: nothing proves that the topic was not created again since. If it \
                 was, export into another directory"
            );
        }
    }

    fn take(&mut self, records: &dyn Records) -> anyhow::Result<()> {
        let (first, last) = (records.record(0), records.record(records.len() - 1).position);
        let partition = last.topic_partition();
        let anchor = self.anchors.remove(&partition);
        if anchor.as_ref().is_some_and(|anchor| anchor.position != first.position) {
            self.warn_of_missing_anchor(partition);
        }
        if let Some(anchor) = anchor
            && anchor.position == first.position
            && anchor != OwnedRecord::from(&first)
        {
            let name = self.kafka.topics.partition(partition);
            let gap = Gap::OtherRecord { offset: anchor.position.offset };
            bail!("{name}: {gap}; keep the archive as it is, and export into another directory");
        }
        self.records += self.appender.write(records)?;
        self.advance(partition, last.offset + 1);
        Ok(())
    }

    fn begin(
        &mut self,
        source: &mut KafkaSource,
        partition: TopicPartition,
        watermarks: Watermarks,
    ) -> anyhow::Result<()> {
        let name = self.kafka.topics.partition(partition);
        let next = self.appender.begin(partition, watermarks.low);
        if let Some(gap) = Gap::between_offsets(next, watermarks.low, watermarks.high) {
            bail!("{name}: {gap}");
        }
        if next == watermarks.low && next > 0 {
            let low = watermarks.low;
            tracing::warn!(
                topic = name.topic,
                partition = name.partition,
                low,
                "the oldest records are no longer in the topic"
            );
        }
        let continuity = Continuity::new(self.ids.get(&partition.topic).copied());
        self.partitions.insert(partition, ExportPartition { next, start_high: watermarks.high, continuity });
        self.compare_topics(source);
        let anchor = self.anchors.get(&partition).map(|anchor| anchor.position.offset);
        let anchor = anchor.filter(|offset| *offset >= watermarks.low);
        if anchor.is_none() && next > watermarks.low {
            self.warn_of_missing_anchor(partition);
        }
        let from = anchor.unwrap_or(next);
        source.assign(partition, from).map_err(|why| anyhow::anyhow!("{name} cannot be read: {why}"))
    }

    fn advance(&mut self, partition: TopicPartition, next: i64) {
        if let Some(held) = self.partitions.get_mut(&partition) {
            held.next = held.next.max(next);
        }
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.partitions.values().all(|partition| partition.next >= partition.start_high)
    }
}
