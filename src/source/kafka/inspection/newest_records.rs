//! The newest records of each partition. PartitionReads them also shows whether the topics may be read, which no other request does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::{KafkaSettings, KafkaSource};
use super::answers::{PartitionAnswer, TopicAnswer};
use crate::domain::{OwnedRecord, Topic, TopicPartition};
use crate::source::{Source as _, SourceEvent, Watermarks, trouble};

/// Time in which a partition must deliver something, beside all that others deliver.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Time limit of all of it.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Size in bytes of the records that are kept. Once they have more, nothing more is read.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// The newest records of the partitions.
#[derive(Debug, Default)]
pub struct NewestRecords {
    /// The records of each partition that could be read, in their order; empty for a partition without records.
    pub read: BTreeMap<TopicPartition, Vec<OwnedRecord>>,
    /// The reason for which a partition could not be read.
    pub failed: BTreeMap<TopicPartition, String>,
}

/// Reads about `count` of the newest offsets of each partition whose bounds are known. An offset may have no record.
pub fn newest_records(
    settings: &KafkaSettings,
    group_id: &str,
    topics: &BTreeMap<Topic, TopicAnswer>,
    count: impl Fn(Topic) -> i64,
) -> NewestRecords {
    let mut newest = NewestRecords::default();
    let mut reading = PartitionReads { open: partitions(topics), count, kept_bytes: 0 };
    if reading.open.is_empty() {
        return newest;
    }
    let mut source = match KafkaSource::new(settings, group_id) {
        Ok(source) => source,
        Err(error) => {
            newest.failed = reading.open.keys().map(|partition| (*partition, error.to_string())).collect();
            return newest;
        }
    };
    let begin = Instant::now();
    let mut heard = begin;
    while !reading.open.is_empty() && begin.elapsed() < READ_WITHIN && heard.elapsed() < SILENCE_MAX {
        let mut events = Vec::new();
        source.poll(Duration::from_millis(100), &mut |event| events.push(event));
        for event in events {
            heard = Instant::now();
            reading.take(event, &mut source, &mut newest);
        }
        reading.fail(&source, &mut newest);
    }
    for partition in reading.open.keys() {
        let why = source.partition_error(*partition).map_or_else(|| trouble(&source), |error| error.text);
        newest.failed.insert(*partition, why);
    }
    newest
}

/// Returns the partitions that can be read, with their bounds.
fn partitions(topics: &BTreeMap<Topic, TopicAnswer>) -> BTreeMap<TopicPartition, Watermarks> {
    let mut found = BTreeMap::new();
    for (topic, answer) in topics {
        let TopicAnswer::There { partitions, .. } = answer else { continue };
        for PartitionAnswer { partition, has_leader, bounds, .. } in partitions {
            if let (true, Ok(bounds)) = (has_leader, bounds) {
                found.insert(TopicPartition::new(*topic, *partition), *bounds);
            }
        }
    }
    found
}

struct PartitionReads<C> {
    /// The partitions that are not read to their end yet, with their bounds.
    open: BTreeMap<TopicPartition, Watermarks>,
    count: C,
    kept_bytes: usize,
}

impl<C: Fn(Topic) -> i64> PartitionReads<C> {
    fn take(&mut self, event: SourceEvent, source: &mut KafkaSource, newest: &mut NewestRecords) {
        match event {
            SourceEvent::Found { partition, .. } => {
                let Some(&Watermarks { low, high }) = self.open.get(&partition) else { return };
                newest.read.insert(partition, Vec::new());
                let begin = high.saturating_sub((self.count)(partition.topic)).max(low);
                if let Err(reason) = source.assign(partition, begin) {
                    self.close(partition, source, newest, Some(reason.text));
                }
            }
            SourceEvent::Records(records) => {
                let mut is_over = false;
                let partition = records.record(0).position.topic_partition();
                let Some(&Watermarks { high, .. }) = self.open.get(&partition) else { return };
                let kept = newest.read.entry(partition).or_default();
                for at in 0..records.len() {
                    let record = records.record(at);
                    is_over |= record.position.offset + 1 >= high || self.kept_bytes > KEPT_BYTES_MAX;
                    if record.position.offset < high && self.kept_bytes <= KEPT_BYTES_MAX {
                        self.kept_bytes += record.size();
                        kept.push(OwnedRecord::from(&record));
                    }
                }
                if is_over {
                    self.close(partition, source, newest, None);
                }
            }
            SourceEvent::Ended { partition, .. } => self.close(partition, source, newest, None),
            SourceEvent::Failed { partition, reason } => self.close(partition, source, newest, Some(reason.text)),
        }
    }

    /// Ends the reading of a partition.
    fn close(
        &mut self,
        partition: TopicPartition,
        source: &mut KafkaSource,
        newest: &mut NewestRecords,
        why: Option<String>,
    ) {
        if self.open.remove(&partition).is_none() {
            return;
        }
        source.stop(partition);
        if let Some(why) = why {
            newest.read.remove(&partition);
            newest.failed.insert(partition, why);
        }
    }

    /// Ends the partitions that only a right which somebody gives would let go on.
    fn fail(&mut self, source: &KafkaSource, newest: &mut NewestRecords) {
        self.open.retain(|partition, _| {
            let error =
                source.partition_error(*partition).filter(|error| error.code.ends_with("AuthorizationFailed"));
            let Some(error) = error else { return true };
            newest.read.remove(partition);
            newest.failed.insert(*partition, error.text);
            false
        });
    }
}
