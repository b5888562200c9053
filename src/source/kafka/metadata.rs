//! One-time requests for the state of a cluster, for tools, which report an error rather than wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker, MetadataPartition, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode;

use super::closed_connection::log_closed_connections;
use super::consumer_config::consumer_config;
use super::error_context::ErrorContext;
use super::fetch_errors::meaning;
use super::queries::{Answer, Queries, QueryClient};
use super::{KafkaSettings, KafkaSource};
use crate::domain::{NamedPartition, OwnedRecord, Topic, TopicId, TopicPartition};
use crate::source::{ReadDeadline, ReadTimeout, Source as _, SourceEvent, Watermarks};

/// Time limit of each answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time during which a passing error is retried. One answer alone may take all of [`DEADLINE`].
const PASSES_WITHIN: Duration = Duration::from_secs(30);
/// Pause before a request is retried.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Time limit of a read of single records.
const RECORDS_DEADLINE: Duration = Duration::from_secs(30);
/// The group id, which librdkafka requires, although nothing is ever written for the group.
const GROUP: &str = "optview-look";

#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("the cluster at {brokers} does not answer: {why}; is --brokers right?")]
    Unreachable { brokers: String, why: String },
    #[error(
        "the cluster at {brokers} reports no cluster id, because its brokers are older than Kafka 0.10.1; \
             use newer ones"
    )]
    Nameless { brokers: String },
    #[error(
        "the topic `{topic}` cannot be read: {why}; is there a leader for each partition, and may you read it?"
    )]
    Unreadable { topic: String, why: String },
    #[error("`{topic}`/{partition} cannot be read: {why}")]
    Stopped { topic: String, partition: i32, why: String },
    #[error("no records arrived within {} s: {why}", RECORDS_DEADLINE.as_secs())]
    Silent { why: String },
}

/// A cluster, with the existing ones of the three topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// The id that the cluster gave itself when it was created. Another cluster has another one.
    pub id: String,
    /// The bounds of each partition. A topic without partitions does not exist.
    pub partitions: BTreeMap<TopicPartition, Watermarks>,
    /// The ids of the existing topics, if the brokers give them.
    pub topic_ids: BTreeMap<Topic, TopicId>,
}

impl ClusterMetadata {
    /// Number of partitions of a topic; 0 if it does not exist.
    pub fn partitions_of(&self, topic: Topic) -> i32 {
        let partitions = self.partitions.keys().filter(|held| held.topic == topic).count();
        i32::try_from(partitions).expect("Kafka numbers partitions with an i32")
    }
}

/// Asks for the cluster and its topics. The bounds exclude records of open transactions.
pub fn cluster_metadata(settings: &KafkaSettings) -> Result<ClusterMetadata, MetadataError> {
    let consumer = connect(settings)?;
    let found =
        partition_watermarks(settings, &consumer, Topic::ALL.iter().map(|&topic| settings.topics.get(topic)))?;
    let id = consumer
        .client()
        .fetch_cluster_id(DEADLINE)
        .ok_or_else(|| MetadataError::Nameless { brokers: settings.brokers.clone() })?;
    let partitions =
        found.into_iter().filter_map(|(partition, held)| Some((settings.topics.partition_of(&partition)?, held)));
    Ok(ClusterMetadata { id, partitions: partitions.collect(), topic_ids: ids_of_ours(settings, &consumer)? })
}

/// Returns the ids of the existing ones of the three topics, as far as the cluster gives them.
pub fn topic_ids(settings: &KafkaSettings) -> Result<BTreeMap<Topic, TopicId>, MetadataError> {
    ids_of_ours(settings, &connect(settings)?)
}

/// Returns the ids of the existing ones of these topics by name, as far as the cluster gives them.
pub fn ids_of_topics(
    settings: &KafkaSettings,
    names: &[&str],
) -> Result<BTreeMap<String, TopicId>, MetadataError> {
    ask_topic_ids(settings, &connect(settings)?, names)
}

fn ids_of_ours(
    settings: &KafkaSettings,
    client: &Arc<QueryClient>,
) -> Result<BTreeMap<Topic, TopicId>, MetadataError> {
    let names = Topic::ALL.map(|topic| settings.topics.get(topic));
    let ids = ask_topic_ids(settings, client, &names)?;
    Ok(ids.into_iter().filter_map(|(name, id)| Some((settings.topics.topic_of(&name)?, id))).collect())
}

