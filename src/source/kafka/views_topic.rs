//! The topic of views in Kafka: it is made or checked, read, and published on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer_config::consumer_config;
use super::error_context::ErrorContext;
use super::views_producer::{ViewsProducer, transactional_id};
use super::{KafkaSettings, admin, metadata, topic_settings};
use crate::domain::{NamedPartition, Topic};
use crate::source::Watermarks;
use crate::source::views_topic::{
    FoundRecord, ScanStart, ViewsRecord, ViewsTopic, ViewsTopicError, ViewsTopicIdentity,
};

/// The most records that one slice of a scan gives.
const SLICE_RECORDS: usize = 2_000;
/// The longest time that one slice of a scan takes.
const SLICE_TIME: Duration = Duration::from_millis(100);
/// The longest time for which a scan may get nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The group id, which librdkafka requires, although nothing is ever written for the group.
const GROUP: &str = "optview-views";

/// The settings of a topic of views that is made.
const TOPIC_SETTINGS: &[(&str, &str)] = &[("cleanup.policy", "compact")];

/// The topic of views, as the options name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewsTopicSettings {
    /// The name of the topic in the cluster.
    pub name: String,
    /// Number of partitions, if the topic is made.
    pub partitions: i32,
    /// Number of brokers that keep each partition, if the topic is made; `None` for the cluster's default.
    pub replication_factor: Option<i32>,
}

/// The topic of views in a cluster.
pub struct KafkaViewsTopic {
    settings: KafkaSettings,
    topic: ViewsTopicSettings,
    is_stopping: Arc<AtomicBool>,
    producer: Option<ViewsProducer>,
    scan: Option<PartitionScan>,
    /// The ends of the partitions at the beginning of the last scan.
    scanned_to: BTreeMap<i32, i64>,
}

impl KafkaViewsTopic {
    /// Names the topic; nothing is asked of the cluster yet. Once `is_stopping`, no call goes on for long.
    pub fn new(
        settings: KafkaSettings,
        topic: ViewsTopicSettings,
        is_stopping: Arc<AtomicBool>,
    ) -> KafkaViewsTopic {
        KafkaViewsTopic { settings, topic, is_stopping, producer: None, scan: None, scanned_to: BTreeMap::new() }
    }

    /// Returns the topic's identity, without taking it over.
    ///
    /// # Errors
    /// The topic is not there, is not compacted, or no broker answers.
    pub fn identity(&self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        self.identity_and_bounds().map(|(identity, _)| identity)
    }

    /// Returns the topic's identity as [`KafkaViewsTopic::identity`] does, and the bounds of each partition.
    pub(super) fn identity_and_bounds(
        &self,
    ) -> Result<(ViewsTopicIdentity, BTreeMap<NamedPartition, Watermarks>), ViewsTopicError> {
        let name = &self.topic.name;
        let bounds = self.bounds()?;
        if bounds.is_empty() {
            return Err(ViewsTopicError::Refused(format!("there is no topic `{name}`: is its name right?")));
        }
        self.check_compaction()?;
        let partitions = i32::try_from(bounds.len()).unwrap_or(i32::MAX);
        let id = metadata::ids_of_topics(&self.settings, &[name]).map_err(unavailable)?.remove(name);
        Ok((ViewsTopicIdentity { id, partitions }, bounds))
    }

    fn check_compaction(&self) -> Result<(), ViewsTopicError> {
        let name = &self.topic.name;
        let found = topic_settings::settings_of(&self.settings, name).map_err(unavailable)?;
        match found {
            Some(found) if !found.keeps_last_of_each_key() => Err(ViewsTopicError::Refused(format!(
                "the topic `{name}` has cleanup.policy={}, so that views would vanish from it, or their old states stay for ever: \
                     set cleanup.policy=compact on it, or name another topic",
                found.cleanup_policy
            ))),
            Some(_) => Ok(()),
            None => {
                tracing::warn!(
                    topic = name,
                    "this client may not see the settings of the topic of views: see to it that it has cleanup.policy=compact"
                );
                Ok(())
            }
        }
    }

