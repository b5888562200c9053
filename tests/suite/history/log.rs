//! A log in memory, as a source: what `history` reads in its tests.

use std::path::Path;
use std::time::Duration;

use optview::codec::encode::{encode, key};
use optview::codec::{Encoding, Framing};
use optview::config::{AsOf, HistoryConfig, LogSource};
use optview::domain::{Envelope, PartitionOffset, Record, Topic, TopicPartition};
use optview::history;
use optview::source::archive::{Appender, Archive, ArchiveIdentity, ArchiveSource, ArchivedTopic};
use optview::source::kafka::KafkaSettings;
use optview::source::{Records, Source, SourceEvent, StopReason, TopicNames, Watermarks};
use serde_json::Value;

use crate::fixtures::Random;
use crate::support::OwnedRecord;

/// The first record's timestamp; each record has one millisecond more than the one before it.
pub const FIRST_MILLIS: i64 = 1_772_355_600_000;

#[derive(Clone)]
pub struct LoggedRecord {
    pub record: OwnedRecord,
    pub timestamp_millis: i64,
}

pub struct Log {
    /// The records of all partitions, in the order in which they were written.
    records: Vec<LoggedRecord>,
    partitions: i32,
    /// Below this, the topic's partitions have lost their records.
    low: Vec<(Topic, i64)>,
}

/// The answer to `--as-of` for programs.
pub struct ViewAnswer {
    pub view: Value,
    /// True if the answer was also an error.
    pub failed: bool,
}

impl Log {
    /// An empty one with so many partitions a topic.
    pub fn new(partitions: i32) -> Log {
        Log { records: Vec::new(), partitions, low: Vec::new() }
    }

    /// The events spread over the partitions at random, in any order.
    pub fn of(history: &[Envelope<'_>], encoding: Encoding, partitions: i32, seed: u64) -> Log {
        let mut log = Log::new(partitions);
        let mut random = Random(seed);
        let mut history: Vec<_> = history.iter().map(|envelope| (random.next(), &envelope.event)).collect();
        history.sort_by_key(|(place, _)| *place);
        for (place, event) in history {
            let mut value = Vec::new();
            encode(event, encoding, &mut value);
            let partition = (place % partitions as u64) as i32;
            log.push(event.body.topic(), partition, key(event).as_bytes().to_vec(), Some(value));
        }
        log
    }

    pub fn put(&mut self, topic: Topic, key: &str, value: Option<&str>) {
        let partition = key.len() as i32 % self.partitions;
        self.push(topic, partition, key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()));
    }

    fn push(&mut self, topic: Topic, partition: i32, key: Vec<u8>, value: Option<Vec<u8>>) {
        let position = PartitionOffset { topic, partition, offset: self.high(topic, partition) };
        let timestamp_millis = FIRST_MILLIS + self.records.len() as i64;
        self.records.push(LoggedRecord { record: OwnedRecord { position, key, value }, timestamp_millis });
    }

    /// Removes the records below an offset, as retention does.
    pub fn remove_below(&mut self, topic: Topic, offset: i64) {
        self.low.push((topic, offset));
    }

    pub fn records(&self) -> impl Iterator<Item = &LoggedRecord> {
        self.records.iter()
    }

    /// Returns the answer for programs with all events.
    pub fn history(&self, id: &str) -> Result<Value, String> {
        let (out, outcome) = self.answer(id, None, true);
        outcome.map(|()| serde_json::from_slice(&out).unwrap())
    }

    /// Whatever was printed, an error or not.
    pub fn as_of(&self, id: &str, as_of: AsOf) -> ViewAnswer {
        let (out, outcome) = self.answer(id, Some(as_of), true);
        ViewAnswer { view: serde_json::from_slice(&out).unwrap(), failed: outcome.is_err() }
    }

    pub fn try_as_of(&self, id: &str, as_of: AsOf) -> Result<(), String> {
        self.answer(id, Some(as_of), true).1
    }

    /// Returns the answer for people.
    pub fn text(&self, id: &str) -> String {
        String::from_utf8(self.answer(id, None, false).0).unwrap()
    }

    pub fn text_as_of(&self, id: &str, as_of: AsOf) -> String {
        String::from_utf8(self.answer(id, Some(as_of), false).0).unwrap()
    }

