//! Apache Kafka: the only module that knows rdkafka.

pub mod admin;
pub mod embedded;
pub mod producer;
pub mod settings;

pub use settings::KafkaSettings;