/// Asks the brokers for the ids, and accepts an answer that two brokers give alike, if there are two: one of them
/// may lag behind the others. A broker that does not answer is not asked again.
fn ask_topic_ids(
    settings: &KafkaSettings,
    client: &Arc<QueryClient>,
    names: &[&str],
) -> Result<BTreeMap<String, TopicId>, MetadataError> {
    let begin = Instant::now();
    loop {
        let brokers = client
            .fetch_metadata(None, DEADLINE)
            .map_err(|error| unreachable(settings, client.explain(&error)))?;
        let brokers: Vec<i32> = brokers.brokers().iter().map(MetadataBroker::id).collect();
        let mut answers = brokers.iter().filter_map(|&broker| ask_broker(client, names, broker));
        let Some(first) = answers.next() else {
            tracing::warn!(
                "no broker gives the ids of the topics: a topic that was created again may not be recognized"
            );
            return Ok(BTreeMap::new());
        };
        match answers.next().filter(|second| *second != first) {
            None => return Ok(first),
            Some(_) if begin.elapsed() < DEADLINE => std::thread::sleep(ASK_AGAIN),
            Some(second) => return Err(disagreement(names, &first, &second)),
        }
    }
}

/// Returns one broker's ids of the existing topics; `None` if it does not answer for all of them.
fn ask_broker(client: &Arc<QueryClient>, names: &[&str], broker: i32) -> Option<BTreeMap<String, TopicId>> {
    let mut queries = Queries::new(client.clone());
    queries.begin_round();
    queries.ask_ids(0, names, Some(broker), DEADLINE);
    let Some(Answer::Ids(_, Ok(answers))) = queries.next(2 * DEADLINE) else { return None };
    let mut ids = BTreeMap::new();
    for (name, answer) in answers {
        match answer {
            Ok(id) => ids.extend(id.map(|id| (name, id))),
            // The broker gives no more about a topic that does not exist or that the user may not see.
            Err(code) if !meaning(code).is_passing() || code == RDKafkaErrorCode::UnknownTopicOrPartition => {}
            Err(_) => return None,
        }
    }
    Some(ids)
}

fn disagreement(
    names: &[&str],
    first: &BTreeMap<String, TopicId>,
    second: &BTreeMap<String, TopicId>,
) -> MetadataError {
    let topic = names.iter().find(|name| first.get(**name) != second.get(**name)).unwrap_or(&"");
    MetadataError::Unreadable {
        topic: (*topic).to_owned(),
        why: "the brokers do not agree on its id, as happens while it is created again; try again".to_owned(),
    }
}

/// Returns the id that the cluster gave itself when it was created; `None` if its brokers are too old to have one.
pub fn cluster_id(settings: &KafkaSettings) -> Result<Option<String>, MetadataError> {
    let consumer = connect(settings)?;
    // The absence of an id means something only after the cluster has answered.
    partition_watermarks(settings, &consumer, [])?;
    Ok(consumer.client().fetch_cluster_id(DEADLINE))
}

/// Returns the bounds of each partition of the existing ones of these topics.
pub fn watermarks<'a>(
    settings: &KafkaSettings,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<NamedPartition, Watermarks>, MetadataError> {
    partition_watermarks(settings, &*connect(settings)?, topics)
}

/// Makes a client that only asks.
pub(super) fn connect(settings: &KafkaSettings) -> Result<Arc<QueryClient>, MetadataError> {
    let mut config = consumer_config(settings, GROUP);
    let asking = log_closed_connections(&mut config).create_with_context(ErrorContext::default());
    asking
        .map(|asking| Arc::new(QueryClient::new(asking)))
        .map_err(|error| unreachable(settings, error.to_string()))
}

fn unreachable(settings: &KafkaSettings, why: String) -> MetadataError {
    MetadataError::Unreachable { brokers: settings.brokers.clone(), why }
}

fn partition_watermarks<'a>(
    settings: &KafkaSettings,
    consumer: &QueryClient,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<NamedPartition, Watermarks>, MetadataError> {
    let metadata = topics_metadata(settings, consumer)?;
    let mut found = BTreeMap::new();
    for name in topics {
        let unreadable = |why| MetadataError::Unreadable { topic: name.to_owned(), why };
        let Some(held) = metadata.topics().iter().find(|held| held.name() == name) else { continue };
        match held.error().map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
            Some(code) => return Err(unreadable(code.to_string())),
        }
        for partition in held.partitions().iter().map(MetadataPartition::id) {
            let (low, high) =
                watermarks_of(consumer, name, partition).map_err(|error| unreadable(consumer.explain(&error)))?;
            found.insert(NamedPartition::new(name, partition), Watermarks { low, high });
        }
    }
    Ok(found)
}

