//! Events of any size, on topics of one partition each.

use std::time::Duration;

use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::KafkaSettings;
use optview::source::kafka::admin::ensure_topics_with;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

/// Number of optimizations that a client reads by id meanwhile.
const USUAL: usize = 50;

/// Maximum size of a usual batch in bytes: a batch of more than 128 MiB is an abuse of its own.
const BATCH_BYTES: usize = 64_000_000;

pub struct Events {
    pub settings: KafkaSettings,
    number: u64,
}

impl Events {
    pub fn new(brokers: &str, prefix: &str) -> Events {
        let names = ["optimizations", "jobs", "multistart-runs"].map(|topic| format!("{prefix}-{topic}"));
        let [optimizations, jobs, runs] = names;
        let topics = TopicNames::new(optimizations, jobs, runs);
        let settings = KafkaSettings { brokers: brokers.to_owned(), topics, properties: Vec::new() };
        let wanted = Topic::ALL.map(|topic| (topic, 1));
        let keep = [("max.message.bytes", "50000000"), ("retention.ms", "-1")];
        ensure_topics_with(&settings, &wanted, &keep).expect("topics can be created");
        Events { settings, number: 0 }
    }

    /// Puts the optimizations `usual-0`, `usual-1`, ...
    pub fn put_usual(&mut self) {
        let values: Vec<_> = (0..usual_ids().len()).map(|at| self.created(&format!("usual-{at}"), 100)).collect();
        self.put(Topic::Optimizations, "none", values);
    }

    /// Puts `count` optimizations, each with objectives of `bytes` bytes, in batches of 64 MB at most.
    pub fn put_optimizations(&mut self, count: usize, bytes: usize) {
        for first in (0..count).step_by(BATCH_BYTES / bytes) {
            let last = count.min(first + BATCH_BYTES / bytes);
            let values = (first..last).map(|at| self.created(&format!("large-{at}"), bytes)).collect::<Vec<_>>();
            self.put(Topic::Optimizations, "lz4", values);
        }
    }

    /// Returns the creation of an optimization whose objectives have `bytes` bytes.
    pub fn created(&mut self, id: &str, bytes: usize) -> String {
        let objectives = "x".repeat(bytes);
        let event = format!(
            r#""optimizationId":"{id}","created":{{"organizationId":"org-1","projectId":"prj-1","name":"Fast","jobId":"job-of-{id}","objectives":{{"a":"{objectives}"}}}}"#
        );
        self.event(&event)
    }

    /// Returns the completion of a job whose metrics have `bytes` bytes.
    pub fn completed(&mut self, job: &str, bytes: usize) -> String {
        let metrics = r#""Charge time [s]":2874.918273,"#.repeat(bytes / 31);
        self.event(&format!(r#""jobId":"{job}","completed":{{"metrics":{{{metrics}"last":1}}}}"#))
    }

    fn event(&mut self, rest: &str) -> String {
        self.number += 1;
        let number = self.number;
        format!(
            r#"{{"metadata":{{"eventId":"event-{number}","occurredAt":"2026-03-01T09:00:00Z","sequence":{number}}},{rest}}}"#
        )
    }

    /// Puts values on a topic, in as few batches as possible.
    pub fn put(&self, topic: Topic, compression: &str, values: impl IntoIterator<Item = String>) {
        let producer: ThreadedProducer<DefaultProducerContext> = self
            .settings
            .client_config()
            .set("compression.type", compression)
            .set("message.max.bytes", "1000000000")
            .set("batch.size", "900000000")
            .set("queue.buffering.max.kbytes", "2000000")
            .set("linger.ms", "500")
            .set("message.timeout.ms", "120000")
            .create()
            .expect("a producer");
        for value in values {
            let record = BaseRecord::<str, str>::to(self.settings.topics.get(topic)).key("key").payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
        }
        producer.flush(Duration::from_secs(120)).expect("all is delivered");
    }
}

pub fn usual_ids() -> Vec<String> {
    (0..USUAL).map(|at| format!("usual-{at}")).collect()
}
