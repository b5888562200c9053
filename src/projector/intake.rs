//! The intake of a projector: the way of records from the source through the decoder into the working set.

use std::ops::Range;
use std::time::Duration;

use super::decoder::{Batch, DecodedEvent};
use super::partitions::FoundPartition;
use super::record_backlog::SourcePoll;
use super::{Moment, Projector};
use crate::domain::{DeadLetter, Topic, TopicPartition};
use crate::pulse::Stage;
use crate::source::{Source, SourceEvent};
use crate::store::StoreError;

/// Below this number of events, a look ahead at the records that they touch takes longer than it saves.
const WARMED_EVENTS_MIN: usize = 32;

/// The time for which nothing is read because too many dead letters wait for their topic.
const FULL_REST: Duration = Duration::from_millis(50);

impl Projector<'_> {
    /// Hands what the source has to the decoder, unless that has enough to do.
    pub(super) fn read(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), StoreError> {
        if self.decoder.is_full() {
            return Ok(());
        }
        if self.letters.is_full() {
            self.forget_backlog();
            source.rest(FULL_REST);
            return Ok(());
        }
        let wait = if self.decoder.is_idle() { self.longest_wait(now) } else { Duration::ZERO };
        let (mut found, mut seen) = (Vec::new(), SourcePoll { records: 0, is_full: false, silence: wait });
        let beat = self.pulse.begin(Stage::Source);
        seen.is_full = source.poll(wait, &mut |polled| {
            seen.silence = Duration::ZERO;
            match polled {
                SourceEvent::Found { partition, watermarks } => {
                    found.push(FoundPartition { partition, watermarks, topic_id: None });
                }
                SourceEvent::Records(records) => {
                    seen.records += records.len();
                    self.decoder.decode(records);
                }
                SourceEvent::Ended { partition, position } => {
                    self.decoder.pass(DecodedEvent::Ended { partition, position });
                }
                SourceEvent::Failed { partition, reason } => {
                    self.decoder.pass(DecodedEvent::Failed { partition, reason });
                }
            }
        });
        drop(beat);
        self.record_backlog.note_poll(seen);
        if !found.is_empty() && self.admits_cluster(source)? {
            found.into_iter().try_for_each(|found| self.begin(found, source))?;
        }
        Ok(())
    }

    /// Ends the rests of those who watch the views: nothing is read for some time, so that nothing newer comes.
    pub(super) fn forget_backlog(&mut self) {
        self.record_backlog.clear();
        self.pace_watchers();
    }

    /// Has those who watch the views rest while records wait, if readers see this generation.
    pub(super) fn pace_watchers(&self) {
        if !self.findings.is_quiet() {
            self.write_back.writer().note_backlog(self.record_backlog.is_there());
        }
    }

    /// Has the source read no more of the partitions that have failed.
    pub(super) fn stop_failed(&mut self, source: &mut dyn Source) {
        for partition in self.partitions.take_failed() {
            source.stop(partition);
        }
    }

    /// Takes note of how far has been folded. It must come before what was folded is handed to the writer.
    pub(super) fn note_position(&mut self) {
        if let Some(positions) = self.partitions.take_positions() {
            self.write_back.note_position(positions);
            self.write_back.note_to_come(self.partitions.records_to_come());
        }
    }

    /// Begins to read a partition from its checkpoint, or from the oldest record.
    fn begin(&mut self, found: FoundPartition, source: &mut dyn Source) -> Result<(), StoreError> {
        let FoundPartition { partition, .. } = found;
        let topic_id = source.observation(partition).and_then(|observed| observed.topic_id);
        let name = self.settings.topics.partition(partition);
        let read_before = self.checkpoints.of(&name);
        if read_before.is_none() {
            self.write_back.writer().note_origin(name, found.watermarks.low)?;
        }
        let stop = self.letter_limit.stop_reason(partition.topic).filter(|_| !self.findings.is_quiet());
        let offset = self.partitions.begin(FoundPartition { topic_id, ..found }, read_before, stop);
        if let Some(offset) = offset {
            self.assign(partition, offset, source);
        }
        Ok(())
    }

    /// Has the source read a partition from an offset on.
    pub(super) fn assign(&mut self, partition: TopicPartition, offset: i64, source: &mut dyn Source) {
        if let Err(reason) = source.assign(partition, offset) {
            self.partitions.fail(partition, reason);
        }
    }

    /// Folds what is decoded; waits for the next batch where one is being decoded.
    pub(super) fn fold_decoded(&mut self, now: Moment) -> Result<(), StoreError> {
        let mut wait = true;
        while let Some(event) = self.decoder.next(wait) {
            wait = false;
            self.take_in(now, event, 0)?;
        }
        Ok(())
    }

    /// Folds a batch's events from index `from` on, or takes note of a partition's end, as far as may be read now. The rest is
    /// put aside.
    pub(super) fn take_in(&mut self, now: Moment, event: DecodedEvent, from: usize) -> Result<(), StoreError> {
        if self.gate.waits(&event) {
            self.gate.put_aside(event, from);
            return Ok(());
        }
        let limit = self.gate.limit(&event);
        match event {
            DecodedEvent::Batch(batch) => {
                let until = limit.map_or(batch.events().len(), |limit| batch.index_of(limit));
                if from < until {
                    self.fold_events(now, &batch, from..until)?;
                }
                if until < batch.events().len() {
                    // All that lies before the limit has been read, whatever offset its last record has.
                    self.partitions.passed(batch.partition, limit.unwrap_or(i64::MIN));
                    self.gate.put_aside(DecodedEvent::Batch(batch), from.max(until));
                } else {
                    self.decoder.drop_later(batch);
                }
            }
            DecodedEvent::Ended { partition, position } => match limit.filter(|limit| position > *limit) {
                Some(limit) => {
                    self.partitions.passed(partition, limit);
                    self.gate.put_aside(DecodedEvent::Ended { partition, position }, from);
                }
                None => self.partitions.ended(partition, position),
            },
            DecodedEvent::Failed { partition, reason } => self.partitions.fail(partition, reason),
        }
        Ok(())
    }

    fn fold_events(&mut self, now: Moment, batch: &Batch, which: Range<usize>) -> Result<(), StoreError> {
        let Batch { partition, .. } = *batch;
        if !self.partitions.accepts(partition, batch.anchor(which.start)) {
            return Ok(());
        }
        let events = &batch.events()[which.clone()];
        if events.len() >= WARMED_EVENTS_MIN {
            self.write_back.warm(events.iter().flatten().map(|envelope| &envelope.event));
        }
        // A record that proves the topic was read, and counted, before.
        let next_offset = self.partitions.next_offset(partition).unwrap_or_default();
        let (mut understood, mut uncounted, mut read, mut is_too_much) = (0, 0, 0, false);
        for (index, event) in which.clone().zip(events) {
            read += 1;
            match event {
                Ok(envelope) => {
                    understood += 1;
                    uncounted += 1;
                    let effects = self.write_back.fold(envelope)?;
                    if effects.unlinked {
                        self.write_back.note_unlinked(envelope);
                    }
                    self.findings.note_effects(envelope, effects, now.instant);
                }
                Err(dead_letter) => {
                    self.findings.log_dead_letter(dead_letter, now.instant);
                    if dead_letter.position.offset >= next_offset {
                        self.write_new_letter(batch, index, dead_letter)?;
                    }
                    self.write_back.keep_dead_letter(DeadLetter::clone(dead_letter));
                    is_too_much = dead_letter.position.offset >= next_offset
                        && self.letter_limit.count_letter(partition.topic, std::mem::take(&mut uncounted))
                        && !self.findings.is_quiet();
                }
            }
            if is_too_much {
                break;
            }
        }
        self.letter_limit.count_understood(partition.topic, uncounted);
        let which = which.start..which.start + read;
        let last = which.end - 1;
        self.findings.count_records(partition.topic, understood, &events[..read]);
        self.partitions.advance(partition, batch.anchor(last), batch.time(last));
        self.write_back.note_read(batch, which);
        if is_too_much { self.stop_topic(now, partition.topic) } else { Ok(()) }
    }

    /// Sends the letter of a record that was not read before to its topic. A generation that readers do not see leaves that to the one
    /// that they see.
    fn write_new_letter(&mut self, batch: &Batch, index: usize, letter: &DeadLetter) -> Result<(), StoreError> {
        if self.findings.is_quiet() || self.letters.topic().is_none() {
            return self.backlog.note_unsent();
        }
        let (record, cut_from) = batch.record(index);
        self.letters.send(&record, cut_from, letter);
        Ok(())
    }

    /// Writes the next letters of the store that their topic has not, if readers see this generation.
    pub(super) fn write_letter_backlog(&mut self) -> Result<(), StoreError> {
        if self.findings.is_quiet() || self.backlog.is_done() {
            return Ok(());
        }
        let reader = self.write_back.writer().reader();
        self.backlog.advance(&reader, &self.letters, self.checkpoints.written(), &self.settings.topics)
    }

    /// Stops a topic of which too many records are not understood.
    fn stop_topic(&mut self, now: Moment, topic: Topic) -> Result<(), StoreError> {
        let stop = self.letter_limit.stop(topic, now);
        self.write_back.writer().note_letter_stop(topic, Some(&stop))?;
        if let Some(reason) = self.letter_limit.stop_reason(topic) {
            self.partitions.stop_topic(topic, &reason);
        }
        Ok(())
    }
}
