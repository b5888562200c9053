//! What there is on a cluster, asked once: for the tools, which would rather say that something is wrong than wait.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::KafkaSettings;
use super::consumer::consumer_config;
use super::reasons::Reasons;
use crate::domain::Topic;
use crate::source::Watermarks;

/// How long each answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("the cluster at {brokers} does not answer: {why}; is --brokers right?")]
    Unreachable { brokers: String, why: String },
    #[error("the cluster at {brokers} does not say which one it is; its brokers are older than Kafka 0.10.1")]
    Nameless { brokers: String },
    #[error(
        "the topic `{topic}` cannot be read: {why}; is there a leader for each partition, and may you read it?"
    )]
    Unreadable { topic: String, why: String },
}

/// A cluster, with those of the three topics that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Given by the cluster to itself when it was made: another one has another.
    pub id: String,
    /// Where each partition begins and ends. A topic without partitions is not there.
    pub partitions: BTreeMap<(Topic, i32), Watermarks>,
}

impl Cluster {
    /// How many partitions a topic has; 0 where it is not there.
    pub fn partitions_of(&self, topic: Topic) -> i32 {
        // As many as Kafka numbers with an `i32`.
        self.partitions.keys().filter(|(held, _)| *held == topic).count() as i32
    }
}

/// Looks at the cluster and its topics. Records of transactions that are under way are not there yet.
pub fn look(settings: &KafkaSettings) -> Result<Cluster, LookError> {
    let consumer = connect(settings)?;
    let found = of_topics(settings, &consumer, Topic::ALL.iter().map(|&topic| settings.topics.get(topic)))?;
    let id = consumer
        .client()
        .fetch_cluster_id(DEADLINE)
        .ok_or_else(|| LookError::Nameless { brokers: settings.brokers.clone() })?;
    let named = |name: &str| Topic::ALL.into_iter().find(|&topic| settings.topics.get(topic) == name);
    let partitions =
        found.into_iter().filter_map(|((name, partition), held)| Some(((named(&name)?, partition), held)));
    Ok(Cluster { id, partitions: partitions.collect() })
}

/// Where each partition of some topics begins and ends, of those that are there.
pub fn watermarks<'a>(
    settings: &KafkaSettings,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<(String, i32), Watermarks>, LookError> {
    of_topics(settings, &connect(settings)?, topics)
}

type Asking = BaseConsumer<Reasons>;

fn connect(settings: &KafkaSettings) -> Result<Asking, LookError> {
    let config = consumer_config(settings, "optview-look");
    let asking = config.create_with_context(Reasons::default());
    asking.map_err(|error| LookError::Unreachable { brokers: settings.brokers.clone(), why: error.to_string() })
}

fn of_topics<'a>(
    settings: &KafkaSettings,
    consumer: &Asking,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<(String, i32), Watermarks>, LookError> {
    let explain = |error: KafkaError| consumer.context().explain(&error);
    let unreachable = |error| LookError::Unreachable { brokers: settings.brokers.clone(), why: explain(error) };
    // Of every topic: asking for one by its name may create it, where the brokers are set so.
    let metadata = consumer.fetch_metadata(None, DEADLINE).map_err(unreachable)?;
    let mut found = BTreeMap::new();
    for name in topics {
        let held = metadata.topics().iter().filter(|held| held.name() == name).flat_map(|held| held.partitions());
        for partition in held.map(|partition| partition.id()) {
            let unreadable = |error| LookError::Unreadable { topic: name.to_owned(), why: explain(error) };
            let (low, high) = consumer.fetch_watermarks(name, partition, DEADLINE).map_err(unreadable)?;
            found.insert((name.to_owned(), partition), Watermarks { low, high });
        }
    }
    Ok(found)
}
