//! The source that reads records from Kafka: one consumer, one queue a partition, and offsets of our own. It never
//! subscribes, never stores offsets, and never lets librdkafka choose where to begin.
//!
//! The cluster's own answers about the topics come through another client (`observer.rs`). If they show that the
//! consumer has gone deaf, a new one replaces it and continues each partition at its position.

mod reading_client;
mod recovery;
mod stray_record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::assigned_partition::AssignedPartition;
use super::client::Client;
use super::consumer_watch::ConsumerWatch;
use super::known_topic::KnownTopic;
use super::observer::{FoundPartition, Observer};
use super::queue::waiting_events;
use super::reading_order::{LATE_AFTER, NextRead, ReadingOrder};
use super::renewal::Watchdog;
use super::settings::KafkaSettings;
use super::wake_flag::WakeFlag;
use crate::domain::{PartitionOffset, Topic, TopicPartition};
use crate::source::{
    ClusterHealth, PartitionObservation, Source, SourceEvent, StandingError, StopCode, StopReason, Watermarks,
};
use reading_client::{connect, know_topics};
use stray_record::StrayRecord;

/// Approximate maximum number of records that one poll delivers.
const RECORDS_A_POLL: usize = 2048;
/// Approximate maximum number of bytes that one poll delivers. Records that are taken out of librdkafka's queues
/// no longer count there, so that as many are fetched again.
const BYTES_A_POLL: usize = 8 << 20;
/// Interval of the checks for a deaf consumer.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Age of the observer's last answer up to which the cluster counts as answering.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A source that reads the topics of a cluster at offsets that the caller assigns. It never joins the group, and
/// only publishes offsets to it.
pub struct KafkaSource {
    // The partitions are declared before `consumer`, because their queues must be gone when it closes.
    partitions: Vec<AssignedPartition>,
    /// The topics as the consumer knows them.
    known_topics: Vec<KnownTopic>,
    consumer: Arc<Client<ConsumerWatch>>,
    observer: Observer,
    settings: KafkaSettings,
    group_id: String,
    wake: Arc<WakeFlag>,
    /// The order in which the partitions are read.
    order: ReadingOrder,
    /// Events that came while nothing could be delivered.
    strays: Vec<SourceEvent>,
    watchdog: Watchdog,
    last_check: Instant,
    renewals: u64,
    last_renewal: Option<DateTime<Utc>>,
}

impl KafkaSource {
    /// Creates a source without waiting for the cluster. [`Source::trouble`] reports errors of the cluster.
    pub fn new(settings: &KafkaSettings, group_id: &str) -> Result<KafkaSource, KafkaError> {
        let wake = Arc::new(WakeFlag::default());
        let watch = ConsumerWatch::new(settings.topics.clone());
        let consumer = Arc::new(connect(settings, group_id, watch)?);
        let observer = {
            let wake = wake.clone();
            Observer::start(settings, group_id, move || wake.wake())?
        };
        let now = Instant::now();
        Ok(KafkaSource {
            partitions: Vec::new(),
            known_topics: know_topics(&consumer, settings),
            consumer,
            observer,
            settings: settings.clone(),
            group_id: group_id.to_owned(),
            wake,
            order: ReadingOrder::default(),
            strays: Vec::new(),
            watchdog: Watchdog::new(now),
            last_check: now,
            renewals: 0,
            last_renewal: None,
        })
    }

    /// Asks the cluster at once for its topics, without waiting for the answers.
    pub fn ask_now(&self) {
        self.observer.ask_now();
    }

    /// Returns true if the cluster has confirmed the topic's identity in answer to a request after `time`, or
    /// never gives ids. Then all earlier records are of the topic in [`Source::observation`].
    pub fn is_confirmed_since(&self, topic: Topic, time: Instant) -> bool {
        self.observer.is_confirmed_since(topic, time)
    }

    fn name(&self, topic: Topic) -> &str {
        self.settings.topics.get(topic)
    }

    /// Serves all callbacks that wait. No records arrive here, since each partition gets its own queue before it is assigned;
    /// should some arrive, none may be lost.
    fn serve_main_queue(&mut self, take: &mut dyn FnMut(SourceEvent)) {
        for _ in 0..waiting_events(&self.consumer) {
            let Some(polled) = self.consumer.poll(Duration::ZERO) else { continue };
            match polled {
                Ok(message) => {
                    if let Some(topic) = self.settings.topics.topic_of(message.topic()) {
                        let key = TopicPartition::new(topic, message.partition());
                        let next = message.offset() + 1;
                        take(SourceEvent::Records(Box::new(StrayRecord { topic, message: message.detach() })));
                        // Records between the two offsets are still in the partition's queue.
                        if let Some(partition) = self.partitions.iter_mut().find(|held| held.partition == key)
                            && partition.position + 1 == next
                        {
                            partition.position = next;
                        }
                    }
                }
                Err(error) => match error.rdkafka_error_code() {
                    // The records before the end were delivered with it, and the partition's queue reports the
                    // next end.
                    Some(RDKafkaErrorCode::PartitionEOF) | None => {}
                    Some(code) => self.consumer.context().trouble(code, ""),
                },
            }
        }
    }

