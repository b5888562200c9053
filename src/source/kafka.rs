//! Apache Kafka: the only module that knows rdkafka.

pub mod admin;
mod assigned_partition;
mod build_parts;
mod client;
pub(crate) mod closed_connection;
mod consumer;
mod consumer_config;
mod consumer_watch;
pub(crate) mod decompression;
mod delivery_context;
pub mod embedded_broker;
mod error_context;
mod fetch_errors;
mod fetched_topics;
pub mod inspection;
mod known_topic;
pub mod letter_reading;
pub mod letter_topic;
pub(crate) mod metadata;
mod observer;
pub mod producer;
mod queries;
mod queue;
mod reading_order;
mod renewal;
pub(crate) mod settings;
pub mod topic_settings;
pub mod views_feed;
pub mod views_producer;
pub mod views_topic;
mod wake_flag;

pub use consumer::KafkaSource;
pub use consumer_config::consumer_config;
pub use settings::KafkaSettings;
