//! Scans the topics for their partitions.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::super::queries::QueryClient;
use super::state::TopicScan;
use crate::domain::{Topic, TopicPartition};
use crate::source::TopicNames;

/// Time limit of a request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Scans every topic once.
pub fn scan_topics(client: &QueryClient, names: &TopicNames) -> TopicScan {
    let mut scan = TopicScan::default();
    for topic in Topic::ALL {
        if let Err(trouble) = scan_topic(client, names.get(topic), topic, &mut scan) {
            scan.troubles.push(trouble);
        }
    }
    scan
}

fn scan_topic(client: &QueryClient, name: &str, topic: Topic, scan: &mut TopicScan) -> Result<(), String> {
    let no_topic = |why: &dyn std::fmt::Display| format!("cannot look at the topic `{name}`: {why}");
    let metadata = client.fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(|error| no_topic(&error))?;
    let held = metadata.topics().iter().find(|held| held.name() == name);
    let held = held.ok_or_else(|| no_topic(&"the cluster does not list it"))?;
    if let Some(error) = held.error() {
        let error = KafkaError::MetadataFetch(error.into());
        return Err(format!("the topic `{name}` cannot be read ({error}): does it exist?"));
    }
    if held.partitions().is_empty() {
        return Err(no_topic(&"it has no partitions"));
    }
    // The cluster has just answered, so that its id is known by now, if ever.
    scan.cluster_id = client.client().fetch_cluster_id(REQUEST_TIMEOUT).or(scan.cluster_id.take());
    scan.brokers = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    scan.partitions.extend(held.partitions().iter().map(|partition| TopicPartition::new(topic, partition.id())));
    Ok(())
}
