//! Writes dead letters to a topic of their own, on a thread of its own. A letter is written until all in-sync replicas have it: in
//! what order, and whether twice, does not matter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::KafkaSettings;
use super::delivery_context::DeliveryContext;
use crate::source::{Acknowledgments, LetterInbox, OutgoingLetter};

/// The interval at which acknowledgments are taken in.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// The time after which letters are sent again that were not taken.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The time without any acknowledgment after which letters are reported to be stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Starts the thread, which ends when the other end of the inbox is gone.
///
/// # Errors
/// No thread can be started.
pub fn start(settings: &KafkaSettings, topic: &str, inbox: LetterInbox) -> std::io::Result<()> {
    let (config, topic) = (config(settings), topic.to_owned());
    thread::Builder::new().name("dead-letters".to_owned()).spawn(move || run(&config, topic, inbox)).map(drop)
}

fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "optview")
        .set("message.timeout.ms", "30000")
        // A letter is as large as its record. What the topic takes, the broker decides.
        .set("message.max.bytes", "33554432")
        .set("reconnect.backoff.max.ms", "2000");
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &settings.brokers).set("acks", "all").set("allow.auto.create.topics", "false");
    config
}

fn run(config: &ClientConfig, topic: String, inbox: LetterInbox) {
    let LetterInbox { letters, acknowledgments } = inbox;
    // Most generations have no letter to write, and need no client.
    let Ok(first) = letters.recv() else { return };
    let ended = Arc::default();
    let producer = loop {
        match config.create_with_context(context(&ended)) {
            Ok(producer) => break producer,
            Err(error) => {
                acknowledgments.set_trouble(Some(format!("librdkafka makes no producer: {error}")));
                thread::sleep(STUCK_AFTER);
            }
        }
    };
    let mut writer = LetterWriter::new(producer, ended, topic, acknowledgments);
    writer.take(first);
    loop {
        let next = match writer.is_idle() {
            true => letters.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => letters.recv_timeout(POLL_EVERY),
        };
        match next {
            Ok(letter) => {
                writer.take(letter);
                letters.try_iter().for_each(|letter| writer.take(letter));
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Whoever wanted acknowledgments has waited for them.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        writer.turn(Instant::now());
    }
}

/// Returns a context that keeps what became of each letter until the thread looks.
fn context(ended: &EndedDeliveries) -> DeliveryContext<Box<WaitingLetter>> {
    let ended = ended.clone();
    DeliveryContext::new(move |_, result, waiting| {
        let result = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        ended.lock().push(Delivery { waiting, result });
    })
}

/// A letter that is not acknowledged.
struct WaitingLetter {
    number: u64,
    letter: OutgoingLetter,
    /// Its size when it came.
    bytes: u64,
}

/// The end of an attempt to write a letter.
struct Delivery {
    waiting: Box<WaitingLetter>,
    result: Result<(), KafkaError>,
}

/// The deliveries that have ended and were not looked at.
type EndedDeliveries = Arc<Mutex<Vec<Delivery>>>;

struct LetterWriter {
    producer: BaseProducer<DeliveryContext<Box<WaitingLetter>>>,
    ended: EndedDeliveries,
    topic: String,
    acknowledgments: Acknowledgments,
    /// The letters that the client does not have.
    queue: VecDeque<Box<WaitingLetter>>,
    /// Number of letters that the client has.
    in_flight: usize,
    retry_at: Option<Instant>,
    /// The time of the last acknowledgment, or from which on letters have waited.
    heard: Option<Instant>,
    has_trouble: bool,
}

impl LetterWriter {
    fn new(
        producer: BaseProducer<DeliveryContext<Box<WaitingLetter>>>,
        ended: EndedDeliveries,
        topic: String,
        acknowledgments: Acknowledgments,
    ) -> LetterWriter {
        LetterWriter {
            producer,
            ended,
            topic,
            acknowledgments,
            queue: VecDeque::new(),
            in_flight: 0,
            retry_at: None,
            heard: None,
            has_trouble: false,
        }
    }

    fn take(&mut self, (number, letter): (u64, OutgoingLetter)) {
        let bytes = letter.size();
        self.queue.push_back(Box::new(WaitingLetter { number, letter, bytes }));
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    /// Hands letters to the client, and takes in what became of those before.
    fn turn(&mut self, now: Instant) {
        self.retry_at.take_if(|at| now >= *at);
        while self.retry_at.is_none()
            && let Some(waiting) = self.queue.pop_front()
        {
            if !self.send(waiting, now) {
                break;
            }
        }
        self.producer.poll(Duration::ZERO);
        let ended = std::mem::take(&mut *self.ended.lock());
        self.in_flight -= ended.len();
        for Delivery { waiting, result } in ended {
            match result {
                Ok(()) => self.delivered(&waiting, now),
                Err(error) => self.failed(waiting, &error, now),
            }
        }
        self.notice_silence(now);
    }

    /// Hands a letter to the client. Returns false if that takes no more.
    fn send(&mut self, waiting: Box<WaitingLetter>, now: Instant) -> bool {
        let headers = waiting.letter.headers().iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_deref() })
        });
        let (key, value) = (waiting.letter.record.key.clone(), waiting.letter.record.value.clone());
        let timestamp = waiting.letter.record.timestamp_millis;
        let mut record: BaseRecord<'_, [u8], [u8], Box<WaitingLetter>> =
            BaseRecord::with_opaque_to(&self.topic, waiting).headers(headers);
        (record.key, record.payload, record.timestamp) = (key.as_deref(), value.as_deref(), timestamp);
        let refused = match self.producer.send(record) {
            Ok(()) => {
                self.in_flight += 1;
                return true;
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                self.queue.push_front(returned.delivery_opaque);
                return false;
            }
            Err((error, returned)) => (error, returned.delivery_opaque),
        };
        self.failed(refused.1, &refused.0, now);
        true
    }

    fn delivered(&mut self, waiting: &WaitingLetter, now: Instant) {
        self.acknowledgments.note(waiting.number, waiting.bytes);
        self.heard = Some(now);
        if std::mem::take(&mut self.has_trouble) {
            self.acknowledgments.set_trouble(None);
            tracing::info!(topic = self.topic, "the dead letter topic takes letters again");
        }
    }

    fn failed(&mut self, mut waiting: Box<WaitingLetter>, error: &KafkaError, now: Instant) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) && waiting.letter.cut() {
            let OutgoingLetter { partition, record, cut_from, .. } = &waiting.letter;
            tracing::warn!(
                topic = self.topic,
                value_bytes = cut_from,
                "{} is too large for the dead letter topic, which gets its beginning; raise max.message.bytes there",
                partition.at(record.position.offset)
            );
            self.queue.push_front(waiting);
            return;
        }
        self.queue.push_back(waiting);
        self.retry_at = Some(now + RETRY_AFTER);
        let why = self.producer.context().reasons.explain(error);
        self.note_trouble(why);
    }

    /// Reports letters that are stuck without an error of their own.
    fn notice_silence(&mut self, now: Instant) {
        if self.is_idle() {
            self.heard = None;
            return;
        }
        let heard = *self.heard.get_or_insert(now);
        if !self.has_trouble && now.saturating_duration_since(heard) >= STUCK_AFTER {
            let last = self.producer.context().reasons.last();
            self.note_trouble(last.map_or_else(|| "no broker takes them".to_owned(), |(_, why)| why));
        }
    }

    fn note_trouble(&mut self, why: String) {
        if !std::mem::replace(&mut self.has_trouble, true) {
            tracing::error!(topic = self.topic, "the dead letter topic takes no letters: {why}");
        }
        self.acknowledgments.set_trouble(Some(why));
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::Headers as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use rdkafka::{Message as _, Offset, TopicPartitionList};

    use super::*;
    use crate::domain::{NamedPartition, OwnedRecord, Topic, TopicPartition};
    use crate::source::{LetterOutlet, TopicNames, letter_outlet};

    const TOPIC: &str = "letters";

    fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaSettings) {
        let cluster = MockCluster::new(1).unwrap();
        let (brokers, topics) = (cluster.bootstrap_servers(), TopicNames::default());
        (cluster, KafkaSettings { brokers, topics, properties: Vec::new() })
    }

    fn letter(offset: i64, value: Vec<u8>) -> OutgoingLetter {
        let position = TopicPartition::new(Topic::Jobs, 2).at(offset);
        let headers = vec![("content-type".to_owned(), Some(b"text/plain".to_vec())), ("none".to_owned(), None)];
        let record =
            OwnedRecord { position, timestamp_millis: Some(5_000), key: None, value: Some(value), headers };
        let reason = "it is no event".to_owned();
        OutgoingLetter { partition: NamedPartition::new("jobs", 2), record, cut_from: None, reason }
    }

    fn await_letters(outlet: &LetterOutlet, number: u64) {
        let begin = Instant::now();
        while outlet.acknowledged() < number {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", outlet.trouble());
            thread::sleep(POLL_EVERY);
        }
    }

    /// Reads so many letters back: their values, their timestamps, and the names of their headers.
    fn read(settings: &KafkaSettings, count: usize) -> Vec<(Vec<u8>, Option<i64>, Vec<String>)> {
        let consumer: BaseConsumer = settings.client_config().set("group.id", "test").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut letters = Vec::new();
        while letters.len() < count {
            let message = consumer.poll(Duration::from_secs(30)).unwrap().unwrap();
            let names = message.headers().unwrap().iter().map(|header| header.key.to_owned()).collect();
            letters.push((message.payload().unwrap().to_vec(), message.timestamp().to_millis(), names));
        }
        letters
    }

    #[test]
    fn letters_are_written_again_until_the_topic_takes_them_and_those_that_are_too_large_are_cut() {
        let (cluster, settings) = cluster();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let (outlet, inbox) = letter_outlet(TOPIC);
        start(&settings, TOPIC, inbox).unwrap();
        outlet.send(letter(1, b"first".to_vec()));
        await_letters(&outlet, 1);
        // The client gives a letter up that it has no right to write, or that is too large.
        let no_right = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::Produce, &[no_right; 2]);
        outlet.send(letter(2, b"second".to_vec()));
        let begin = Instant::now();
        while outlet.trouble().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(60));
            thread::sleep(POLL_EVERY);
        }
        assert!(outlet.trouble().unwrap().contains("authorization"), "{:?}", outlet.trouble());
        await_letters(&outlet, 2);
        assert_eq!(outlet.trouble(), None);
        let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
        cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
        outlet.send(letter(3, vec![b'x'; 300_000]));
        await_letters(&outlet, 3);
        assert!(!outlet.is_full() && outlet.sent() == 3);
        let written = read(&settings, 3);
        let lengths: Vec<usize> = written.iter().map(|(value, ..)| value.len()).collect();
        assert_eq!(lengths, [5, 6, 65_536]);
        assert!(written.iter().all(|(_, time, _)| *time == Some(5_000)), "the record's own time");
        let origin = ["__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset"];
        assert_eq!(written[0].2[..5], ["content-type", "none", origin[0], origin[1], origin[2]]);
        assert_eq!(written[2].2.last().unwrap(), "optview.cut-from");
    }

    #[test]
    fn a_topic_that_is_missing_is_named_and_takes_the_letters_once_it_is_there() {
        let (cluster, settings) = cluster();
        let properties = vec![("topic.metadata.propagation.max.ms".to_owned(), "100".to_owned())];
        let settings = KafkaSettings { properties, ..settings };
        let (outlet, inbox) = letter_outlet(TOPIC);
        start(&settings, TOPIC, inbox).unwrap();
        outlet.send(letter(1, b"first".to_vec()));
        let begin = Instant::now();
        while outlet.trouble().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(60));
            thread::sleep(POLL_EVERY);
        }
        assert_eq!(outlet.acknowledged(), 0, "{:?}", outlet.trouble());
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        await_letters(&outlet, 1);
        assert_eq!(outlet.trouble(), None);
    }
}
