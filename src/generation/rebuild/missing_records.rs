//! The records that a generation was built from and the topics no longer have, partition by partition, as far as that can be known
//! before anything is read: what is missing from between shows only when the views are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context as _;

use crate::config::ProjectionConfig;
use crate::domain::{Gap, NamedPartition, PartitionOffset, TopicId, TopicPartition};
use crate::source::Watermarks;
use crate::source::archive::Manifest;
use crate::source::kafka::metadata;
use crate::store::{Anchor, Checkpoint, PartitionCheckpoint};

/// The records of one partition that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingRecords {
    /// The partition begins later than it did when it was read first.
    Beginning { origin: i64, begin: i64 },
    /// The partition cannot be read on from where it was read up to: all of its records may be others.
    Gap(Gap),
    /// The topic is none of those that are to be read.
    Unnamed,
}

impl MissingRecords {
    /// Returns true if the record at an offset that was read is missing.
    fn has(&self, offset: i64) -> bool {
        match self {
            MissingRecords::Beginning { begin, .. } => offset < *begin,
            MissingRecords::Gap(_) | MissingRecords::Unnamed => true,
        }
    }
}

impl fmt::Display for MissingRecords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingRecords::Beginning { origin, begin } => write!(formatter, " from {origin} to {begin}"),
            MissingRecords::Gap(gap @ Gap::Shorter { next, high }) => {
                write!(formatter, " from {high} to {next} ({gap})")
            }
            MissingRecords::Gap(gap) => write!(formatter, " as a whole ({gap})"),
            MissingRecords::Unnamed => write!(formatter, ", which is none of the topics that are to be read"),
        }
    }
}

/// The missing records of all partitions.
#[derive(Debug, Default)]
pub struct MissingFromTopics(BTreeMap<NamedPartition, MissingRecords>);

impl MissingFromTopics {
    /// Looks at the topics, and at the archive that is read before them, where there is one. `origins` is from where each
    /// partition was read first: where that is not known, from the beginning.
    ///
    /// # Errors
    /// Fails if the topics cannot be looked at.
    pub fn look(
        config: &ProjectionConfig,
        checkpoint: &Checkpoint,
        origins: &BTreeMap<NamedPartition, i64>,
        archive: Option<&Manifest>,
    ) -> anyhow::Result<MissingFromTopics> {
        let topics: BTreeSet<&str> = checkpoint.keys().map(|key| key.topic.as_str()).collect();
        let there = metadata::watermarks(&config.kafka, topics)?;
        let archived = archive.map(first_offsets).unwrap_or_default();
        let gone = checkpoint.iter().filter_map(|(key, held)| {
            let origin = origins.get(key).copied().unwrap_or(0);
            let begins = |low: i64| archived.get(key).copied().unwrap_or(low).min(low);
            let next = held.next_offset;
            let gone = match there.get(key) {
                _ if config.kafka.topics.topic_of(&key.topic).is_none() => MissingRecords::Unnamed,
                None => MissingRecords::Gap(Gap::Missing { next }),
                Some(&Watermarks { high, .. }) if high < next => MissingRecords::Gap(Gap::Shorter { next, high }),
                Some(Watermarks { low, .. }) if begins(*low) > origin => {
                    MissingRecords::Beginning { origin, begin: begins(*low) }
                }
                Some(_) => return None,
            };
            Some((key.clone(), gone))
        });
        let mut gone = MissingFromTopics(gone.collect());
        gone.look_at_ids(config, checkpoint)?;
        gone.look_at_anchors(config, checkpoint, &there)?;
        Ok(gone)
    }

    /// Compares the ids of the topics, which decide where they are known on both sides.
    fn look_at_ids(&mut self, config: &ProjectionConfig, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let read = |(key, held): (&NamedPartition, &PartitionCheckpoint)| {
            Some((config.kafka.topics.partition_of(key)?, (held.topic_id?, held.next_offset)))
        };
        let read: BTreeMap<TopicPartition, (TopicId, i64)> =
            checkpoint.iter().filter(|(key, _)| !self.0.contains_key(*key)).filter_map(read).collect();
        if read.is_empty() {
            return Ok(());
        }
        let found = metadata::topic_ids(&config.kafka)?;
        for (partition, (read, next)) in read {
            let found = found.get(&partition.topic).copied();
            let Some(gap) = Gap::between_ids(Some(read), found, next) else { continue };
            self.0.insert(config.kafka.topics.partition(partition), MissingRecords::Gap(gap));
        }
        Ok(())
    }

    /// Reads again the last record that was read of each partition, where it is still there.
    fn look_at_anchors(
        &mut self,
        config: &ProjectionConfig,
        checkpoint: &Checkpoint,
        there: &BTreeMap<NamedPartition, Watermarks>,
    ) -> anyhow::Result<()> {
        let anchor = |(key, held): (&NamedPartition, &PartitionCheckpoint)| {
            if self.0.contains_key(key) {
                return None;
            }
            let (anchor, Watermarks { low, high }) = (held.anchor?, *there.get(key)?);
            let partition = config.kafka.topics.partition_of(key)?;
            (low..high).contains(&anchor.offset).then_some((partition, anchor))
        };
        let anchors: BTreeMap<TopicPartition, Anchor> = checkpoint.iter().filter_map(anchor).collect();
        let offsets = anchors.iter().map(|(key, anchor)| (*key, anchor.offset)).collect();
        let found = metadata::records_at(&config.kafka, &offsets)
            .context("the topics cannot be compared with what was read of them before")?;
        for (partition, anchor) in anchors {
            // If there is no record at the offset any more, it proves nothing.
            let is_other = found.get(&partition).is_some_and(|record| {
                record.position.offset == anchor.offset && Anchor::of(&record.record()) != anchor
            });
            if is_other {
                let gap = Gap::OtherRecord { offset: anchor.offset };
                self.0.insert(config.kafka.topics.partition(partition), MissingRecords::Gap(gap));
            }
        }
        Ok(())
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the event that was read at this position is missing.
    pub fn has(&self, config: &ProjectionConfig, position: &PartitionOffset) -> bool {
        let key = config.kafka.topics.partition(position.topic_partition());
        self.0.get(&key).is_some_and(|gone| gone.has(position.offset))
    }

    /// Each partition with what is missing.
    pub fn told(&self) -> String {
        let told = self.0.iter().map(|(partition, gone)| format!("{partition}{gone}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// The first offset that an archive has of each partition, by the topic's name in the cluster.
fn first_offsets(archive: &Manifest) -> BTreeMap<NamedPartition, i64> {
    let names = archive.topic_names();
    archive.spans().into_iter().map(|(partition, span)| (names.partition(partition), span.first)).collect()
}
