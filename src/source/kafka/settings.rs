//! How to reach a cluster, and librdkafka's settings.

use crate::status::TopicNames;

/// Which cluster, which topics, and any other librdkafka setting (TLS, SASL, ...), as pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port,host:port`
    pub brokers: String,
    pub topics: TopicNames,
    pub properties: Vec<(String, String)>,
}
