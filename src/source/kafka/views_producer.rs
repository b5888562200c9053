//! The producer of the topic of views: one transaction at a time, under an id that only one producer can have. Its calls block, so
//! that it belongs to a thread of its own.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::KafkaSettings;
use super::delivery_context::DeliveryContext;
use crate::source::views_topic::{ViewsRecord, ViewsTopicError};

/// The longest time that one call of librdkafka waits before it is looked whether the process is about to end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The pause while the queue of records is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// The pause after a transaction, in which the brokers write its end to the partitions. A transaction that begins before they have is
/// refused, and librdkafka tries it again after 20 ms.
const BETWEEN_TRANSACTIONS: Duration = Duration::from_millis(5);
/// The pause before it is looked again whether every record is delivered, at the beginning of a wait.
const FIRST_DELIVERY_PAUSE: Duration = Duration::from_micros(100);
/// The same pause at the end of a long wait.
const LONGEST_DELIVERY_PAUSE: Duration = Duration::from_millis(10);

/// A producer that has fenced every other one of its id. A record that is not delivered makes the commit fail.
pub struct ViewsProducer {
    inner: BaseProducer<DeliveryContext<()>>,
    topic: String,
    is_stopping: Arc<AtomicBool>,
    /// The time at which the last transaction ended.
    ended: Cell<Option<Instant>>,
}

impl ViewsProducer {
    /// Makes a producer and fences those before it.
    ///
    /// # Errors
    /// The settings make none, the cluster refuses it, or no broker answers.
    pub fn fence_others(
        settings: &KafkaSettings,
        topic: &str,
        transactional_id: &str,
        is_stopping: Arc<AtomicBool>,
    ) -> Result<ViewsProducer, ViewsTopicError> {
        let inner: BaseProducer<DeliveryContext<()>> = config(settings, transactional_id)
            .create_with_context(DeliveryContext::default())
            .map_err(|error| {
                ViewsTopicError::Refused(format!("no producer can be made of the settings of Kafka: {error}"))
            })?;
        let producer = ViewsProducer { inner, topic: topic.to_owned(), is_stopping, ended: Cell::new(None) };
        producer.repeat(|inner| inner.init_transactions(LOOK_EVERY))?;
        Ok(producer)
    }

    /// Puts records on the topic in one transaction, which is committed when this returns.
    ///
    /// # Errors
    /// Nothing of it is on the topic if the error is [`ViewsTopicError::Unavailable`]; otherwise that is not known.
    pub fn publish(&self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        if let Some(ended) = self.ended.take() {
            std::thread::sleep(BETWEEN_TRANSACTIONS.saturating_sub(ended.elapsed()));
        }
        self.inner.begin_transaction().map_err(|error| self.meaning(&error))?;
        let sent = records.iter().try_for_each(|record| self.send(record));
        self.wait_until_delivered();
        match sent.and_then(|()| self.repeat(|inner| inner.commit_transaction(LOOK_EVERY))) {
            Err(ViewsTopicError::Unavailable(why)) => {
                self.repeat(|inner| inner.abort_transaction(LOOK_EVERY))?;
                Err(ViewsTopicError::Unavailable(why))
            }
            ended => {
                self.ended.set(Some(Instant::now()));
                ended
            }
        }
    }

    /// Waits until every record is delivered or has failed, which a transaction's timeout bounds. The crate's own waits do not do: the flush
    /// with which a commit begins takes a tenth of a second whatever comes meanwhile, and a poll is busy for its last millisecond.
    fn wait_until_delivered(&self) {
        let begin = Instant::now();
        let mut waiting = self.inner.in_flight_count();
        while waiting > 0 && !self.is_stopping.load(Ordering::Acquire) {
            self.inner.poll(Duration::ZERO);
            let left = self.inner.in_flight_count();
            if left == waiting {
                // It ends at most an eighth later than it could.
                let pause = (begin.elapsed() / 8).clamp(FIRST_DELIVERY_PAUSE, LONGEST_DELIVERY_PAUSE);
                std::thread::sleep(pause);
            }
            waiting = left;
        }
    }

