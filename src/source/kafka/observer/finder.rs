//! Looks which partitions the topics have.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::super::queries::Asking;
use super::state::Look;
use crate::domain::Topic;
use crate::source::TopicNames;

/// How long a request to the cluster may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at every topic once.
pub fn look(client: &Asking, names: &TopicNames) -> Look {
    let mut look = Look::default();
    for topic in Topic::ALL {
        if let Err(trouble) = look_at(client, names.get(topic), topic, &mut look) {
            look.troubles.push(trouble);
        }
    }
    look
}

fn look_at(client: &Asking, name: &str, topic: Topic, look: &mut Look) -> Result<(), String> {
    let no_topic = |why: &dyn std::fmt::Display| format!("cannot look at the topic `{name}`: {why}");
    let metadata = client.fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(|error| no_topic(&error))?;
    let held = metadata.topics().iter().find(|held| held.name() == name);
    let held = held.ok_or_else(|| no_topic(&"the cluster does not tell of it"))?;
    if let Some(error) = held.error() {
        let error = KafkaError::MetadataFetch(error.into());
        return Err(format!("the topic `{name}` cannot be read, is it there? ({error})"));
    }
    if held.partitions().is_empty() {
        return Err(no_topic(&"it has no partitions"));
    }
    // The cluster has just answered, so its id is known by now, if ever.
    look.cluster_id = client.client().fetch_cluster_id(REQUEST_TIMEOUT).or(look.cluster_id.take());
    look.brokers = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    look.partitions.extend(held.partitions().iter().map(|partition| (topic, partition.id())));
    Ok(())
}
