//! Creates topics for trials (`load` and the tests) and for an archive that is imported. `serve` never creates
//! any.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use itertools::Itertools as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::domain::Topic;

use super::KafkaSettings;
use super::error_context::ErrorContext;
use super::metadata::{self, MetadataError};
use super::queries::QueryClient;
use super::topic_settings::KEEP_ALL;

/// Time limit of a request for the list of topics.
const METADATA_DEADLINE: Duration = Duration::from_secs(10);
/// Time limit of the creation of topics, and then of the election of a leader for each partition.
const CREATION_DEADLINE: Duration = Duration::from_secs(30);

/// The reason for which a topic could not be created.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The cluster did not answer, or no client could be made for it.
    #[error("the cluster at {brokers} does not answer: {why}; is --brokers right?")]
    Unreachable {
        /// The brokers as they are configured.
        brokers: String,
        /// The last error that was reported.
        why: String,
    },
    /// The cluster refused to create a topic.
    #[error("topic {topic} cannot be created: {why}; create it by other means, or ask for the right to do so")]
    Refused {
        /// The name of the topic in the cluster, or those of all that were to be created.
        topic: String,
        /// The cluster's reason.
        why: String,
    },
    /// Topics were created, but some of their partitions had no leader in time.
    #[error("topics {topics:?} were created, but have no leaders after {} s; is a broker down?", CREATION_DEADLINE.as_secs())]
    NoLeaders {
        /// The names of all topics that were created.
        topics: Vec<String>,
    },
}

/// The replication factor that asks for the cluster's default.
const CLUSTERS_DEFAULT: i32 = -1;

type Admin = AdminClient<ErrorContext>;

fn admin(settings: &KafkaSettings) -> Result<Admin, TopicError> {
    settings
        .client_config()
        .create_with_context(ErrorContext::default())
        .map_err(|error| TopicError::Unreachable { brokers: settings.brokers.clone(), why: error.to_string() })
}

/// Makes a client that asks for metadata: librdkafka reports the reason for a failed request to those only that are polled.
fn asking(settings: &KafkaSettings) -> Result<Arc<QueryClient>, TopicError> {
    metadata::connect(settings).map_err(|error| match error {
        MetadataError::Unreachable { brokers, why } => TopicError::Unreachable { brokers, why },
        error => TopicError::Unreachable { brokers: settings.brokers.clone(), why: error.to_string() },
    })
}

/// Explains a request that timed out by the reason that librdkafka reported separately.
fn unreachable(settings: &KafkaSettings, client: &QueryClient, error: &KafkaError) -> TopicError {
    TopicError::Unreachable { brokers: settings.brokers.clone(), why: client.explain(error) }
}

/// Creates those of the three topics that are missing, with this number of partitions, the cluster's default
/// replication factor, and settings that keep all records, since views are built from the whole history. Existing
/// topics stay as they are. Returns the number of partitions of each topic.
pub fn ensure_topics(settings: &KafkaSettings, partitions: i32) -> Result<BTreeMap<Topic, i32>, TopicError> {
    ensure_topics_with(settings, &Topic::ALL.map(|topic| (topic, partitions)), KEEP_ALL)
}

/// Creates the missing topics, each with its own number of partitions, and with these settings.
pub fn ensure_topics_with(
    settings: &KafkaSettings,
    wanted: &[(Topic, i32)],
    topic_settings: &[(&str, &str)],
) -> Result<BTreeMap<Topic, i32>, TopicError> {
    let admin = admin(settings)?;
    let client = asking(settings)?;
    let there = partitions_with_leaders(&client).map_err(|error| unreachable(settings, &client, &error))?;
    let missing: Vec<(&str, i32)> = wanted
        .iter()
        .map(|&(topic, partitions)| (settings.topics.get(topic), partitions))
        .filter(|(name, _)| !there.contains_key(*name))
        .collect();
    let there = if missing.is_empty() {
        there
    } else {
        create(&admin, &missing, CLUSTERS_DEFAULT, topic_settings)?;
        await_leaders(&client, &missing)?
    };
    let partitions_of = |topic| there.get(settings.topics.get(topic)).copied().unwrap_or(0);
    Ok(wanted.iter().map(|&(topic, _)| (topic, partitions_of(topic))).collect())
}

