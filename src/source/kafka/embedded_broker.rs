//! A broker in this process, for the demo and for tests: librdkafka's mock cluster with a real TCP listener.
//!
//! It keeps 5 MiB of each partition and silently drops the oldest records, and it keeps nothing on disk: never use
//! it for data that must be there tomorrow.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::domain::Topic;
use crate::source::TopicNames;

use super::KafkaSettings;

/// The mock cluster could not be started or changed.
#[derive(Debug, thiserror::Error)]
#[error("the in-process broker failed: {0}")]
pub struct EmbeddedError(KafkaError);

/// A broker that runs until it is dropped. It cannot leave the thread that made it; its clients may be anywhere.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topics: TopicNames,
}

impl EmbeddedBroker {
    /// Starts a broker with the three topics, each with this number of partitions.
    pub fn start(topics: TopicNames, partitions: i32) -> Result<EmbeddedBroker, EmbeddedError> {
        let cluster = MockCluster::new(1).map_err(EmbeddedError)?;
        for topic in Topic::ALL {
            cluster.create_topic(topics.get(topic), partitions, 1).map_err(EmbeddedError)?;
        }
        Ok(EmbeddedBroker { cluster, topics })
    }

    /// Returns the settings with which clients reach the broker.
    pub fn settings(&self) -> KafkaSettings {
        KafkaSettings {
            brokers: self.cluster.bootstrap_servers(),
            topics: self.topics.clone(),
            // The mock cluster holds an empty fetch for this long even if records arrive meanwhile.
            properties: vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::source::kafka::producer::{ProduceError, Producer};

    fn values(settings: &KafkaSettings, topic: Topic, count: usize) -> Vec<Vec<u8>> {
        let consumer: BaseConsumer = settings.client_config().set("group.id", "test").create().unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(settings.topics.get(topic), 0, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        let mut values = Vec::new();
        while values.len() < count {
            let message = consumer.poll(Duration::from_secs(20)).expect("a record within 20 s").unwrap();
            values.push(message.payload().unwrap().to_vec());
        }
        values
    }

    #[test]
    fn records_come_back_in_order_through_a_queue_that_is_often_full() {
        let broker = EmbeddedBroker::start(TopicNames::default(), 1).unwrap();
        let mut settings = broker.settings();
        settings.properties.push(("queue.buffering.max.messages".to_owned(), "10".to_owned()));
        let sent: Vec<Vec<u8>> = (0..1000).map(|number| format!("{number}").into_bytes()).collect();
        let mut producer = Producer::new(&settings).unwrap();
        for value in &sent {
            producer.send(Topic::Jobs, "key", Some(value)).unwrap();
        }
        assert_eq!(producer.finish().unwrap(), sent.len());
        assert_eq!(values(&broker.settings(), Topic::Jobs, sent.len()), sent);
    }

    #[test]
    fn a_record_that_is_not_delivered_is_named_with_its_place() {
        let broker = EmbeddedBroker::start(TopicNames::default(), 1).unwrap();
        let mut producer = Producer::new(&broker.settings()).unwrap();
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        broker.cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
        producer.send(Topic::Jobs, "key", Some(b"one")).unwrap();
        match producer.finish() {
            Err(ProduceError::Undelivered { record: 0, topic, partition: 0, .. }) => assert_eq!(topic, "jobs"),
            other => panic!("{other:?}"),
        }
    }
}