    /// Writes the log as an archive of several files.
    pub fn archived(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let identity = ArchiveIdentity {
            cluster_id: "a-cluster".to_owned(),
            topics: Topic::ALL
                .map(|stream| {
                    let topic = stream.default_name().to_owned();
                    ArchivedTopic { stream, topic, partitions: self.partitions, id: None }
                })
                .to_vec(),
        };
        for part in self.records.chunks(self.records.len().div_ceil(3).max(1)) {
            let archive = Archive::open(directory.path(), identity.clone()).unwrap();
            let mut appender = Appender::new(archive, TopicNames::default());
            for written in part {
                appender.begin(written.record.position.topic_partition(), 0);
                appender.write(&LoggedBatch(vec![written.clone()])).unwrap();
            }
            appender.finish().unwrap();
        }
        directory
    }

    pub fn answer(&self, id: &str, as_of: Option<AsOf>, json: bool) -> (Vec<u8>, Result<(), String>) {
        let kafka =
            KafkaSettings { brokers: String::new(), topics: TopicNames::default(), properties: Vec::new() };
        let mut source = ScriptedLog { log: self, found: false, next: Vec::new() };
        answer(&mut source, LogSource::Topics(kafka), id, as_of, json)
    }

    fn high(&self, topic: Topic, partition: i32) -> i64 {
        self.of_partition(topic, partition).count() as i64
    }

    fn low(&self, topic: Topic) -> i64 {
        self.low.iter().find(|(held, _)| *held == topic).map_or(0, |(_, low)| *low)
    }

    fn of_partition(&self, topic: Topic, partition: i32) -> impl Iterator<Item = &LoggedRecord> {
        self.records.iter().filter(move |written| {
            written.record.position.topic_partition() == TopicPartition::new(topic, partition)
        })
    }
}

/// Returns the answer for programs from an archive.
pub fn of_archive(directory: &Path, id: &str, as_of: Option<AsOf>) -> (Vec<u8>, Result<(), String>) {
    let mut source = match ArchiveSource::open(directory) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Err(error.to_string())),
    };
    answer(&mut source, LogSource::Archive(directory.to_owned()), id, as_of, true)
}

fn answer(
    source: &mut dyn Source,
    log_source: LogSource,
    id: &str,
    as_of: Option<AsOf>,
    json: bool,
) -> (Vec<u8>, Result<(), String>) {
    let config = HistoryConfig {
        log_source,
        topics: TopicNames::default(),
        id: id.to_owned(),
        as_of,
        framing: Framing::Auto,
        json,
    };
    let mut out = Vec::new();
    let outcome = history::write_answer(source, &config, &mut out);
    (out, outcome.map_err(|error| error.to_string()))
}

struct ScriptedLog<'a> {
    log: &'a Log,
    found: bool,
    /// The next offset of each partition that is read.
    next: Vec<PartitionOffset>,
}

struct LoggedBatch(Vec<LoggedRecord>);

impl Records for LoggedBatch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn record(&self, at: usize) -> Record<'_> {
        let LoggedRecord { record, timestamp_millis } = &self.0[at];
        Record { timestamp_millis: Some(*timestamp_millis), ..record.record() }
    }
}

impl Source for ScriptedLog<'_> {
    fn poll(&mut self, _: Duration, take: &mut dyn FnMut(SourceEvent)) -> bool {
        if !std::mem::replace(&mut self.found, true) {
            for topic in Topic::ALL {
                for partition in 0..self.log.partitions {
                    let partition = TopicPartition::new(topic, partition);
                    let watermarks = self.watermarks(partition).unwrap();
                    take(SourceEvent::Found { partition, watermarks });
                }
            }
        }
        const BATCH: usize = 3;
        for held in &mut self.next {
            let (partition, next) = (held.topic_partition(), &mut held.offset);
            let unread = self.log.of_partition(partition.topic, partition.partition).skip(*next as usize);
            let batch: Vec<LoggedRecord> = unread.take(BATCH).cloned().collect();
            *next += batch.len() as i64;
            match batch.is_empty() {
                true => take(SourceEvent::Ended { partition, position: *next }),
                false => take(SourceEvent::Records(Box::new(LoggedBatch(batch)))),
            }
        }
        false
    }

    fn assign(&mut self, partition: TopicPartition, offset: i64) -> Result<(), StopReason> {
        assert!(self.next.iter().all(|next| next.topic_partition() != partition), "it is read already");
        self.next.push(partition.at(offset));
        Ok(())
    }

    fn stop(&mut self, partition: TopicPartition) {
        self.next.retain(|next| next.topic_partition() != partition);
    }

    fn watermarks(&self, partition: TopicPartition) -> Option<Watermarks> {
        let TopicPartition { topic, partition } = partition;
        Some(Watermarks { low: self.log.low(topic), high: self.log.high(topic, partition) })
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn is_complete(&self) -> bool {
        self.found
    }

    fn publish(&mut self, _: &[PartitionOffset]) {
        unreachable!("a tool that reads tells nobody how far it is");
    }
}
