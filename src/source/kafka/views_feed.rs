//! The topic of views in Kafka, as a replica reads it: one consumer, and a thread that asks the cluster what the topic is.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::client::Client;
use super::consumer_config::consumer_config;
use super::error_context::ErrorContext;
use super::fetch_errors::meaning;
use super::topic_settings::delete_retention_of;
use super::views_topic::{KafkaViewsTopic, ViewsTopicSettings, unavailable};
use super::{KafkaSettings, metadata};
use crate::domain::TopicId;
use crate::source::views_feed::{FeedError, FeedItem, FoundViewsTopic, ViewsFeed};
use crate::source::views_topic::{FoundRecord, ViewsTopicError};

/// The group id, which librdkafka requires, although nothing is ever written for the group.
const GROUP: &str = "optview-replica";
/// The most records, and bytes of values, that one read gives, but for the last record.
const RECORDS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;

/// The cluster's last answer about the topic, until it is taken.
type Answer = Arc<Mutex<Option<Result<FoundViewsTopic, ViewsTopicError>>>>;

/// A topic of views in a cluster, to be read.
pub struct KafkaViewsFeed {
    settings: KafkaSettings,
    topic: String,
    answer: Answer,
    questions: Sender<()>,
    consumer: Option<Client<ErrorContext>>,
}

impl KafkaViewsFeed {
    /// Begins to ask for the topic, on a thread of its own.
    ///
    /// # Errors
    /// The process may start no more threads.
    pub fn start(settings: KafkaSettings, topic: &str) -> io::Result<KafkaViewsFeed> {
        let answer = Answer::default();
        let (questions, received) = channel();
        let mut question =
            TopicQuestion { settings: settings.clone(), topic: topic.to_owned(), retention: None, cluster: None };
        let answered = answer.clone();
        std::thread::Builder::new().name("replica-topic".to_owned()).spawn(move || {
            for () in received {
                let found = question.ask();
                *answered.lock() = Some(found);
            }
        })?;
        Ok(KafkaViewsFeed { settings, topic: topic.to_owned(), answer, questions, consumer: None })
    }
}

/// The question what a topic is, which is asked again and again.
struct TopicQuestion {
    settings: KafkaSettings,
    topic: String,
    /// The time for which the topic keeps nulls, as it was answered last.
    retention: Option<Duration>,
    /// The id of the cluster that had the topic of this id.
    cluster: Option<(Option<TopicId>, String)>,
}

impl TopicQuestion {
    fn ask(&mut self) -> Result<FoundViewsTopic, ViewsTopicError> {
        let topic = ViewsTopicSettings { name: self.topic.clone(), partitions: 1, replication_factor: None };
        let topic = KafkaViewsTopic::new(self.settings.clone(), topic, Arc::default());
        let (identity, bounds) = topic.identity_and_bounds()?;
        self.retention = delete_retention_of(&self.settings, &self.topic).map_err(unavailable)?.or(self.retention);
        let bounds = bounds.into_iter().map(|(partition, bounds)| (partition.partition, bounds)).collect();
        let cluster_id = self.cluster_of(identity.id)?;
        Ok(FoundViewsTopic { cluster_id, id: identity.id, bounds, delete_retention: self.retention })
    }

    /// Returns the id of the cluster that has the topic of this id. It is asked again only if the topic is another one.
    fn cluster_of(&mut self, topic_id: Option<TopicId>) -> Result<Option<String>, ViewsTopicError> {
        if self.cluster.as_ref().is_none_or(|(of_topic, _)| *of_topic != topic_id) {
            let id = metadata::cluster_id(&self.settings).map_err(unavailable)?;
            self.cluster = id.map(|id| (topic_id, id));
        }
        Ok(self.cluster.as_ref().map(|(_, id)| id.clone()))
    }
}

impl ViewsFeed for KafkaViewsFeed {
    fn ask(&mut self) {
        self.answer.lock().take();
        // The thread ends with the feed only.
        let _ = self.questions.send(());
    }

    fn find(&mut self) -> Option<Result<FoundViewsTopic, ViewsTopicError>> {
        self.answer.lock().take()
    }

    fn begin(&mut self, from: &BTreeMap<i32, i64>) -> Result<(), FeedError> {
        if let Some(before) = self.consumer.take() {
            before.mark_replaced();
        }
        let mut config = consumer_config(&self.settings, GROUP);
        config.set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer<ErrorContext> =
            config.create_with_context(ErrorContext::default()).map_err(failed)?;
        let mut assigned = TopicPartitionList::new();
        for (partition, offset) in from {
            assigned.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset)).map_err(failed)?;
        }
        consumer.assign(&assigned).map_err(failed)?;
        self.consumer = Some(Client::new(consumer));
        Ok(())
    }

    fn read(&mut self, longest: Duration, take: &mut dyn FnMut(&FeedItem<'_>)) -> Result<(), FeedError> {
        let Some(consumer) = &self.consumer else {
            return Err(FeedError("it has not been begun to be read".to_owned()));
        };
        let (mut wait, mut bytes) = (longest, 0);
        for _ in 0..RECORDS_MAX {
            match consumer.poll(std::mem::take(&mut wait)) {
                Some(Ok(record)) => {
                    bytes += record.payload_len();
                    take(&FeedItem::Record(found(&record)));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => take(&FeedItem::End(partition)),
                Some(Err(error)) => check(consumer, &error)?,
                None => break,
            }
            if bytes >= BYTES_MAX {
                break;
            }
        }
        Ok(())
    }
}

fn found<'a>(record: &'a BorrowedMessage<'_>) -> FoundRecord<'a> {
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    FoundRecord {
        partition: record.partition(),
        offset: record.offset(),
        key: record.key().unwrap_or_default(),
        value: record.payload(),
        headers: headers.map(|header| (header.key, header.value.unwrap_or_default())).collect(),
    }
}

/// Checks whether reading goes on after an error. librdkafka may have passed over what it could not read.
fn check(consumer: &BaseConsumer<ErrorContext>, error: &KafkaError) -> Result<(), FeedError> {
    match error.rdkafka_error_code() {
        // No more is fetched of the partition after it.
        Some(RDKafkaErrorCode::AutoOffsetReset) => {
            Err(FeedError(format!("a broker does not have the offset that is to be read next ({error})")))
        }
        Some(code) if meaning(code).is_passing() => {
            tracing::debug!(%error, "reading the topic of views");
            Ok(())
        }
        _ => Err(FeedError(consumer.context().explain(error))),
    }
}

fn failed(error: KafkaError) -> FeedError {
    FeedError(format!("no client can be made of the settings of Kafka: {error}"))
}