    /// Returns the bounds of each partition.
    pub(super) fn bounds(&self) -> Result<BTreeMap<NamedPartition, Watermarks>, ViewsTopicError> {
        metadata::watermarks(&self.settings, [self.topic.name.as_str()]).map_err(unavailable)
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> ViewsTopicError {
    ViewsTopicError::Unavailable(error.to_string())
}

impl ViewsTopic for KafkaViewsTopic {
    fn take_over(&mut self) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        // The one before is ended first, so that it is not this one that is fenced.
        self.producer = None;
        let ViewsTopicSettings { name, partitions, replication_factor } = &self.topic;
        admin::ensure_topic(&self.settings, name, *partitions, *replication_factor, TOPIC_SETTINGS).map_err(
            |error| match error {
                admin::TopicError::Refused { .. } => ViewsTopicError::Refused(error.to_string()),
                error => unavailable(error),
            },
        )?;
        let identity = self.identity()?;
        let id = transactional_id(name);
        let producer = ViewsProducer::fence_others(&self.settings, name, &id, self.is_stopping.clone())?;
        self.producer = Some(producer);
        Ok(identity)
    }

    fn begin_scan(&mut self, start: ScanStart) -> Result<(), ViewsTopicError> {
        let bounds = self.bounds()?;
        let ends = bounds.iter().map(|(partition, bounds)| (partition.partition, bounds.high)).collect();
        let before = std::mem::replace(&mut self.scanned_to, ends);
        let topic = &self.topic.name;
        self.scan = Some(PartitionScan::begin(&self.settings, topic, &bounds, |partition, bounds| match start {
            ScanStart::Beginning => bounds.low,
            ScanStart::Tail(count) => bounds.high.saturating_sub(count).max(bounds.low),
            ScanStart::Continuation => before.get(&partition).map_or(bounds.low, |end| bounds.low.max(*end)),
        })?);
        Ok(())
    }

    fn scan(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError> {
        let Some(scan) = &mut self.scan else { return Ok(true) };
        let is_over = scan.read_slice(take)?;
        if is_over {
            self.scan = None;
        }
        Ok(is_over)
    }

    fn publish(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        let Some(producer) = &self.producer else {
            return Err(ViewsTopicError::Lost("nothing is published before the topic is taken over".to_owned()));
        };
        let published = producer.publish(records);
        if !matches!(published, Ok(()) | Err(ViewsTopicError::Unavailable(_))) {
            self.producer = None;
        }
        published
    }

    fn input_ends(&mut self) -> Result<BTreeMap<NamedPartition, i64>, ViewsTopicError> {
        let names = Topic::ALL.map(|topic| self.settings.topics.get(topic));
        let bounds = metadata::watermarks(&self.settings, names).map_err(unavailable)?;
        Ok(bounds.into_iter().map(|(partition, bounds)| (partition, bounds.high)).collect())
    }
}

/// A read of all partitions up to where they ended at its beginning.
struct PartitionScan {
    consumer: BaseConsumer<ErrorContext>,
    /// The partitions that are not read to their end yet, each with that.
    open: BTreeMap<i32, i64>,
    heard: Instant,
}

impl PartitionScan {
    fn begin(
        settings: &KafkaSettings,
        topic: &str,
        bounds: &BTreeMap<NamedPartition, Watermarks>,
        from: impl Fn(i32, Watermarks) -> i64,
    ) -> Result<PartitionScan, ViewsTopicError> {
        let mut config = consumer_config(settings, GROUP);
        // Whole topics are read.
        config.set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer<ErrorContext> =
            config.create_with_context(ErrorContext::default()).map_err(unavailable)?;
        let (mut assigned, mut open) = (TopicPartitionList::new(), BTreeMap::new());
        for (partition, bounds) in bounds {
            let from = from(partition.partition, *bounds);
            if from < bounds.high {
                open.insert(partition.partition, bounds.high);
                let offset = Offset::Offset(from);
                assigned.add_partition_offset(topic, partition.partition, offset).map_err(unavailable)?;
            }
        }
        if !open.is_empty() {
            consumer.assign(&assigned).map_err(unavailable)?;
        }
        Ok(PartitionScan { consumer, open, heard: Instant::now() })
    }

    fn read_slice(&mut self, take: &mut dyn FnMut(&FoundRecord<'_>)) -> Result<bool, ViewsTopicError> {
        let begin = Instant::now();
        for _ in 0..SLICE_RECORDS {
            if self.open.is_empty() || begin.elapsed() >= SLICE_TIME {
                break;
            }
            match self.consumer.poll(Duration::from_millis(20)) {
                Some(Ok(record)) => {
                    self.heard = Instant::now();
                    let (partition, offset) = (record.partition(), record.offset());
                    let Some(&end) = self.open.get(&partition) else { continue };
                    if offset < end {
                        let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
                        let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
                        take(&FoundRecord {
                            partition,
                            offset,
                            key: record.key().unwrap_or_default(),
                            value: record.payload(),
                            headers: headers.collect(),
                        });
                    }
                    if offset + 1 >= end {
                        self.open.remove(&partition);
                    }
                }
                // What lies before the end may be markers of transactions.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.heard = Instant::now();
                    self.open.remove(&partition);
                }
                Some(Err(error)) if self.heard.elapsed() > SILENCE_MAX => {
                    return Err(unavailable(format!("the topic of views cannot be read: {error}")));
                }
                Some(Err(error)) => tracing::debug!(%error, "reading the topic of views"),
                None if self.heard.elapsed() > SILENCE_MAX => {
                    let why =
                        self.consumer.context().last().map_or_else(String::new, |(_, why)| format!(": {why}"));
                    return Err(unavailable(format!("the topic of views cannot be read to its end{why}")));
                }
                None => {}
            }
        }
        Ok(self.open.is_empty())
    }
}

/// A scan is given up at once when the process is about to end.
impl Drop for KafkaViewsTopic {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
    }
}