/// Creates one topic if it does not exist. Returns its number of partitions.
pub fn ensure_topic(
    settings: &KafkaSettings,
    name: &str,
    partitions: i32,
    replication_factor: Option<i32>,
    topic_settings: &[(&str, &str)],
) -> Result<i32, TopicError> {
    let admin = admin(settings)?;
    let client = asking(settings)?;
    let there = partitions_with_leaders(&client).map_err(|error| unreachable(settings, &client, &error))?;
    if let Some(&partitions) = there.get(name) {
        return Ok(partitions);
    }
    create(&admin, &[(name, partitions)], replication_factor.unwrap_or(CLUSTERS_DEFAULT), topic_settings)?;
    Ok(await_leaders(&client, &[(name, partitions)])?.get(name).copied().unwrap_or(partitions))
}

/// Asks whether a compacted topic could be created, and creates none. Returns the cluster's answer.
///
/// # Errors
/// No cluster answers, or none that knows the request: the reason.
pub fn try_creation(
    settings: &KafkaSettings,
    name: &str,
    partitions: i32,
    replication_factor: Option<i32>,
) -> Result<Result<(), RDKafkaErrorCode>, String> {
    let admin = admin(settings).map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(METADATA_DEADLINE)).validate_only(true);
    let factor = replication_factor.unwrap_or(CLUSTERS_DEFAULT);
    let answers =
        request_creation(&admin, &[(name, partitions)], factor, &[("cleanup.policy", "compact")], &options)?;
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(Ok(())),
        Some(Err((_, code))) => Ok(Err(code)),
        None => Err("the cluster gave no answer".to_owned()),
    }
}

fn create(
    admin: &Admin,
    missing: &[(&str, i32)],
    replication_factor: i32,
    topic_settings: &[(&str, &str)],
) -> Result<(), TopicError> {
    let options =
        AdminOptions::new().operation_timeout(Some(CREATION_DEADLINE)).request_timeout(Some(CREATION_DEADLINE));
    let refused = |topic: String, why: String| TopicError::Refused { topic, why };
    let answers = request_creation(admin, missing, replication_factor, topic_settings, &options)
        .map_err(|why| refused(missing.iter().map(|(name, _)| *name).join(", "), why))?;
    for answer in answers {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, why)) => return Err(refused(topic, why.to_string())),
        }
    }
    Ok(())
}

/// Requests the creation of topics. Returns the answer about each.
fn request_creation(
    admin: &Admin,
    missing: &[(&str, i32)],
    replication_factor: i32,
    topic_settings: &[(&str, &str)],
    options: &AdminOptions,
) -> Result<Vec<TopicResult>, String> {
    let topics = missing.iter().map(|&(name, partitions)| {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication_factor));
        topic_settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    });
    let topics: Vec<NewTopic<'_>> = topics.collect();
    // A thread of rdkafka's own receives the answer, so that a bare runtime is enough to wait for it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime
        .block_on(admin.create_topics(&topics, options))
        .map_err(|error| admin.inner().context().explain(&error))
}

/// Waits until each partition of a new topic has a leader. Records that are sent earlier would only be retried.
fn await_leaders(client: &QueryClient, created: &[(&str, i32)]) -> Result<BTreeMap<String, i32>, TopicError> {
    let start = Instant::now();
    while start.elapsed() < CREATION_DEADLINE {
        let there = partitions_with_leaders(client).unwrap_or_default();
        if created.iter().all(|(name, wanted)| there.get(*name).is_some_and(|count| count >= wanted)) {
            return Ok(there);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(TopicError::NoLeaders { topics: created.iter().map(|(name, _)| (*name).to_owned()).collect() })
}

/// Returns the number of partitions with a leader for every topic. Asking for one topic by its name could create
/// it, because brokers may be configured so.
fn partitions_with_leaders(client: &QueryClient) -> Result<BTreeMap<String, i32>, KafkaError> {
    let metadata = client.fetch_metadata(None, METADATA_DEADLINE)?;
    let count = |topic: &rdkafka::metadata::MetadataTopic| {
        let with_leader = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
        i32::try_from(with_leader).expect("Kafka numbers partitions with an i32")
    };
    Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), count(topic))).collect())
}
