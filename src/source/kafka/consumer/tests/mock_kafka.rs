//! A mock cluster, and a source that reads it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::domain::{Topic, TopicPartition};
use crate::source::kafka::consumer::KafkaSource;
use crate::source::kafka::producer::Producer;
use crate::source::kafka::settings::KafkaSettings;
use crate::source::{Source as _, SourceEvent, TopicNames};

/// Time limit of steps that take milliseconds on an idle machine.
pub const DEADLINE: Duration = Duration::from_secs(120);
pub const WAIT: Duration = Duration::from_millis(20);

/// A mock cluster with the three topics, and what was sent there.
pub struct MockKafka {
    pub mock: MockCluster<'static, DefaultProducerContext>,
    pub settings: KafkaSettings,
    /// Number of jobs that were sent.
    pub sent: i64,
}

impl MockKafka {
    pub fn start(brokers: i32, partitions: i32) -> MockKafka {
        let mock = MockCluster::new(brokers).unwrap();
        let topics = TopicNames::default();
        for topic in Topic::ALL {
            mock.create_topic(topics.get(topic), partitions, brokers.min(3)).unwrap();
        }
        // The mock cluster holds an empty fetch for this long even if records arrive meanwhile, and a failed fetch
        // is retried so soon that a test can wait for it.
        let properties = [("fetch.wait.max.ms", "10"), ("fetch.error.backoff.ms", "10")];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let settings = KafkaSettings { brokers: mock.bootstrap_servers(), topics, properties };
        MockKafka { mock, settings, sent: 0 }
    }

    /// Sends this number of further jobs, whose values count them.
    pub fn send(&mut self, count: i64) {
        let mut producer = Producer::new(&self.settings).unwrap();
        for number in self.sent..self.sent + count {
            producer.send(Topic::Jobs, &format!("key {number}"), Some(number.to_string().as_bytes())).unwrap();
        }
        producer.finish().unwrap();
        self.sent += count;
    }
}

/// A source and the events that it has delivered.
pub struct SourceReader {
    pub source: KafkaSource,
    /// The values of each partition in order of delivery.
    pub given: BTreeMap<TopicPartition, Vec<i64>>,
    pub ended: BTreeMap<TopicPartition, i64>,
    pub failed: Vec<String>,
}

impl SourceReader {
    pub fn start(cluster: &MockKafka) -> SourceReader {
        let source = KafkaSource::new(&cluster.settings, "test").unwrap();
        SourceReader { source, given: BTreeMap::new(), ended: BTreeMap::new(), failed: Vec::new() }
    }

    pub fn poll(&mut self) {
        let mut found = Vec::new();
        let SourceReader { source, given, ended, failed } = self;
        source.poll(WAIT, &mut |polled| match polled {
            SourceEvent::Found { partition, watermarks } => found.push((partition, watermarks.low)),
            SourceEvent::Records(records) => {
                for at in 0..records.len() {
                    let record = records.record(at);
                    let position = record.position;
                    let values = given.entry(position.topic_partition()).or_default();
                    assert_eq!(position.offset, values.len() as i64, "each offset once, and none left out");
                    values.push(std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
                }
            }
            SourceEvent::Ended { partition, position } => {
                ended.insert(partition, position);
            }
            SourceEvent::Failed { reason, .. } => failed.push(reason.text),
        });
        for (partition, low) in found {
            source.assign(partition, low).unwrap();
        }
    }

    pub fn count(&self) -> i64 {
        self.given.values().map(|values| values.len() as i64).sum()
    }

    /// Polls until `is` returns true.
    pub fn until(&mut self, what: &str, is: impl Fn(&SourceReader) -> bool) {
        let begin = Instant::now();
        while !is(self) {
            assert!(begin.elapsed() < DEADLINE, "still not: {what}; {} records, {:?}", self.count(), self.failed);
            self.poll();
        }
    }

    /// Checks that every sent record was delivered exactly once.
    pub fn check(&self, cluster: &MockKafka) {
        let mut values: Vec<i64> = self.given.values().flatten().copied().collect();
        values.sort_unstable();
        assert!(values.into_iter().eq(0..cluster.sent));
        assert_eq!(self.failed, Vec::<String>::new());
    }

    /// Makes the source check its consumer as of the time `now`.
    pub fn look_at(&mut self, now: Instant) {
        self.source.check_consumer(now);
    }

    pub fn error(&self, partition: TopicPartition) -> Option<String> {
        self.source.partition_error(partition).map(|error| error.code)
    }
}
