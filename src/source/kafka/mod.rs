//! Apache Kafka: the only module that knows rdkafka.

pub mod settings;

pub use settings::KafkaSettings;
