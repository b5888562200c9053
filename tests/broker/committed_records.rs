//! The committed records of a topic, as another reader finds them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::rig::{DEADLINE, Rig};

/// Reads all committed records that a topic has now, each partition's in their order.
pub fn committed_records(rig: &Rig, name: &str) -> Vec<OwnedMessage> {
    let mut config = rig.settings.client_config();
    config.set("group.id", "optview-tests").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let of_all: BaseConsumer = config.clone().set("isolation.level", "read_uncommitted").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(name), DEADLINE).unwrap();
    let mut assignment = TopicPartitionList::new();
    // Marks go on coming, so that there is no end but that of now.
    let (mut ends, begin) = (BTreeMap::new(), Instant::now());
    for partition in 0..metadata.topics()[0].partitions().len() as i32 {
        let (low, high) = of_all.fetch_watermarks(name, partition, DEADLINE).unwrap();
        // The brokers acknowledge a transaction before its end is in each partition, where readers wait for it.
        while consumer.fetch_watermarks(name, partition, DEADLINE).unwrap().1 < high {
            assert!(begin.elapsed() < DEADLINE, "a transaction in {name} has no end");
            std::thread::sleep(Duration::from_millis(10));
        }
        assignment.add_partition_offset(name, partition, Offset::Offset(low)).unwrap();
        ends.insert(partition, high);
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    while !ends.is_empty() {
        assert!(begin.elapsed() < DEADLINE, "{name} has no end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                ends.retain(|partition, end| *partition != record.partition() || record.offset() + 1 < *end);
                records.push(record.detach());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    records
}

/// Returns a header of a record as text.
pub fn header<'a>(record: &'a OwnedMessage, name: &str) -> Option<&'a str> {
    let mut headers = record.headers()?.iter();
    headers.find(|header| header.key == name).and_then(|header| std::str::from_utf8(header.value?).ok())
}
