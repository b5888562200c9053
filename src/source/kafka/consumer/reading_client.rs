//! The client that reads, and its settings that no other client has.

use std::sync::Arc;

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::super::client::Client;
use super::super::closed_connection::log_closed_connections;
use super::super::consumer_config::consumer_config;
use super::super::consumer_watch::ConsumerWatch;
use super::super::fetched_topics;
use super::super::known_topic::KnownTopic;
use super::super::settings::KafkaSettings;
use crate::domain::Topic;

/// Has a consumer ask for the leaders of the topics as soon as it is connected, so that a partition that is assigned is read at
/// once.
pub fn know_topics(consumer: &Arc<Client<ConsumerWatch>>, settings: &KafkaSettings) -> Vec<KnownTopic> {
    Topic::ALL.iter().filter_map(|&topic| KnownTopic::new(consumer, settings.topics.get(topic))).collect()
}

/// Creates the client that reads.
pub fn connect(
    settings: &KafkaSettings,
    group_id: &str,
    watch: ConsumerWatch,
) -> Result<Client<ConsumerWatch>, KafkaError> {
    let mut config = consumer_config(settings, group_id);
    // The watch evaluates the statistics. No other client may request them, because the crate's own contexts log
    // them as a whole.
    config.set("statistics.interval.ms", "1000");
    // A topic of another id is reported in a debug line alone, see `fetched_topics.rs`.
    let debug =
        config.get("debug").into_iter().chain([fetched_topics::DEBUG_CONTEXT]).collect::<Vec<&str>>().join(",");
    config.set("debug", debug);
    // The watch takes those that are closed before the first answer for trouble, and no others.
    log_closed_connections(&mut config).set_log_level(RDKafkaLogLevel::Debug);
    BaseConsumer::from_config_and_context(&config, watch).map(Client::new)
}
