//! librdkafka's settings for every consumer: the one that reads, and those that only ask.

use rdkafka::config::ClientConfig;

use super::settings::KafkaSettings;

/// Returns librdkafka's settings for a consumer. Those that the projector's correctness rests on come last, so
/// that nothing overrides them.
pub fn consumer_config(settings: &KafkaSettings, group_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in [
        ("client.id", "optview"),
        ("queued.min.messages", "10000"),
        ("queued.max.messages.kbytes", "4096"),
        ("fetch.queue.backoff.ms", "20"),
        // A broker holds a fetch of partitions without new records for this long (500 ms by default), and no other
        // fetch is sent meanwhile, not even for a partition whose queue has just been emptied.
        ("fetch.wait.max.ms", "20"),
        ("reconnect.backoff.max.ms", "2000"),
        // A broker may close an idle connection, which is no error.
        ("log.connection.close", "false"),
    ] {
        config.set(key, value);
    }
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    for (key, value) in [
        ("bootstrap.servers", settings.brokers.as_str()),
        ("group.id", group_id),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        ("check.crcs", "true"),
        ("allow.auto.create.topics", "false"),
    ] {
        config.set(key, value);
    }
    config
}
