//! Puts records on the topics, for trials (`load`, `demo` and the tests) and from an archive. Each record arrives
//! once, and those of a partition in the order in which they were sent; otherwise [`Producer::finish`] names the
//! one that did not arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::domain::{Record, Topic};
use crate::source::TopicNames;

use super::KafkaSettings;
use super::delivery_context::DeliveryContext;

// The field is `why` and not `source`, because each message contains it and error chains are printed whole.
/// The reason for which records did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The settings do not make a producer.
    #[error("cannot make a producer: {0}")]
    Setup(KafkaError),
    /// `record` counts from 0 in the order of sending.
    #[error("record {record} of those sent, to partition {partition} of {topic}, was not delivered: {why}")]
    Undelivered {
        /// The number of the record, counted from 0 in the order of sending.
        record: usize,
        /// The name of the topic in the cluster.
        topic: String,
        /// The partition that the record was to get to.
        partition: i32,
        /// The last error that was reported.
        why: String,
    },
    /// The client refused a record before it sent it.
    #[error("record {record} of those sent, to {topic}, was not taken: {why}")]
    NotTaken {
        /// The number of the record, counted from 0 in the order of sending.
        record: usize,
        /// The name of the topic in the cluster.
        topic: String,
        /// The client's error.
        why: KafkaError,
    },
    /// Records are still waiting after the deadline, and nothing has been reported that would end their wait.
    #[error("{waiting} records are still waiting to be delivered after {} s: {why}", .after.as_secs())]
    Unfinished {
        /// Number of records that are not known to be delivered.
        waiting: usize,
        /// The deadline.
        after: Duration,
        /// The last error that was reported, or that no broker takes the records.
        why: String,
    },
}

/// A producer that repeats no record, keeps the order of those of a partition, and counts a record as delivered
/// only once all in-sync replicas have it.
pub struct Producer {
    inner: BaseProducer<DeliveryContext<usize>>,
    topics: TopicNames,
    failure: Arc<Mutex<Option<ProduceError>>>,
    sent: usize,
    deliveries: Mutex<Deliveries>,
}

/// Time limit of the last deliveries once all records are sent, and of a pause in deliveries before that.
/// librdkafka itself gives up on each record earlier, unless `message.timeout.ms` differs or it has lost its
/// brokers for good. A second producer could not know which of the waiting records have arrived.
const FINISH_DEADLINE: Duration = Duration::from_secs(90);

impl Producer {
    /// Creates a producer without waiting for the cluster.
    pub fn new(settings: &KafkaSettings) -> Result<Producer, ProduceError> {
        let failure = Arc::new(Mutex::new(None));
        let context = context(failure.clone());
        let inner = config(settings).create_with_context(context).map_err(ProduceError::Setup)?;
        let deliveries = Mutex::new(Deliveries { delivered: 0, since: Instant::now() });
        Ok(Producer { inner, topics: settings.topics.clone(), failure, sent: 0, deliveries })
    }

    /// Sends a record. Waits while the queue is full. The value `None` is null. Fails with the first record that
    /// could not be delivered, which may be an earlier one.
    pub fn send(&mut self, topic: Topic, key: &str, value: Option<&[u8]>) -> Result<(), ProduceError> {
        self.put(topic, |record| {
            record.key = Some(key.as_bytes());
            record.payload = value;
        })
    }

    /// Sends a record with its own partition, timestamp, headers and null values, like [`Producer::send`]
    /// otherwise.
    pub fn copy(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.put(record.position.topic, |copy| {
            copy.partition = Some(record.position.partition);
            // Without a timestamp, librdkafka would use the present time; -1 is Kafka's value for none.
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
        // The interval is long enough to cost nothing, and short enough for a failure to be seen while it matters.
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

    /// Waits for the time `wait`, lets librdkafka report, and fails with the first record that was not delivered.
    pub fn poll(&self, wait: Duration) -> Result<(), ProduceError> {
        // The crate's own wait rounds to whole milliseconds and polls busily for the rest.
        std::thread::sleep(wait);
        self.inner.poll(Duration::ZERO);
        self.failure.lock().take().map_or(Ok(()), Err)?;
        let waiting = self.waiting();
        match self.deliveries.lock().have_stalled(self.sent, waiting, Instant::now()) {
            true => Err(self.unfinished(self.inner.context().reasons.last().map(|(_, why)| why))),
            false => Ok(()),
        }
    }

    /// Number of records that are not known to be delivered.
    fn waiting(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    fn unfinished(&self, why: Option<String>) -> ProduceError {
        let why = why.unwrap_or_else(|| "no broker takes them".to_owned());
        ProduceError::Unfinished { waiting: self.waiting(), after: FINISH_DEADLINE, why }
    }

    /// Waits until every record is delivered. Returns the number of records.
    pub fn finish(self) -> Result<usize, ProduceError> {
        let flushed = self.inner.flush(FINISH_DEADLINE);
        if let Some(failure) = self.failure.lock().take() {
            return Err(failure);
        }
        match flushed {
            Ok(()) => Ok(self.sent),
            Err(why) => Err(self.unfinished(Some(self.inner.context().reasons.explain(&why)))),
        }
    }
}

/// The number of delivered records, and the time at which it last grew.
struct Deliveries {
    delivered: usize,
    since: Instant,
}

impl Deliveries {
    /// Returns true if records have waited for [`FINISH_DEADLINE`] without a single delivery.
    fn have_stalled(&mut self, sent: usize, waiting: usize, now: Instant) -> bool {
        let delivered = sent.saturating_sub(waiting);
        if waiting == 0 || delivered != self.delivered {
            *self = Deliveries { delivered, since: now };
        }
        now.saturating_duration_since(self.since) >= FINISH_DEADLINE
    }
}

/// Returns a context that keeps the first failed delivery, because later ones follow from it.
fn context(failure: Arc<Mutex<Option<ProduceError>>>) -> DeliveryContext<usize> {
    DeliveryContext::new(move |reasons, result, record| {
        if let Err((why, message)) = result {
            failure.lock().get_or_insert_with(|| ProduceError::Undelivered {
                record,
                topic: message.topic().to_owned(),
                partition: message.partition(),
                why: reasons.explain(why),
            });
        }
    })
}

fn config(settings: &KafkaSettings) -> ClientConfig {
    // Users may override these defaults for bulk: big batches cost the broker least.
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
        // This implies acks=all. A retry neither repeats a record nor lets it overtake another.
        .set("enable.idempotence", "true")
        // A callback for each record costs more than the record, so that successes are not reported.
        .set("delivery.report.only.error", "true");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_stand_still_where_records_wait_and_none_arrives() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut deliveries = Deliveries { delivered: 0, since: begin };
        assert!(!deliveries.have_stalled(0, 0, at(1_000)), "nothing waits");
        assert!(!deliveries.have_stalled(10, 10, at(1_089)));
        assert!(!deliveries.have_stalled(20, 19, at(1_089)), "one has arrived");
        assert!(!deliveries.have_stalled(200, 199, at(1_178)));
        assert!(deliveries.have_stalled(300, 299, at(1_179)), "more are sent, and none of them arrives");
        assert!(!deliveries.have_stalled(300, 298, at(1_180)));
        assert!(!deliveries.have_stalled(300, 0, at(2_000)));
    }
}
