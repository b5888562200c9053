//! Checks through librdkafka's own consumer that the linker has replaced librdkafka's functions.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::*;
use crate::domain::Topic;
use crate::source::kafka::{KafkaSettings, KafkaSource};
use crate::source::{Records, Source as _, SourceEvent, TopicNames};

const DEADLINE: Duration = Duration::from_secs(120);

fn put(settings: &KafkaSettings, compression: &str, values: &[String]) {
    let mut config: ClientConfig = settings.client_config();
    config
        .set("compression.type", compression)
        .set("message.max.bytes", "1000000000")
        .set("batch.size", "1000000000")
        .set("linger.ms", "2000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    for value in values {
        let record = BaseRecord::<str, str>::to(settings.topics.get(Topic::Jobs)).key("key").payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
}

/// Reads the first records of the jobs topic. Returns the offset of each, the length of its whole value if it was
/// cut short, and the remaining value.
fn read(settings: &KafkaSettings, count: usize) -> Vec<(i64, Option<u64>, Vec<u8>)> {
    let mut source = KafkaSource::new(settings, "test").unwrap();
    let (mut given, begin) = (Vec::new(), Instant::now());
    while given.len() < count {
        assert!(begin.elapsed() < DEADLINE, "{} records", given.len());
        let mut found = Vec::new();
        source.poll(Duration::from_millis(20), &mut |polled| match polled {
            SourceEvent::Found { partition, .. } => found.push(partition),
            SourceEvent::Records(records) => given.extend((0..records.len()).map(|at| one(&*records, at))),
            SourceEvent::Failed { reason, .. } => panic!("{reason}"),
            SourceEvent::Ended { .. } => {}
        });
        for partition in found {
            source.assign(partition, 0).unwrap();
        }
    }
    given
}

fn one(records: &dyn Records, at: usize) -> (i64, Option<u64>, Vec<u8>) {
    let record = records.record(at);
    (record.position.offset, records.cut_from(at), record.value.unwrap().to_vec())
}

#[test]
fn a_batch_of_any_compression_is_read_whole_within_the_limit_and_cut_short_beyond_it() {
    let large = BATCH_LIMIT + 1;
    for (compression, len) in [
        ("none", 3_000_000),
        ("snappy", 3_000_000),
        ("gzip", 3_000_000),
        ("zstd", 3_000_000),
        ("lz4", 3_000_000),
        ("gzip", large),
        ("zstd", large),
        ("lz4", large),
    ] {
        let mock = MockCluster::new(1).unwrap();
        let topics = TopicNames::default();
        Topic::ALL.iter().for_each(|topic| mock.create_topic(topics.get(*topic), 1, 1).unwrap());
        let properties = vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())];
        let settings = KafkaSettings { brokers: mock.bootstrap_servers(), topics, properties };
        let values = ["first".to_owned(), "x".repeat(len), "last".to_owned()];
        put(&settings, compression, &values);
        let given = read(&settings, values.len());
        assert_eq!(given[0], (0, None, b"first".to_vec()), "{compression}, {len}");
        assert_eq!(given[2], (2, None, b"last".to_vec()), "{compression}, {len}");
        let (offset, cut_from, value) = &given[1];
        let expected = if len > BATCH_LIMIT { (Some(len as u64), 64 << 10) } else { (None, len) };
        assert_eq!((*offset, (*cut_from, value.len())), (1, expected), "{compression}, {len}");
        assert!(value.iter().all(|byte| *byte == b'x'));
    }
}
