//! The yardstick of a catch-up: bare librdkafka, with the projector's settings, reading and throwing away.

use std::time::Duration;

use optview::domain::Topic;
use optview::source::kafka::{KafkaSettings, consumer_config};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Number of records in the topics; `None` if they are not there, or empty.
pub fn records(settings: &KafkaSettings) -> Option<u64> {
    let consumer: BaseConsumer = consumer_config(settings, "optview-yardstick").create().ok()?;
    let records: i64 = partitions(&consumer, settings)?.iter().map(|(_, _, low, high)| high - low).sum();
    u64::try_from(records).ok().filter(|records| *records > 0)
}

/// Reads everything in the topics, and returns the number of records.
///
/// # Panics
/// Panics if the topics cannot be read, because there is nothing to compare with then.
pub fn drain(settings: &KafkaSettings) -> u64 {
    let consumer: BaseConsumer =
        consumer_config(settings, "optview-yardstick").create().expect("librdkafka takes the settings");
    let mut assignment = TopicPartitionList::new();
    let partitions = partitions(&consumer, settings).expect("the topics are there");
    for (name, partition, low, _) in &partitions {
        assignment
            .add_partition_offset(name, *partition, Offset::Offset(*low))
            .expect("an offset that the broker named is valid");
    }
    consumer.assign(&assignment).expect("what was listed can be assigned");
    let (mut records, mut ended) = (0, 0);
    while ended < partitions.len() {
        match consumer.poll(TIMEOUT) {
            Some(Ok(_)) => records += 1,
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => panic!("nothing came for {TIMEOUT:?}"),
        }
    }
    records
}

/// The partitions of the topics as (topic, partition, low watermark, high watermark).
fn partitions(consumer: &BaseConsumer, settings: &KafkaSettings) -> Option<Vec<(String, i32, i64, i64)>> {
    let mut partitions = Vec::new();
    for topic in Topic::ALL {
        let name = settings.topics.get(topic);
        let metadata = consumer.fetch_metadata(Some(name), TIMEOUT).ok()?;
        let held = metadata.topics().iter().find(|held| held.name() == name && held.error().is_none())?;
        for partition in held.partitions() {
            let (low, high) = consumer.fetch_watermarks(name, partition.id(), TIMEOUT).ok()?;
            partitions.push((name.to_owned(), partition.id(), low, high));
        }
    }
    Some(partitions)
}
