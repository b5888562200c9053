//! What there is on a cluster, asked once: for the tools, which would rather say that something is wrong than wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker, MetadataPartition, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode;

use super::consumer::consumer_config;
use super::fetch_errors::meaning;
use super::queries::{Answer, Asking, Queries};
use super::reasons::Reasons;
use super::{KafkaSettings, KafkaSource};
use crate::domain::{OwnedRecord, Topic, TopicId};
use crate::source::{Overdue, Polled, ReadDeadline, Source as _, Watermarks};

/// How long each answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long is asked again for what passes by itself: one answer alone may take all of [`DEADLINE`].
const PASSES_WITHIN: Duration = Duration::from_secs(30);
/// How soon is asked again what could not be answered yet.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long records may take to come.
const RECORDS_DEADLINE: Duration = Duration::from_secs(30);
/// librdkafka wants a group, though nothing is ever written for it.
const GROUP: &str = "optview-look";

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
    #[error("`{topic}`/{partition} cannot be read: {why}")]
    Stopped { topic: String, partition: i32, why: String },
    #[error("records did not come within {} s: {why}", RECORDS_DEADLINE.as_secs())]
    Silent { why: String },
}

/// A cluster, with those of the three topics that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Given by the cluster to itself when it was made: another one has another.
    pub id: String,
    /// Where each partition begins and ends. A topic without partitions is not there.
    pub partitions: BTreeMap<(Topic, i32), Watermarks>,
    /// The ids of those of the topics that are there, where the brokers give them.
    pub topic_ids: BTreeMap<Topic, TopicId>,
}

