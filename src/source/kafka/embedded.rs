//! A broker in this process, for the demo and for tests: librdkafka's mock cluster, with a real TCP listener.
//!
//! It keeps 5 MiB of each partition and drops the oldest without a word, and it keeps nothing on disk: never use it for
//! anything that must be there tomorrow.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::domain::Topic;
use crate::status::TopicNames;

use super::KafkaSettings;

#[derive(Debug, thiserror::Error)]
#[error("the in-process broker failed: {0}")]
pub struct EmbeddedError(#[from] KafkaError);

/// Runs until it is dropped. It cannot leave the thread that made it; clients may be anywhere.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topics: TopicNames,
}

impl EmbeddedBroker {
    /// With the three topics, each of so many partitions.
    pub fn start(topics: TopicNames, partitions: i32) -> Result<EmbeddedBroker, EmbeddedError> {
        let cluster = MockCluster::new(1)?;
        for topic in Topic::ALL {
            cluster.create_topic(topics.get(topic), partitions, 1)?;
        }
        Ok(EmbeddedBroker { cluster, topics })
    }

    /// How clients reach it.
    pub fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            brokers: self.cluster.bootstrap_servers(),
            topics: self.topics.clone(),
            // An empty fetch waits this long here even where records arrive meanwhile.
            properties: vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())],
        }
    }
}
