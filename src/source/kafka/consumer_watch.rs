//! The context of the reading client. It collects librdkafka's reports beside records: trouble with the cluster,
//! and the times of its answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::closed_connection;
use super::fetched_topics::FetchedTopics;
use crate::domain::{Topic, TopicId, TopicPartition};
use crate::source::TopicNames;

/// Interval at which the same trouble is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// The callbacks of the reading client. librdkafka calls them on the polling thread.
pub struct ConsumerWatch {
    names: TopicNames,
    /// The source's state, which a replacing client shares.
    state: Arc<Mutex<TroubleState>>,
    answers: Mutex<AnswerStats>,
    fetched_topics: FetchedTopics,
    /// True once another client has taken this one's place, after which its reports are ignored.
    is_replaced: AtomicBool,
}

#[derive(Default)]
struct TroubleState {
    /// The trouble with the connection. The cluster's next answer ends it.
    trouble: Option<String>,
    logged: TroubleLog,
}

/// The answers that one client has received.
#[derive(Default)]
struct AnswerStats {
    /// Number of answers of all brokers.
    count: u64,
    last: Option<Instant>,
    /// The next offset to be fetched of each partition.
    fetched: HashMap<TopicPartition, i64>,
}

/// The times of the last log lines about each kind of trouble.
#[derive(Default)]
pub struct TroubleLog(HashMap<String, Instant>);

impl TroubleLog {
    /// Logs the same trouble only once in [`LOG_AGAIN`]. Its text may differ each time, for example in the
    /// duration of an attempt.
    pub fn warn(&mut self, about: &str, text: &str) {
        if self.0.get(about).is_none_or(|at| at.elapsed() >= LOG_AGAIN) {
            tracing::warn!("trouble with the Kafka cluster, trying again: {text}");
            self.0.insert(about.to_owned(), Instant::now());
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl ConsumerWatch {
    pub fn new(names: TopicNames) -> ConsumerWatch {
        ConsumerWatch {
            names,
            state: Arc::default(),
            answers: Mutex::default(),
            fetched_topics: FetchedTopics::default(),
            is_replaced: AtomicBool::new(false),
        }
    }

    /// Creates the context of the client that takes this one's place.
    pub fn successor(&self) -> ConsumerWatch {
        ConsumerWatch { state: self.state.clone(), ..ConsumerWatch::new(self.names.clone()) }
    }

    /// Ignores all further reports.
    pub fn mark_replaced(&self) {
        self.is_replaced.store(true, Ordering::Release);
    }

    pub fn last_trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    /// Returns the time of the last answer of any broker.
    pub fn last_answer(&self) -> Option<Instant> {
        self.answers.lock().last
    }

    /// Returns the id of the topic that the client fetches from. Its report comes before the topic's first record, where brokers
    /// know topics by their ids.
    pub fn fetched_topic(&self, topic: Topic) -> Option<TopicId> {
        self.fetched_topics.id(topic)
    }

    /// Returns the next offset to be fetched as last reported.
    pub fn fetched(&self, partition: TopicPartition) -> Option<i64> {
        self.answers.lock().fetched.get(&partition).copied()
    }

    /// Notes that the cluster answers.
    pub fn note_connected(&self) {
        if self.is_replaced.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        if state.trouble.take().is_some() {
            state.logged.clear();
            tracing::info!("the Kafka cluster answers again");
        }
    }

    pub fn trouble(&self, code: RDKafkaErrorCode, reason: &str) {
        if self.is_replaced.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        // One failure is reported several times, with its reason and without. While no broker answers,
        // `AllBrokersDown` comes again and again, and is less precise than the last broker's own error.
        if state.trouble.is_some() && (reason.is_empty() || code == RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        let text = if reason.is_empty() { code.to_string() } else { format!("{code}: {reason}") };
        state.logged.warn(&code.to_string(), &text);
        state.trouble = Some(text);
    }

    /// Logs that a partition's fetch has failed and is tried again: one line a minute for each code, because many
    /// partitions may have the same.
    pub fn note_fetch_error(
        &self,
        TopicPartition { topic, partition }: TopicPartition,
        code: RDKafkaErrorCode,
        text: &str,
    ) {
        let name = self.names.get(topic);
        self.state
            .lock()
            .logged
            .warn(&format!("fetch: {code:?}"), &format!("{name}/{partition} is not read: {text}"));
    }

    /// Takes note of a connection that was closed before the first answer: librdkafka reports no error of it.
    fn note_closed_connection(&self, facility: &str, line: &str) {
        let reason = closed_connection::without_thread(line);
        if facility == "FAIL"
            && let Some(remedy) = closed_connection::remedy(reason)
        {
            self.trouble(RDKafkaErrorCode::BrokerTransportFailure, &format!("{reason}. {remedy}"));
        }
    }

    fn note(&self, text: String) {
        if self.is_replaced.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        state.logged.warn(&text, &text);
        state.trouble = Some(text);
    }
}

impl ClientContext for ConsumerWatch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.fetched_topics.take_line(&self.names, facility, message);
        self.note_closed_connection(facility, message);
        // Errors reach `error` too, which logs them once.
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is reported here too, beside its queue.
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(code) => self.trouble(code, reason),
            None => self.note(format!("{error}: {reason}")),
        }
    }

    /// Evaluates the statistics. The crate's own implementation would log all of them, 3 KB and more each time.
    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.note_connected();
        }
        let count = statistics.brokers.values().map(|broker| broker.rx).sum();
        let mut answers = self.answers.lock();
        if count > answers.count {
            answers.last = Some(Instant::now());
        }
        answers.count = count;
        for topic in Topic::ALL {
            let Some(held) = statistics.topics.get(self.names.get(topic)) else { continue };
            let fetched = held.partitions.iter().filter(|(number, _)| **number >= 0);
            answers.fetched.extend(
                fetched.map(|(&number, partition)| (TopicPartition::new(topic, number), partition.next_offset)),
            );
        }
    }
}