    fn try_assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), String> {
        let name = self.name(partition.topic);
        let mut partition = AssignedPartition::split(&self.consumer, name, partition, offset, &self.wake)?;
        partition.topic_id = self.observer.observation(partition.partition).and_then(|observed| observed.topic_id);
        partition.known_end = self.observer.watermarks(partition.partition).map(|known| known.high);
        let list = self.list(std::iter::once(&partition))?;
        self.consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        self.partitions.push(partition);
        Ok(())
    }

    /// Returns the partition to be read next; `None` if there is nothing to be read yet.
    fn next_partition(&mut self) -> Option<usize> {
        match self.order.next(Instant::now(), self.partitions.iter().map(AssignedPartition::turn)) {
            NextRead::Partition(at) => Some(at),
            NextRead::Nothing => None,
            NextRead::Late(time) => {
                self.partitions.iter_mut().for_each(|held| held.is_late |= held.turn().holds_back(time));
                None
            }
        }
    }

    /// Returns the partitions with the offsets to be read next.
    fn list<'a>(
        &self,
        partitions: impl Iterator<Item = &'a AssignedPartition>,
    ) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::new();
        for &AssignedPartition { partition: TopicPartition { topic, partition }, position, .. } in partitions {
            let added = list.add_partition_offset(self.name(topic), partition, Offset::Offset(position));
            added.map_err(|error| error.to_string())?;
        }
        Ok(list)
    }
}

/// Returns true if so many records, and bytes of them, are as much as one poll delivers.
fn is_full_poll(records: usize, bytes: usize) -> bool {
    records >= RECORDS_A_POLL || bytes >= BYTES_A_POLL
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        let mut is_given = !self.strays.is_empty();
        self.strays.drain(..).for_each(&mut *take);
        self.serve_main_queue(take);
        for FoundPartition { partition, watermarks } in self.observer.take_found() {
            is_given = true;
            take(SourceEvent::Found { partition, watermarks });
        }
        // What has been given is to be seen at once: a partition that was found is read only once it is assigned.
        if !is_given && self.next_partition().is_none() {
            self.wake.wait(if self.order.waits() { wait.min(LATE_AFTER) } else { wait });
        }
        let (mut given, mut bytes) = (0, 0);
        while !is_full_poll(given, bytes)
            && let Some(at) = self.next_partition()
        {
            let mut partition = self.partitions.swap_remove(at);
            let batch = partition.receive();
            (given, bytes) = (given + batch.records, bytes + batch.bytes);
            self.order.note_read(batch.records);
            // The report of another topic of the same name comes before its first record.
            self.serve_main_queue(take);
            let watch = self.consumer.context();
            if partition.may_deliver(watch.fetched_topic(partition.partition.topic)) {
                partition.deliver(batch, watch, take);
            } else {
                partition.refuse(&batch, watch, take);
                self.observer.ask_now();
            }
            self.partitions.push(partition);
        }
        self.check_consumer(Instant::now());
        is_full_poll(given, bytes)
    }

    fn rest(&mut self, wait: Duration) {
        let mut strays = std::mem::take(&mut self.strays);
        self.serve_main_queue(&mut |polled| strays.push(polled));
        self.strays = strays;
        std::thread::sleep(wait);
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        self.try_assign(partition, offset).map_err(|why| StopReason::new(StopCode::Unassigned, why))
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.partitions.retain(|held| held.partition != partition);
        let mut list = TopicPartitionList::new();
        list.add_partition(self.name(partition.topic), partition.partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            let TopicPartition { topic, partition } = partition;
            tracing::warn!(%topic, partition, %error, "librdkafka did not let go of a stopped partition");
        }
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        self.observer.watermarks(partition)
    }

    fn trouble(&self) -> Option<String> {
        self.consumer.context().last_trouble().or_else(|| self.observer.trouble())
    }

    fn is_complete(&self) -> bool {
        self.observer.is_complete()
    }

    fn cluster_id(&self) -> Option<String> {
        self.observer.cluster_id()
    }

    fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        self.observer.observation(partition)
    }

    fn partition_error(&self, partition: TopicPartition) -> Option<StandingError> {
        let held = self.partitions.iter().find(|held| held.partition == partition);
        let of_fetch = held.and_then(|held| held.error.as_ref());
        of_fetch.map(|error| error.shown.clone()).or_else(|| self.observer.partition_error(partition))
    }

    fn cluster_health(&self) -> ClusterHealth {
        let (renewals, last_renewal) = (self.renewals, self.last_renewal);
        ClusterHealth { renewals, last_renewal, ..self.observer.health() }
    }

    fn publish(&mut self, offsets: &[PartitionOffset]) {
        let mut list = TopicPartitionList::new();
        for &PartitionOffset { topic, partition, offset } in offsets {
            if let Err(error) = list.add_partition_offset(self.name(topic), partition, Offset::Offset(offset)) {
                tracing::debug!(%topic, partition, offset, %error, "cannot publish an offset");
            }
        }
        // The offsets are for lag tools only, so a failure is only logged.
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets were not published");
        }
    }
}

#[cfg(test)]
mod tests;
