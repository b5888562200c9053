//! Makes topics, for trials (`load` and the tests) and for an archive that is imported, which `serve` never does; and
//! looks at what a cluster has of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use itertools::Itertools as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

use crate::domain::Topic;
use crate::source::Watermarks;

use super::KafkaSettings;

/// How long the cluster may take to say what topics there are.
const METADATA_DEADLINE: Duration = Duration::from_secs(10);
/// How long it may take to create some, and then to have a leader for each partition.
const CREATION_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("the cluster at {brokers} does not answer: {why}; is --brokers right?")]
    Unreachable { brokers: String, why: KafkaError },
    #[error("topic {topic} cannot be created: {why}; create it by other means, or ask for the right to do so")]
    Refused { topic: String, why: String },
    #[error("topics {topics:?} were created, but have no leaders after {} s; is a broker down?", CREATION_DEADLINE.as_secs())]
    NoLeaders { topics: Vec<String> },
}

type Admin = AdminClient<DefaultClientContext>;

/// Creates those of the three topics that are missing, with so many partitions and the cluster's own replication
/// factor. Returns how many partitions each topic has, which for one that was there already is what it had.
pub fn ensure_topics(settings: &KafkaSettings, partitions: i32) -> Result<BTreeMap<Topic, i32>, TopicError> {
    ensure_topics_with(settings, &Topic::ALL.map(|topic| (topic, partitions)), &[])
}

/// Creates those that are missing, each with its own number of partitions, and with these settings.
pub fn ensure_topics_with(
    settings: &KafkaSettings,
    wanted: &[(Topic, i32)],
    topic_settings: &[(&str, &str)],
) -> Result<BTreeMap<Topic, i32>, TopicError> {
    let unreachable = |why| TopicError::Unreachable { brokers: settings.brokers.clone(), why };
    let admin: Admin = settings.client_config().create().map_err(unreachable)?;
    let there = partitions_with_leaders(&admin).map_err(unreachable)?;
    let missing: Vec<(&str, i32)> = wanted
        .iter()
        .map(|&(topic, partitions)| (settings.topics.get(topic), partitions))
        .filter(|(name, _)| !there.contains_key(*name))
        .collect();
    let there = if missing.is_empty() {
        there
    } else {
        create(&admin, &missing, topic_settings)?;
        await_leaders(&admin, &missing)?
    };
    let partitions_of = |topic| there.get(settings.topics.get(topic)).copied().unwrap_or(0);
    Ok(wanted.iter().map(|&(topic, _)| (topic, partitions_of(topic))).collect())
}

/// The watermarks of those of these partitions, by the topic's name, that there are.
pub fn watermarks(
    settings: &KafkaSettings,
    partitions: impl IntoIterator<Item = (String, i32)>,
) -> Result<BTreeMap<(String, i32), Watermarks>, TopicError> {
    let unreachable = |why| TopicError::Unreachable { brokers: settings.brokers.clone(), why };
    let admin: Admin = settings.client_config().create().map_err(unreachable)?;
    let there = partitions_with_leaders(&admin).map_err(unreachable)?;
    let mut found = BTreeMap::new();
    for (topic, partition) in partitions {
        if there.get(&topic).is_some_and(|&count| partition < count) {
            let (low, high) =
                admin.inner().fetch_watermarks(&topic, partition, METADATA_DEADLINE).map_err(unreachable)?;
            found.insert((topic, partition), Watermarks { low, high });
        }
    }
    Ok(found)
}

/// The id that the cluster gave itself when it was made. `None`: its brokers are too old to have one.
pub fn cluster_id(settings: &KafkaSettings) -> Result<Option<String>, TopicError> {
    let unreachable = |why| TopicError::Unreachable { brokers: settings.brokers.clone(), why };
    let admin: Admin = settings.client_config().create().map_err(unreachable)?;
    // Only when it answers can it have said that it has none.
    partitions_with_leaders(&admin).map_err(unreachable)?;
    Ok(admin.inner().fetch_cluster_id(METADATA_DEADLINE))
}

fn create(admin: &Admin, missing: &[(&str, i32)], topic_settings: &[(&str, &str)]) -> Result<(), TopicError> {
    let new = |&(name, partitions)| {
        // -1 asks for the cluster's default.
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        topic_settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    };
    let topics: Vec<NewTopic<'_>> = missing.iter().map(new).collect();
    let options =
        AdminOptions::new().operation_timeout(Some(CREATION_DEADLINE)).request_timeout(Some(CREATION_DEADLINE));
    let names = || missing.iter().map(|(name, _)| *name).join(", ");
    let refused = |topic: &str, why: String| Err(TopicError::Refused { topic: topic.to_owned(), why });
    // The answer comes on a thread of rdkafka's own, so a bare runtime is all that waiting for it takes.
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return refused(&names(), error.to_string()),
    };
    let answers = match runtime.block_on(admin.create_topics(&topics, &options)) {
        Ok(answers) => answers,
        Err(error) => return refused(&names(), error.to_string()),
    };
    for answer in answers {
        match answer {
            Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, why)) => return refused(&topic, why.to_string()),
        }
    }
    Ok(())
}

/// A topic that was just created is not everywhere at once; what is sent too early would only be tried again and again.
fn await_leaders(admin: &Admin, created: &[(&str, i32)]) -> Result<BTreeMap<String, i32>, TopicError> {
    let start = Instant::now();
    while start.elapsed() < CREATION_DEADLINE {
        let there = partitions_with_leaders(admin).unwrap_or_default();
        if created.iter().all(|(name, wanted)| there.get(*name).is_some_and(|count| count >= wanted)) {
            return Ok(there);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(TopicError::NoLeaders { topics: created.iter().map(|(name, _)| (*name).to_owned()).collect() })
}

/// Of every topic: asking for one by its name may create it, where the brokers are set so.
fn partitions_with_leaders(admin: &Admin) -> Result<BTreeMap<String, i32>, KafkaError> {
    let metadata = admin.inner().fetch_metadata(None, METADATA_DEADLINE)?;
    let count = |topic: &rdkafka::metadata::MetadataTopic| {
        topic.partitions().iter().filter(|partition| partition.leader() >= 0).count() as i32
    };
    Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), count(topic))).collect())
}
