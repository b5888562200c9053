//! Apache Kafka: the only module that knows rdkafka.

mod consumer;
pub mod settings;
mod watch;

pub use consumer::KafkaSource;
pub use settings::KafkaSettings;
