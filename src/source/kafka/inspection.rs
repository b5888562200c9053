//! A look at everything about a cluster that a deployment rests on, for `optview check`. It only asks and reads, judges nothing, and
//! ends in a bounded time, whatever the cluster does. An error of one answer leaves the others as they are.

mod answers;
mod newest_records;
mod output_topics;
mod transactional_id;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSettings;
use super::closed_connection::log_closed_connections;
use super::consumer_config::consumer_config;
use super::error_context::ErrorContext;
pub use super::queries::TopicRights;
use super::queries::{Answer, Bound, Queries, QueryClient};
use super::topic_settings::{SettingsError, TopicDetails, topic_details};
use crate::domain::{Topic, TopicId};
pub use answers::{
    BrokerAnswer, ClientLimits, ClusterAnswer, PartitionAnswer, RequestError, RequestErrorKind, TopicAnswer,
};
pub use newest_records::{NewestRecords, newest_records};
pub use output_topics::{CreationAnswer, OutputTopicAnswer, inspect_creation, inspect_output_topic};
pub use transactional_id::{TransactionalIdAnswer, inspect_transactional_id};

/// Time limit of the first answer, in which librdkafka may try each broker several times.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time limit of each later answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Asks the cluster about itself, the topics and the consumer group.
///
/// # Errors
/// Fails if no broker answers at all.
pub fn inspect(settings: &KafkaSettings, group_id: &str) -> Result<ClusterAnswer, RequestError> {
    let mut config = consumer_config(settings, group_id);
    log_closed_connections(&mut config);
    let client = config
        .create_with_context(ErrorContext::default())
        .map_err(|error| RequestError { kind: RequestErrorKind::Other, text: error.to_string() })?;
    let client = Arc::new(QueryClient::new(client));
    let failed = |error: &KafkaError| RequestError::of(error, client.context());
    // Of one topic, since a cluster may have thousands.
    let first = client.fetch_metadata(Some(settings.topics.get(Topic::Optimizations)), FIRST_ANSWER_WITHIN);
    let first = first.map_err(|error| {
        client.await_reason();
        failed(&error)
    })?;
    let mut topics = BTreeMap::new();
    for topic in Topic::ALL {
        let name = settings.topics.get(topic);
        let answer = client.fetch_metadata(Some(name), ANSWER_WITHIN);
        topics.insert(
            topic,
            answer.map_or_else(|error| TopicAnswer::Failed(failed(&error)), |held| topic_of(&held, name)),
        );
    }
    let (brokers, ids) = ask_brokers(settings, &client, first.brokers());
    for (topic, answer) in &mut topics {
        if let TopicAnswer::There { id, partitions } = answer {
            let name = settings.topics.get(*topic);
            *id = ids.get(name).copied();
            ask_bounds(&client, name, partitions);
        }
    }
    Ok(ClusterAnswer {
        cluster_id: client.client().fetch_cluster_id(ANSWER_WITHIN),
        brokers,
        details: details_of(settings),
        group: group(&client, settings, &topics),
        topics,
        limits: ClientLimits::of(&config),
    })
}

/// Returns what metadata have of a topic.
fn topic_of(metadata: &Metadata, name: &str) -> TopicAnswer {
    let Some(held) = metadata.topics().iter().find(|held| held.name() == name) else {
        return TopicAnswer::Missing;
    };
    match held.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => TopicAnswer::Missing,
        Some(code) => TopicAnswer::Failed(RequestError::of_code(code)),
        None if held.partitions().is_empty() => TopicAnswer::Missing,
        None => {
            let partitions = held.partitions().iter().map(|partition| PartitionAnswer {
                partition: partition.id(),
                has_leader: partition.leader() >= 0,
                replicas: partition.replicas().len(),
                in_sync: partition.isr().len(),
                bounds: Err(RequestError::unanswered()),
            });
            TopicAnswer::There { id: None, partitions: partitions.collect() }
        }
    }
}