    fn send(&self, record: &ViewsRecord) -> Result<(), ViewsTopicError> {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(&value[..]) })
            });
        let mut sent = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .partition(record.partition)
            .key(&record.key[..])
            .headers(headers);
        sent.payload = record.value.as_deref();
        loop {
            match self.inner.send(sent) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    sent = returned;
                    std::thread::sleep(QUEUE_PAUSE);
                    self.inner.poll(Duration::ZERO);
                }
                Err((error, _)) => return Err(self.meaning(&error)),
            }
        }
    }

    /// Repeats a call for as long as librdkafka says that it is to be repeated.
    fn repeat(
        &self,
        call: impl Fn(&BaseProducer<DeliveryContext<()>>) -> Result<(), KafkaError>,
    ) -> Result<(), ViewsTopicError> {
        loop {
            let Err(error) = call(&self.inner) else {
                self.inner.context().reasons.clear();
                return Ok(());
            };
            let is_for_a_moment = match &error {
                KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
                KafkaError::Transaction(error) => error.is_retriable() && !error.txn_requires_abort(),
                _ => false,
            };
            if !is_for_a_moment {
                return Err(self.meaning(&error));
            }
            if self.is_stopping.load(Ordering::Acquire) {
                return Err(ViewsTopicError::Lost("the process is about to end".to_owned()));
            }
        }
    }

    /// Returns what an error of librdkafka means for the publisher.
    fn meaning(&self, error: &KafkaError) -> ViewsTopicError {
        let fatal = self.inner.client().fatal_error().map(|(code, _)| code);
        let (code, requires_abort) = match error {
            KafkaError::Transaction(error) => (Some(error.code()), error.txn_requires_abort()),
            error => (error.rdkafka_error_code(), false),
        };
        let text = self.inner.context().reasons.explain(error);
        for code in [fatal, code].into_iter().flatten() {
            match code {
                RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch => return ViewsTopicError::Fenced(text),
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                    return ViewsTopicError::Refused(format!(
                        "{text}; the user needs the rights to describe and write the topic `{}` and to describe and write the \
                         transactional id `{}`",
                        self.topic,
                        transactional_id(&self.topic)
                    ));
                }
                _ => {}
            }
        }
        // A delivery that failed, or a broker's answer, ends the transaction only.
        let ends_transaction = requires_abort || matches!(error, KafkaError::Flush(_));
        match fatal {
            None if ends_transaction => ViewsTopicError::Unavailable(text),
            _ => ViewsTopicError::Lost(text),
        }
    }
}

/// Returns the transactional id under which views are published on a topic. There is one for each topic, so that there is one publisher.
pub fn transactional_id(topic: &str) -> String {
    format!("optview-views-{topic}")
}

/// Returns librdkafka's settings for a producer of views under this id.
pub(super) fn config(settings: &KafkaSettings, transactional_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "optview"),
        ("linger.ms", "1"),
        ("compression.type", "lz4"),
        ("batch.num.messages", "10000"),
        ("log.connection.close", "false"),
        ("reconnect.backoff.max.ms", "2000"),
        ("retry.backoff.ms", "10"),
        ("transaction.timeout.ms", "60000"),
    ] {
        config.set(key, value);
    }
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("transactional.id", transactional_id)
        // This implies acks=all, and that the records of a partition stay in their order.
        .set("enable.idempotence", "true");
    config
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::source::TopicNames;

    const TOPIC: &str = "views";

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    fn cluster() -> (Cluster, KafkaSettings) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        let (brokers, topics) = (cluster.bootstrap_servers(), TopicNames::default());
        (cluster, KafkaSettings { brokers, topics, properties: Vec::new() })
    }

    fn producer(settings: &KafkaSettings) -> ViewsProducer {
        ViewsProducer::fence_others(settings, TOPIC, "id", Arc::default()).unwrap()
    }

    fn records() -> Vec<ViewsRecord> {
        let record = |partition| ViewsRecord {
            partition,
            key: b"key".to_vec(),
            value: Some(b"value".to_vec()),
            headers: Vec::new(),
        };
        vec![record(0), record(1)]
    }

    fn meaning(error: &ViewsTopicError) -> &'static str {
        match error {
            ViewsTopicError::Fenced(_) => "fence",
            ViewsTopicError::Lost(_) => "loss",
            ViewsTopicError::Refused(_) => "refusal",
            ViewsTopicError::Unavailable(_) => "abort",
        }
    }

    /// Each error as a broker answers it, at each request of a transaction.
    #[test]
    fn what_a_broker_refuses_is_a_fence_a_loss_or_the_end_of_one_transaction() {
        use RDKafkaApiKey::{AddPartitionsToTxn, EndTxn, Produce};
        use RDKafkaRespErr as Answer;
        let cases = [
            (AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fence"),
            (AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fence"),
            (AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, "loss"),
            (AddPartitionsToTxn, Answer::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "refusal"),
            (Produce, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fence"),
            (Produce, Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "abort"),
            (EndTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fence"),
            (EndTxn, Answer::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fence"),
            (EndTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, "loss"),
            (EndTxn, Answer::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, "abort"),
        ];
        for (request, answer, expected) in cases {
            let (cluster, settings) = cluster();
            let before = producer(&settings);
            before.publish(&records()).unwrap();
            cluster.request_errors(request, &[answer]);
            let error = before.publish(&records()).unwrap_err();
            assert_eq!(meaning(&error), expected, "{request:?} {answer:?}: {error:?}");
            // Whatever it was, a publisher that begins anew can go on.
            cluster.clear_request_errors(request);
            let next = if expected == "abort" { before } else { producer(&settings) };
            // The first transaction may still be about records that came before.
            assert!((0..10).any(|_| next.publish(&records()).is_ok()), "{request:?} {answer:?}");
        }
    }

    /// A broker answers after some time, in which a core has other work.
    #[test]
    fn a_publisher_that_waits_for_brokers_keeps_no_core_busy() {
        let (cluster, settings) = cluster();
        let producer = producer(&settings);
        producer.publish(&records()).unwrap();
        cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
        let (begin, used_before) = (Instant::now(), cpu_time());
        producer.publish(&records()).unwrap();
        let (waited, used) = (begin.elapsed(), cpu_time() - used_before);
        assert!(waited > Duration::from_millis(400) && used < waited / 10, "{used:?} of {waited:?}");
    }

    /// Returns the time for which a core has worked for this thread, as Linux counts it in hundredths of a second.
    fn cpu_time() -> Duration {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let hundredths: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * hundredths)
    }
}