impl Cluster {
    /// How many partitions a topic has; 0 where it is not there.
    pub fn partitions_of(&self, topic: Topic) -> i32 {
        let partitions = self.partitions.keys().filter(|(held, _)| *held == topic).count();
        i32::try_from(partitions).expect("Kafka numbers partitions with an i32")
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
    let partitions = found
        .into_iter()
        .filter_map(|((name, partition), held)| Some(((settings.topics.called(&name)?, partition), held)));
    Ok(Cluster { id, partitions: partitions.collect(), topic_ids: ids_of_ours(settings, &consumer)? })
}

/// The ids of those of the three topics that are there, as far as the cluster gives any.
pub fn topic_ids(settings: &KafkaSettings) -> Result<BTreeMap<Topic, TopicId>, LookError> {
    ids_of_ours(settings, &connect(settings)?)
}

/// The ids of those of some topics that are there, by their names, as far as the cluster gives any.
pub fn ids_of_topics(settings: &KafkaSettings, names: &[&str]) -> Result<BTreeMap<String, TopicId>, LookError> {
    ask_topic_ids(settings, &connect(settings)?, names)
}

fn ids_of_ours(settings: &KafkaSettings, client: &Arc<Asking>) -> Result<BTreeMap<Topic, TopicId>, LookError> {
    let names = Topic::ALL.map(|topic| settings.topics.get(topic));
    let ids = ask_topic_ids(settings, client, &names)?;
    Ok(ids.into_iter().filter_map(|(name, id)| Some((settings.topics.called(&name)?, id))).collect())
}

/// Believes what two brokers say alike, where there are two: one of them may lag behind the others. A broker that does not
/// answer is asked no second time.
fn ask_topic_ids(
    settings: &KafkaSettings,
    client: &Arc<Asking>,
    names: &[&str],
) -> Result<BTreeMap<String, TopicId>, LookError> {
    let explain = |error: KafkaError| unreachable(settings, client.context().explain(&error));
    let begin = Instant::now();
    loop {
        let brokers = client.fetch_metadata(None, DEADLINE).map_err(explain)?;
        let brokers: Vec<i32> = brokers.brokers().iter().map(MetadataBroker::id).collect();
        let mut answers = brokers.iter().filter_map(|&broker| ask_broker(client, names, broker));
        let Some(first) = answers.next() else {
            tracing::warn!(
                "no broker gives the ids of the topics: a topic that was created again may not be known as such"
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

/// The ids of the topics that are there, as one broker gives them; `None` where it does not answer, or has no answer for one.
fn ask_broker(client: &Arc<Asking>, names: &[&str], broker: i32) -> Option<BTreeMap<String, TopicId>> {
    let mut queries = Queries::new(client.clone());
    queries.begin_round();
    queries.ask_ids(0, names, Some(broker), DEADLINE);
    let Some(Answer::Ids(_, Ok(answers))) = queries.next(2 * DEADLINE) else { return None };
    let mut ids = BTreeMap::new();
    for (name, answer) in answers {
        match answer {
            Ok(id) => ids.extend(id.map(|id| (name, id))),
            // Of a topic that is not there, or that may not be seen, nobody says more.
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
) -> LookError {
    let topic = names.iter().find(|name| first.get(**name) != second.get(**name)).unwrap_or(&"");
    LookError::Unreadable {
        topic: (*topic).to_owned(),
        why: "the brokers do not agree on its id, as while it is created again".to_owned(),
    }
}

/// The id that the cluster gave itself when it was made. `None`: its brokers are too old to have one.
pub fn cluster_id(settings: &KafkaSettings) -> Result<Option<String>, LookError> {
    let consumer = connect(settings)?;
    // Only when it answers can it have said that it has none.
    of_topics(settings, &consumer, [])?;
    Ok(consumer.client().fetch_cluster_id(DEADLINE))
}

/// Where each partition of some topics begins and ends, of those that are there.
pub fn watermarks<'a>(
    settings: &KafkaSettings,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<(String, i32), Watermarks>, LookError> {
    of_topics(settings, &*connect(settings)?, topics)
}

fn connect(settings: &KafkaSettings) -> Result<Arc<Asking>, LookError> {
    let config = consumer_config(settings, GROUP);
    let asking = config.create_with_context(Reasons::default());
    asking.map(|asking| Arc::new(Asking::new(asking))).map_err(|error| unreachable(settings, error.to_string()))
}

fn unreachable(settings: &KafkaSettings, why: String) -> LookError {
    LookError::Unreachable { brokers: settings.brokers.clone(), why }
}

fn of_topics<'a>(
    settings: &KafkaSettings,
    consumer: &Asking,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<(String, i32), Watermarks>, LookError> {
    let explain = |error: KafkaError| consumer.context().explain(&error);
    let metadata = topics_metadata(settings, consumer)?;
    let mut found = BTreeMap::new();
    for name in topics {
        let unreadable = |why| LookError::Unreadable { topic: name.to_owned(), why };
        let Some(held) = metadata.topics().iter().find(|held| held.name() == name) else { continue };
        match held.error().map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
            Some(code) => return Err(unreadable(code.to_string())),
        }
        for partition in held.partitions().iter().map(MetadataPartition::id) {
            let (low, high) =
                watermarks_of(consumer, name, partition).map_err(|error| unreadable(explain(error)))?;
            found.insert((name.to_owned(), partition), Watermarks { low, high });
        }
    }
    Ok(found)
}

/// What the cluster says of every topic: asking for one by its name may create it, where the brokers are set so. A topic of
/// which a broker cannot say anything for a moment is asked about again: it is not one that is not there.
fn topics_metadata(settings: &KafkaSettings, consumer: &Asking) -> Result<Metadata, LookError> {
    let ours = |held: &MetadataTopic| settings.topics.called(held.name()).is_some();
    let begin = Instant::now();
    loop {
        let metadata = consumer.fetch_metadata(None, DEADLINE);
        let metadata = metadata.map_err(|error| unreachable(settings, consumer.context().explain(&error)))?;
        let mut errors = metadata.topics().iter().filter(|held| ours(held)).filter_map(MetadataTopic::error);
        let is_for_a_moment = errors.any(|error| passes(RDKafkaErrorCode::from(error)));
        if !is_for_a_moment || begin.elapsed() >= DEADLINE {
            return Ok(metadata);
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

/// The offsets at which a partition that is there begins and ends. librdkafka may not know the partition yet, and a leader may
/// be about to change: both pass, and are asked for again for a while.
fn watermarks_of(consumer: &Asking, name: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
    let begin = Instant::now();
    loop {
        match consumer.fetch_watermarks(name, partition, DEADLINE) {
            Err(error) if error.rdkafka_error_code().is_some_and(passes) && begin.elapsed() < PASSES_WITHIN => {
                std::thread::sleep(ASK_AGAIN);
                // librdkafka goes on answering by what it was told of the topic last, such as that it has no such partition,
                // until it is told anew. Where this fails, the next question does.
                drop(consumer.fetch_metadata(None, DEADLINE));
            }
            answered => return answered,
        }
    }
}

/// True for a code that a moment mends: a broker's own that passes, or that of a partition that librdkafka does not know yet. A
/// broker that does not answer is none of those, since the question itself has waited for its answer.
fn passes(code: RDKafkaErrorCode) -> bool {
    let is_of_broker = code as i32 > RDKafkaErrorCode::End as i32;
    code == RDKafkaErrorCode::UnknownPartition || is_of_broker && meaning(code).is_passing()
}

/// Of each of these partitions the record at an offset, or the first one after it. Where there is neither, it is not among
/// them.
pub fn records_at(
    settings: &KafkaSettings,
    offsets: &BTreeMap<(Topic, i32), i64>,
) -> Result<BTreeMap<(Topic, i32), OwnedRecord>, LookError> {
    let mut records = BTreeMap::new();
    let mut wanted = offsets.clone();
    if wanted.is_empty() {
        return Ok(records);
    }
    let stopped = |(topic, partition), why| {
        let topic = settings.topics.get(topic).to_owned();
        LookError::Stopped { topic, partition, why }
    };
    let mut source =
        KafkaSource::new(settings, GROUP).map_err(|error| unreachable(settings, error.to_string()))?;
    let mut deadline = ReadDeadline::new(RECORDS_DEADLINE, Instant::now());
    let mut ids = BTreeMap::new();
    while !wanted.is_empty() {
        match deadline.look(&source, wanted.keys().copied(), Instant::now()) {
            Some(Overdue::Partition { topic, partition, why }) => return Err(stopped((topic, partition), why)),
            Some(Overdue::Silence { why }) => return Err(LookError::Silent { why }),
            None => {}
        }
        let (mut found, mut failed) = (Vec::new(), None);
        source.poll(Duration::from_millis(100), &mut |polled| match polled {
            Polled::Found { topic, partition, .. } => found.push((topic, partition)),
            Polled::Records(given) => {
                let record = given.record(0);
                let partition = (record.position.topic, record.position.partition);
                if wanted.remove(&partition).is_some() {
                    records.insert(partition, OwnedRecord::from(&record));
                }
            }
            Polled::Ended { topic, partition, .. } => drop(wanted.remove(&(topic, partition))),
            Polled::Failed { topic, partition, reason } => failed = Some(((topic, partition), reason)),
        });
        failed.map_or(Ok(()), |(partition, why)| Err(stopped(partition, why)))?;
        for (topic, partition) in found.iter().copied().chain(offsets.keys().copied()) {
            let Some(id) = source.observation(topic, partition).and_then(|observed| observed.topic_id) else {
                continue;
            };
            if *ids.entry(topic).or_insert(id) != id {
                let why = "it was deleted and created again while it was looked at; try again".to_owned();
                return Err(stopped((topic, partition), why));
            }
        }
        for partition in found {
            let Some(&offset) = wanted.get(&partition) else { continue };
            source.assign(partition.0, partition.1, offset).map_err(|why| stopped(partition, why))?;
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_moment_mends_is_asked_again_and_what_it_does_not_is_told() {
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