impl ConsumerContext for ConsumerWatch {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            let text = format!("the group's offsets, which only lag tools read, cannot be published: {error}");
            self.state.lock().logged.warn("publishing", &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trouble_is_the_one_that_says_why() {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
        let watch = ConsumerWatch::new(TopicNames::default());
        assert_eq!(watch.last_trouble(), None);
        watch.trouble(AllBrokersDown, "1/1 brokers are down");
        assert!(watch.last_trouble().unwrap().contains("1/1"));
        watch.trouble(BrokerTransportFailure, "kafka:9092: Connection refused");
        for (code, reason) in [(BrokerTransportFailure, ""), (AllBrokersDown, "1/1 brokers are down")] {
            watch.trouble(code, reason);
            assert!(watch.last_trouble().unwrap().contains("Connection refused"));
        }
        watch.trouble(Resolve, "kafka: no such host");
        assert!(watch.last_trouble().unwrap().contains("no such host"));
        watch.note_connected();
        assert_eq!(watch.last_trouble(), None);
    }

    #[test]
    fn a_connection_that_is_closed_at_the_first_request_is_trouble_until_a_broker_is_up_and_another_is_none() {
        let watch = ConsumerWatch::new(TopicNames::default());
        let closed = |state: &str| {
            let line = format!("[thrd:kafka:9092/1]: kafka:9092/1: Disconnected (after 1ms in state {state})");
            watch.log(RDKafkaLogLevel::Info, "FAIL", &line);
        };
        closed("UP");
        assert_eq!(watch.last_trouble(), None);
        closed("APIVERSION_QUERY");
        watch.trouble(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let trouble = watch.last_trouble().unwrap();
        assert!(
            trouble.contains(": kafka:9092/1: Disconnected") && trouble.contains("security.protocol"),
            "{trouble}"
        );
        watch.note_connected();
        assert_eq!(watch.last_trouble(), None);
    }

    #[test]
    fn the_same_trouble_is_logged_once_whatever_its_words() {
        let watch = ConsumerWatch::new(TopicNames::default());
        for attempt in 0..100 {
            let reason = format!("refused after {attempt} ms");
            watch.trouble(RDKafkaErrorCode::BrokerTransportFailure, &reason);
            watch.trouble(RDKafkaErrorCode::AllBrokersDown, &reason);
        }
        assert_eq!(watch.state.lock().logged.0.len(), 1);
    }
}
