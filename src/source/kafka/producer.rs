//! Puts records on the topics, for trials (`load`, `demo` and the tests) and from an archive. Each record is there once, in the order sent
//! within its partition, or [`Producer::finish`] says which one is not.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::domain::{Record, Topic};
use crate::source::TopicNames;

use super::KafkaSettings;
use super::reasons::Reasons;

// `why` and not `source`: each message has it already, and a chain of errors is printed whole.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("cannot make a producer: {0}")]
    Setup(KafkaError),
    /// `record` counts from 0, in the order sent.
    #[error("record {record} of those sent, to partition {partition} of {topic}, was not delivered: {why}")]
    Undelivered { record: usize, topic: String, partition: i32, why: String },
    #[error("record {record} of those sent, to {topic}, was not taken: {why}")]
    NotTaken { record: usize, topic: String, why: KafkaError },
    #[error("{waiting} records are still waiting to be delivered after {} s: {why}", .after.as_secs())]
    Unfinished { waiting: i32, after: Duration, why: String },
}

pub struct Producer {
    inner: BaseProducer<FirstFailure>,
    topics: TopicNames,
    failure: Arc<Mutex<Option<ProduceError>>>,
    sent: usize,
}

/// How long the last records may take once all are sent; librdkafka itself gives up on each after less.
const FINISH_DEADLINE: Duration = Duration::from_secs(90);

impl Producer {
    pub fn new(settings: &KafkaSettings) -> Result<Producer, ProduceError> {
        let failure = Arc::new(Mutex::new(None));
        let context = FirstFailure { failure: failure.clone(), reasons: Reasons::default() };
        let inner = config(settings).create_with_context(context).map_err(ProduceError::Setup)?;
        Ok(Producer { inner, topics: settings.topics.clone(), failure, sent: 0 })
    }

    /// Waits where the queue is full. `None` as a value is a null one. Fails with the first record that could not be
    /// delivered, which may be one sent long before.
    pub fn send(&mut self, topic: Topic, key: &str, value: Option<&[u8]>) -> Result<(), ProduceError> {
        self.put(topic, |record| {
            record.key = Some(key.as_bytes());
            record.payload = value;
        })
    }

    /// As [`Producer::send`], with all that the record has: its partition, its time, its headers, and null where it is null.
    pub fn copy(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.put(record.position.topic, |copy| {
            copy.partition = Some(record.position.partition);
            // Without one, librdkafka would take the time of now; -1 is Kafka's word for none.
            copy.timestamp = Some(record.timestamp_millis.unwrap_or(-1));
            copy.key = record.key;
            copy.payload = record.value;
            let headers = |headers: OwnedHeaders, &(key, value)| headers.insert(Header { key, value });
            let many = record.headers.len();
            copy.headers =
                (many > 0).then(|| record.headers.iter().fold(OwnedHeaders::new_with_capacity(many), headers));
        })
    }

    fn put<'a>(
        &'a mut self,
        topic: Topic,
        fill: impl FnOnce(&mut BaseRecord<'a, [u8], [u8], usize>),
    ) -> Result<(), ProduceError> {
        let name = self.topics.get(topic);
        let mut record = BaseRecord::with_opaque_to(name, self.sent);
        fill(&mut record);
        // Rarely enough to cost nothing, often enough that a failure is seen while it matters.
        if self.sent.is_multiple_of(1024) {
            self.poll(Duration::ZERO)?;
        }
        loop {
            match self.inner.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    record = returned;
                    self.poll(Duration::from_millis(10))?;
                }
                Err((why, _)) => {
                    let topic = name.to_owned();
                    return Err(ProduceError::NotTaken { record: self.sent, topic, why });
                }
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits for so long, lets librdkafka report, and fails with the first record that was not delivered.
    pub fn poll(&self, wait: Duration) -> Result<(), ProduceError> {
        // Not by the crate, which waits for whole milliseconds, and asks again and again for the rest.
        std::thread::sleep(wait);
        self.inner.poll(Duration::ZERO);
        self.failure.lock().take().map_or(Ok(()), Err)
    }

    /// Waits until everything is delivered. Returns how many records that were.
    pub fn finish(self) -> Result<usize, ProduceError> {
        let flushed = self.inner.flush(FINISH_DEADLINE);
        if let Some(failure) = self.failure.lock().take() {
            return Err(failure);
        }
        match flushed {
            Ok(()) => Ok(self.sent),
            Err(why) => {
                let waiting = self.inner.in_flight_count();
                let why = self.inner.context().reasons.explain(&why);
                Err(ProduceError::Unfinished { waiting, after: FINISH_DEADLINE, why })
            }
        }
    }
}

fn config(settings: &KafkaSettings) -> ClientConfig {
    // The defaults for bulk, which users may override: big batches cost the broker least.
    let mut config = ClientConfig::new();
    config
        .set("linger.ms", "20")
        .set("batch.size", "1048576")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "200000")
        .set("compression.type", "lz4")
        .set("message.timeout.ms", "60000");
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        // With it comes acks=all; a retry neither repeats a record nor lets it pass another.
        .set("enable.idempotence", "true")
        // One call back a record costs more than the record: those that arrive say nothing.
        .set("delivery.report.only.error", "true");
    config
}

/// Keeps the first delivery that failed; those after it follow from it.
struct FirstFailure {
    failure: Arc<Mutex<Option<ProduceError>>>,
    reasons: Reasons,
}

impl ClientContext for FirstFailure {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reasons.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reasons.error(error, reason);
    }
}

impl ProducerContext for FirstFailure {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, record: usize) {
        if let Err((why, message)) = result {
            self.failure.lock().get_or_insert_with(|| ProduceError::Undelivered {
                record,
                topic: message.topic().to_owned(),
                partition: message.partition(),
                why: self.reasons.explain(why),
            });
        }
    }
}