/// Returns the metadata of every topic: asking for one by its name could create it, because brokers may be
/// configured so. Asks again while a broker has a passing error for one of our topics, which then still exists.
fn topics_metadata(settings: &KafkaSettings, consumer: &QueryClient) -> Result<Metadata, MetadataError> {
    let ours = |held: &MetadataTopic| settings.topics.topic_of(held.name()).is_some();
    let begin = Instant::now();
    loop {
        let metadata = consumer.fetch_metadata(None, DEADLINE);
        let metadata = metadata.map_err(|error| unreachable(settings, consumer.explain(&error)))?;
        let mut errors = metadata.topics().iter().filter(|held| ours(held)).filter_map(MetadataTopic::error);
        let is_for_a_moment = errors.any(|error| passes(RDKafkaErrorCode::from(error)));
        if !is_for_a_moment || begin.elapsed() >= DEADLINE {
            return Ok(metadata);
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

/// Returns the offsets at which an existing partition begins and ends. Asks again for a while if librdkafka does
/// not know the partition yet, or if a leader is about to change.
fn watermarks_of(consumer: &QueryClient, name: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
    let begin = Instant::now();
    loop {
        match consumer.fetch_watermarks(name, partition, DEADLINE) {
            Err(error) if error.rdkafka_error_code().is_some_and(passes) && begin.elapsed() < PASSES_WITHIN => {
                std::thread::sleep(ASK_AGAIN);
                // librdkafka keeps answering by the metadata that it received last, for example that there is no
                // such partition, until it receives new metadata. If this request fails, the next question repeats
                // it.
                drop(consumer.fetch_metadata(None, DEADLINE));
            }
            answered => return answered,
        }
    }
}

/// Returns true for an error that passes within a moment: a broker's passing code, or that of a partition that
/// librdkafka does not know yet. A broker that does not answer is no such error, because the request itself has
/// waited.
fn passes(code: RDKafkaErrorCode) -> bool {
    let is_of_broker = code as i32 > RDKafkaErrorCode::End as i32;
    code == RDKafkaErrorCode::UnknownPartition || is_of_broker && meaning(code).is_passing()
}

/// Returns the record of each partition at the given offset, or the first one after it. A partition without such a
/// record is missing in the result.
pub fn records_at(
    settings: &KafkaSettings,
    offsets: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, OwnedRecord>, MetadataError> {
    let mut records = BTreeMap::new();
    let mut wanted = offsets.clone();
    if wanted.is_empty() {
        return Ok(records);
    }
    let stopped = |partition, why| {
        let NamedPartition { topic, partition } = settings.topics.partition(partition);
        MetadataError::Stopped { topic, partition, why }
    };
    let mut source =
        KafkaSource::new(settings, GROUP).map_err(|error| unreachable(settings, error.to_string()))?;
    let mut deadline = ReadDeadline::new(RECORDS_DEADLINE, Instant::now());
    let mut ids = BTreeMap::new();
    while !wanted.is_empty() {
        match deadline.check(&source, wanted.keys().copied(), Instant::now()) {
            Some(ReadTimeout::Partition { partition, why }) => return Err(stopped(partition, why)),
            Some(ReadTimeout::Silence { why }) => return Err(MetadataError::Silent { why }),
            None => {}
        }
        let (mut found, mut failed) = (Vec::new(), None);
        source.poll(Duration::from_millis(100), &mut |polled| match polled {
            SourceEvent::Found { partition, .. } => found.push(partition),
            SourceEvent::Records(given) => {
                let record = given.record(0);
                let partition = record.position.topic_partition();
                if wanted.remove(&partition).is_some() {
                    records.insert(partition, OwnedRecord::from(&record));
                }
            }
            SourceEvent::Ended { partition, .. } => {
                wanted.remove(&partition);
            }
            SourceEvent::Failed { partition, reason } => failed = Some((partition, reason.text)),
        });
        failed.map_or(Ok(()), |(partition, why)| Err(stopped(partition, why)))?;
        for partition in found.iter().copied().chain(offsets.keys().copied()) {
            let Some(id) = source.observation(partition).and_then(|observed| observed.topic_id) else {
                continue;
            };
            if *ids.entry(partition.topic).or_insert(id) != id {
                let why = "it was deleted and created again while it was read; try again".to_owned();
                return Err(stopped(partition, why));
            }
        }
        for partition in found {
            let Some(&offset) = wanted.get(&partition) else { continue };
            source.assign(partition, offset).map_err(|why| stopped(partition, why.text))?;
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_moment_mends_is_asked_again_and_what_it_does_not_is_an_error() {
        use RDKafkaErrorCode::{
            AllBrokersDown, KafkaStorageError, NotLeaderForPartition, TopicAuthorizationFailed, Unknown,
            UnknownPartition, UnsupportedVersion,
        };
        for (code, again) in [
            (UnknownPartition, true),
            (NotLeaderForPartition, true),
            (Unknown, true),
            (KafkaStorageError, true),
            (TopicAuthorizationFailed, false),
            (UnsupportedVersion, false),
            (AllBrokersDown, false),
        ] {
            assert_eq!(passes(code), again, "{code}");
        }
    }
}
