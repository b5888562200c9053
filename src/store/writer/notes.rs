//! The notes of the writer: facts of the whole generation, beside its records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::publisher_notes::PublishedUpTo;
use super::{Writer, WriterCommand};
use crate::codec::stored_record;
use crate::domain::{NamedPartition, PartitionOffset, ReadPosition, Topic};
use crate::store::keys::{CLUSTER, LETTERS_COUNTED_FROM, ORIGINS, TOPICS, letter_stop_key};
use crate::store::letter_topic_note::LetterTopicNote;
use crate::store::{LetterStop, MissingHistoryLedger, StoreError};

impl Writer {
    /// Notes the names of the topics, in the order of `Topic::ALL`, unless they are known already: a generation is never fed from
    /// others.
    pub fn note_topics(&self, names: &[String; 3]) -> Result<(), StoreError> {
        if self.reader().topics()?.is_none() {
            self.trees.meta.insert(TOPICS, stored_record::encode(names, "topics' names")?)?;
        }
        Ok(())
    }

    /// Notes that the records that Kafka had at the opening have been read and written.
    pub fn note_caught_up(&self) {
        self.progress.caught_up.store(true, Ordering::Release);
    }

    /// Notes that the generation is live. The note is written once everything handed over before is on the disk, so that a later
    /// start knows that this store was complete once.
    pub fn note_live(&self) -> Result<(), StoreError> {
        self.send(WriterCommand::Live)
    }

    /// Notes that nothing after this position is in what is handed over from now on, until a later position is noted.
    pub fn note_bound(&self, position: Arc<ReadPosition>) {
        self.progress.bound.store(position);
    }

    /// Has those who watch what readers see rest between two events while records wait for the fold.
    pub fn note_backlog(&self, is_behind: bool) {
        self.progress.note_backlog(is_behind);
    }

    /// Notes that the position that no view is beyond has every partition from now on.
    pub fn note_all_found(&self) {
        self.progress.has_whole_bound.store(true, Ordering::Release);
    }

    /// Notes that everything has been handed over again that was read before the opening. Until then, whatever is written counts as
    /// changed for who publishes the views.
    pub fn note_recovered(&self) -> Result<(), StoreError> {
        self.send(WriterCommand::Recovered)
    }

    /// Notes how far a replica is, in its own words. The note is written once everything handed over before is on the disk, and counts as a
    /// checkpoint.
    pub fn note_replica(&self, note: Vec<u8>) -> Result<(), StoreError> {
        self.send(WriterCommand::Replica(note))
    }

    /// Returns true if somebody publishes the views.
    pub fn is_published(&self) -> bool {
        self.progress.touched.load().is_some()
    }

    /// Returns what has to be on the topic of views so that everything is that was written so far.
    pub fn published_up_to(&self) -> PublishedUpTo {
        PublishedUpTo::of(self.progress.touched.load_full())
    }

    /// Notes a record that was folded into a job that no optimization links.
    pub fn note_unlinked(&self, position: PartitionOffset, job_id: &str) {
        self.progress.unlinked_records.note(position, job_id.into());
    }

    /// Notes that everything before this position was handed over: readers see it once that is written.
    pub fn note_position(&self, position: Arc<ReadPosition>) -> Result<(), StoreError> {
        self.send(WriterCommand::Position(position))
    }

    /// Notes the offset from which a partition, by its topic's name, is read first.
    pub fn note_origin(&self, partition: NamedPartition, offset: i64) -> Result<(), StoreError> {
        let mut origins = self.reader().origins()?;
        origins.entry(partition.clone()).or_insert(offset);
        self.trees.meta.insert(ORIGINS, stored_record::encode(&origins, "origins")?)?;
        self.missing.note(partition, offset)
    }

    /// Returns the ledger of the records that the generation is built without.
    pub fn missing_history(&self) -> MissingHistoryLedger {
        self.missing.clone()
    }

    /// Returns the note of the topic that has every dead letter.
    pub fn letter_topic_note(&self) -> LetterTopicNote {
        LetterTopicNote::new(&self.trees.meta)
    }

    /// Notes the stop of a stream's topic because of its dead letters, or that it goes on (`None`).
    pub fn note_letter_stop(&self, topic: Topic, stop: Option<&LetterStop>) -> Result<(), StoreError> {
        match stop {
            Some(stop) => {
                self.trees.meta.insert(letter_stop_key(topic), stored_record::encode(stop, "stop of a topic")?)?
            }
            None => self.trees.meta.remove(letter_stop_key(topic))?,
        };
        Ok(())
    }

    /// Notes the offsets from which dead letters of these partitions count towards the limit. They are on the disk when this
    /// returns.
    pub fn note_letters_counted_from(&self, offsets: BTreeMap<NamedPartition, i64>) -> Result<(), StoreError> {
        let mut counted_from = self.reader().letters_counted_from()?;
        counted_from.extend(offsets);
        let value = stored_record::encode(&counted_from, "offsets that dead letters count from")?;
        self.trees.meta.insert(LETTERS_COUNTED_FROM, value)?;
        self.trees.meta.flush()?;
        Ok(())
    }

    /// Notes the id of the topics' cluster. It is on the disk before any checkpoint is.
    pub fn note_cluster(&self, id: &str) -> Result<(), StoreError> {
        self.trees.meta.insert(CLUSTER, stored_record::encode(&id, "cluster's id")?)?;
        Ok(())
    }
}
