//! Apache Kafka: the only module that knows rdkafka.

pub mod admin;
mod build_parts;
mod client;
mod consumer;
pub mod decompression;
pub mod embedded;
mod fetch_errors;
pub mod look;
mod observer;
mod partition;
pub mod producer;
mod queries;
mod queue;
mod reasons;
mod renewal;
pub mod settings;
pub mod topic_settings;
mod wake;
mod watch;

pub use consumer::{KafkaSource, consumer_config};
pub use settings::KafkaSettings;