/// Asks each broker for the ids of the topics, all at once. Every broker that is named must be reachable, as any of them may become
/// the leader of a partition.
fn ask_brokers(
    settings: &KafkaSettings,
    client: &Arc<QueryClient>,
    brokers: &[MetadataBroker],
) -> (Vec<BrokerAnswer>, BTreeMap<String, TopicId>) {
    let names = Topic::ALL.map(|topic| settings.topics.get(topic));
    let asked: Vec<(&MetadataBroker, Queries)> = brokers
        .iter()
        .map(|broker| {
            let mut queries = Queries::new(client.clone());
            queries.begin_round();
            queries.ask_ids(0, &names, Some(broker.id()), ANSWER_WITHIN);
            (broker, queries)
        })
        .collect();
    let deadline = Instant::now() + ANSWER_WITHIN + Duration::from_secs(1);
    let (mut answers, mut ids) = (Vec::new(), BTreeMap::new());
    for (broker, queries) in asked {
        let answer = queries.next(deadline.saturating_duration_since(Instant::now()));
        let address = format!("{}:{}", broker.host(), broker.port());
        let error = match answer {
            Some(Answer::Ids(_, Ok(topics))) => {
                ids.extend(topics.into_iter().filter_map(|(name, id)| Some((name, id.ok()??))));
                None
            }
            // The broker has answered, though it does not know the request.
            Some(Answer::Ids(
                _,
                Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion),
            )) => None,
            _ => {
                client.await_reason();
                let reason = client.context().last().filter(|(_, text)| text.contains(&address));
                Some(reason.map_or_else(RequestError::unanswered, RequestError::reported))
            }
        };
        answers.push(BrokerAnswer { id: broker.id(), address, error });
    }
    (answers, ids)
}

/// Asks for the oldest offset of each partition, and for its end for a reader of committed records.
fn ask_bounds(client: &Arc<QueryClient>, name: &str, partitions: &mut [PartitionAnswer]) {
    let wanted: Vec<(&str, i32)> = partitions.iter().map(|held| (name, held.partition)).collect();
    let mut queries = Queries::new(client.clone());
    queries.begin_round();
    for bound in [Bound::Low, Bound::LastStable] {
        queries.ask_offsets(bound, &wanted, ANSWER_WITHIN);
    }
    let deadline = Instant::now() + ANSWER_WITHIN + Duration::from_secs(1);
    let mut found: BTreeMap<(i32, Bound), Result<i64, RequestError>> = BTreeMap::new();
    for _ in 0..2 {
        match queries.next(deadline.saturating_duration_since(Instant::now())) {
            Some(Answer::Offsets(bound, Ok(offsets))) => found.extend(
                offsets
                    .into_iter()
                    .map(|(held, answer)| ((held.partition, bound), answer.map_err(RequestError::of_code))),
            ),
            Some(Answer::Offsets(bound, Err(code))) => {
                let all =
                    wanted.iter().map(|(_, partition)| ((*partition, bound), Err(RequestError::of_code(code))));
                found.extend(all);
            }
            _ => {}
        }
    }
    for held in partitions {
        let mut take =
            |bound| found.remove(&(held.partition, bound)).unwrap_or_else(|| Err(RequestError::unanswered()));
        held.bounds = answers::bounds(take(Bound::Low), take(Bound::LastStable));
    }
}

fn details_of(settings: &KafkaSettings) -> Result<BTreeMap<Topic, TopicDetails>, String> {
    topic_details(settings, ANSWER_WITHIN).map_err(reason_of)
}

/// Returns the reason for which settings are not known, without the brokers.
fn reason_of(error: SettingsError) -> String {
    match error {
        SettingsError::Unreachable { why, .. } => why,
        SettingsError::Unsupported { .. } => "the brokers do not know the request".to_owned(),
    }
}

/// Asks for the group's offset of one partition, which needs the right to describe the group.
fn group(
    client: &Arc<QueryClient>,
    settings: &KafkaSettings,
    topics: &BTreeMap<Topic, TopicAnswer>,
) -> Result<(), RequestError> {
    let there = topics.iter().find_map(|(topic, answer)| match answer {
        TopicAnswer::There { partitions, .. } => {
            Some((settings.topics.get(*topic), partitions.first()?.partition))
        }
        _ => None,
    });
    let Some((name, partition)) = there else { return Err(RequestError::unanswered()) };
    let mut list = TopicPartitionList::new();
    // The offset is one that a list can have.
    let _ = list.add_partition_offset(name, partition, Offset::Invalid);
    let answer = client.committed_offsets(list, ANSWER_WITHIN);
    answer.map(drop).map_err(|error| RequestError::of(&error, client.context()))
}

#[cfg(test)]
mod tests;
