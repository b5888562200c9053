//! Reads a dead letter topic once, from its oldest record to the end that it has now.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use super::metadata::{self, MetadataError};
use super::{KafkaSettings, KafkaSource};
use crate::domain::{OwnedRecord, Topic, TopicPartition};
use crate::source::{ReadDeadline, ReadTimeout, Source as _, SourceEvent, TopicNames, Watermarks};

/// The stream in whose place the topic is read. A source has three.
const PLACE: Topic = Topic::Optimizations;
/// The group id, which librdkafka requires, although nothing is ever written for the group.
const GROUP: &str = "optview-letters";
/// Time limit of one poll, and so the interval of the checks.
const WAIT: Duration = Duration::from_millis(100);
/// Time without records, or with a standing error, after which the reading ends.
const STALL_AFTER: Duration = Duration::from_secs(30);

/// The reason for which a dead letter topic cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LetterReadError {
    /// The cluster has no such topic.
    #[error("the cluster at {brokers} has no topic `{topic}`: give the name that --dead-letter-topic has")]
    Missing {
        /// The bootstrap addresses.
        brokers: String,
        /// The name that was given.
        topic: String,
    },
    /// The cluster does not answer.
    #[error(transparent)]
    Cluster(#[from] MetadataError),
    /// librdkafka does not take the settings.
    #[error("librdkafka does not take the settings: {0}; check --kafka-property and --kafka-properties")]
    Setup(#[from] KafkaError),
    /// A partition cannot be read.
    #[error("the topic `{topic}` cannot be read to its end: {why}")]
    Unreadable {
        /// The topic's name.
        topic: String,
        /// The reason.
        why: String,
    },
}

/// Passes each record to `take`, with the number of offsets that there are in all, until `take` breaks. The partition and the
/// offset of a record are its own; its stream means nothing.
///
/// # Errors
/// The topic is not there, or cannot be read to its end.
pub fn read_letters(
    settings: &KafkaSettings,
    topic: &str,
    take: &mut dyn FnMut(OwnedRecord, u64) -> ControlFlow<()>,
) -> Result<(), LetterReadError> {
    let bounds = metadata::watermarks(settings, [topic])?;
    if bounds.is_empty() {
        return Err(LetterReadError::Missing { brokers: settings.brokers.clone(), topic: topic.to_owned() });
    }
    let open: BTreeMap<i32, Watermarks> = bounds
        .into_iter()
        .map(|(named, bounds)| (named.partition, bounds))
        .filter(|(_, bounds)| bounds.low < bounds.high)
        .collect();
    let total = open.values().map(|bounds| bounds.high.abs_diff(bounds.low)).sum();
    let [jobs, runs] = [Topic::Jobs, Topic::MultistartRuns].map(|stream| settings.topics.get(stream).to_owned());
    let settings =
        KafkaSettings { topics: TopicNames::new(topic.to_owned(), jobs, runs), ..KafkaSettings::clone(settings) };
    let mut source = KafkaSource::new(&settings, GROUP)?;
    let mut reading = LetterReading { open, total, failure: None };
    let mut deadline = ReadDeadline::new(STALL_AFTER, Instant::now());
    while !reading.open.is_empty() {
        let mut events = Vec::new();
        source.poll(WAIT, &mut |event| events.push(event));
        for event in events {
            deadline.restart(Instant::now());
            if reading.take_in(event, &mut source, take).is_break() {
                return Ok(());
            }
        }
        let awaited = reading.open.keys().map(|partition| TopicPartition::new(PLACE, *partition));
        let overdue = deadline.check(&source, awaited, Instant::now()).map(|overdue| match overdue {
            ReadTimeout::Partition { why, .. } | ReadTimeout::Silence { why } => why,
        });
        if let Some(why) = reading.failure.take().or(overdue) {
            return Err(LetterReadError::Unreadable { topic: topic.to_owned(), why });
        }
    }
    Ok(())
}

struct LetterReading {
    /// The partitions that are not read to their end, with their bounds.
    open: BTreeMap<i32, Watermarks>,
    /// Number of offsets in all.
    total: u64,
    failure: Option<String>,
}

impl LetterReading {
    fn take_in(
        &mut self,
        event: SourceEvent,
        source: &mut KafkaSource,
        take: &mut dyn FnMut(OwnedRecord, u64) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match event {
            SourceEvent::Found { partition, .. } if partition.topic == PLACE => {
                if let Some(bounds) = self.open.get(&partition.partition) {
                    self.failure = source.assign(partition, bounds.low).err().map(|reason| reason.text);
                }
            }
            SourceEvent::Found { .. } => {}
            SourceEvent::Records(records) => {
                for at in 0..records.len() {
                    let record = records.record(at);
                    let (partition, offset) = (record.position.partition, record.position.offset);
                    let Some(bounds) = self.open.get(&partition) else { break };
                    if offset + 1 >= bounds.high {
                        self.close(record.position.topic_partition(), source);
                    }
                    take(OwnedRecord::from(&record), self.total)?;
                }
            }
            SourceEvent::Ended { partition, .. } => self.close(partition, source),
            SourceEvent::Failed { partition, reason } => {
                self.failure = Some(reason.text);
                self.close(partition, source);
            }
        }
        ControlFlow::Continue(())
    }

    fn close(&mut self, partition: TopicPartition, source: &mut KafkaSource) {
        self.open.remove(&partition.partition);
        source.stop(partition);
    }
}
