//! Actions of an operator and of other producers on the topics: records of any bytes, deleted topics, deleted
//! records, added partitions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use optview::domain::Topic;
use optview::source::kafka::admin;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::rig::{DEADLINE, Rig, wait_until};

/// A record as any producer may write it.
#[derive(Clone, Debug)]
pub struct PutRecord {
    pub topic: Topic,
    /// The partition; `None` for the one that the key selects.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub content_type: Option<&'static str>,
}

impl PutRecord {
    pub fn new(topic: Topic, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> PutRecord {
        PutRecord { topic, partition: None, key: Some(key.into()), value: Some(value.into()), content_type: None }
    }

    pub fn to(self, partition: i32) -> PutRecord {
        PutRecord { partition: Some(partition), ..self }
    }
}

/// Puts records on the topics, and waits until they are delivered.
pub fn put(rig: &Rig, records: &[PutRecord]) {
    let mut config = rig.settings.client_config();
    config.set("linger.ms", "5").set("message.timeout.ms", "60000");
    let producer: BaseProducer<DeliveryCount> =
        config.create_with_context(DeliveryCount::default()).expect("a producer");
    records.iter().for_each(|record| send(rig, &producer, record));
    producer.flush(DEADLINE).expect("records that are delivered");
    assert_eq!(producer.context().0.load(Ordering::Relaxed), records.len(), "records that are delivered");
}

/// Sends a record. Waits while the queue is full.
pub fn send<C: ProducerContext<DeliveryOpaque = ()>>(rig: &Rig, producer: &BaseProducer<C>, record: &PutRecord) {
    let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(rig.settings.topics.get(record.topic));
    message.partition = record.partition;
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    message.headers = record
        .content_type
        .map(|content_type| OwnedHeaders::new().insert(Header { key: "content-type", value: Some(content_type) }));
    while let Err((error, returned)) = producer.send(message) {
        assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
        producer.poll(Duration::from_millis(10));
        message = returned;
    }
}

/// Counts the delivered records.
#[derive(Default)]
struct DeliveryCount(AtomicUsize);

impl ClientContext for DeliveryCount {}

impl ProducerContext for DeliveryCount {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
    }
}

/// Creates one of the three topics, for a test that must not have all of them.
pub fn create_topic(rig: &Rig, topic: Topic, partitions: i32) {
    let wanted = NewTopic::new(rig.settings.topics.get(topic), partitions, TopicReplication::Fixed(-1));
    let answers = block_on(client(rig).create_topics(&[wanted], &options())).expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Creates a compacted topic whose partitions lie on one broker.
pub fn create_compacted_topic(rig: &Rig, name: &str, partitions: usize, broker: i32) {
    let place = [broker];
    let places = vec![&place[..]; partitions];
    let wanted = NewTopic::new(name, partitions as i32, TopicReplication::Variable(&places));
    let answers = block_on(client(rig).create_topics(&[wanted.set("cleanup.policy", "compact")], &options()))
        .expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Removes a topic, and waits until the cluster no longer lists it.
pub fn delete_topic(rig: &Rig, topic: Topic) {
    let name = rig.settings.topics.get(topic);
    let admin = client(rig);
    let answers = block_on(admin.delete_topics(&[name], &options())).expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    wait_until("the topic is gone", || {
        let metadata = admin.inner().fetch_metadata(None, DEADLINE).ok()?;
        metadata.topics().iter().all(|held| held.name() != name).then_some(())
    });
}

/// Increases a topic's number of partitions to `in_all`.
pub fn add_partitions(rig: &Rig, topic: Topic, in_all: usize) {
    let wanted = NewPartitions::new(rig.settings.topics.get(topic), in_all);
    let answers = block_on(client(rig).create_partitions(&[wanted], &options())).expect("an answer");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let there = || admin::ensure_topics(&rig.settings, 1).ok().filter(|there| there[&topic] == in_all as i32);
    wait_until("the new partitions have leaders", there);
}

/// Deletes the records below `offset`, as retention does.
pub fn delete_records(rig: &Rig, topic: Topic, partition: i32, offset: i64) {
    let mut below = TopicPartitionList::new();
    let name = rig.settings.topics.get(topic);
    below.add_partition_offset(name, partition, Offset::Offset(offset)).expect("an offset");
    let done = block_on(client(rig).delete_records(&below, &options())).expect("an answer");
    done.elements().iter().for_each(|element| element.error().expect("records that can be deleted"));
}

fn client(rig: &Rig) -> AdminClient<DefaultClientContext> {
    rig.settings.client_config().create().expect("an admin client")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(DEADLINE)).request_timeout(Some(DEADLINE))
}

/// Waits for an answer. It comes on a thread of rdkafka's own, so that a bare runtime is enough.
fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}
