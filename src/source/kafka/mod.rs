//! Apache Kafka: the only module that knows rdkafka.

pub mod admin;
mod consumer;
pub mod embedded;
pub mod look;
pub mod producer;
mod queue;
mod reasons;
pub mod settings;
mod watch;
pub mod yardstick;

pub use consumer::KafkaSource;
pub use settings::KafkaSettings;
