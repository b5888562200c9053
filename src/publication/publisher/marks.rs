//! The marks that a publisher writes: how far the topic is. A mark that is due goes with the next views, in their transaction, since one of
//! its own would have the views after it wait; without views it goes alone.

use std::sync::Arc;
use std::time::Instant;

use super::{Publisher, progress_of};
use crate::data_dir;
use crate::publication::generations::PublishedGeneration;
use crate::publication::progress::{CoveredPosition, SealedPosition};
use crate::publication::records::{Mark, with_as_of};
use crate::source::views_topic::{ViewsRecord, ViewsTopic, ViewsTopicError};

impl<T: ViewsTopic> Publisher<T> {
    /// Returns true if a mark is to be written.
    pub(super) fn is_mark_due(&self, now: Instant) -> bool {
        self.progress
            .as_ref()
            .is_some_and(|progress| progress.is_noted && progress.next_mark.is_none_or(|next| now >= next))
    }

    /// Returns the position that is covered once everything is published that has been noted by the end of this call.
    pub(super) fn covered_position(&self, generation: &PublishedGeneration) -> CoveredPosition {
        // The time first: what was read before it is before the position, which covers what was noted before it was shown.
        let as_of = self.publication.as_of();
        CoveredPosition { position: Arc::clone(&generation.reader.visible_position()), as_of }
    }

    /// Marks how far the topic is, if that is due, once everything up to there is on it. Returns true if it has.
    pub(super) fn mark_if_due(
        &mut self,
        generation: &PublishedGeneration,
        partitions: i32,
        now: Instant,
    ) -> Result<bool, ViewsTopicError> {
        if !self.is_mark_due(now) {
            return Ok(false);
        }
        let sealed = match progress_of(&mut self.progress).next_to_mark.take() {
            Some(sealed) if generation.touched.holds(sealed.seal) => sealed,
            waiting => {
                let sealed = waiting.unwrap_or_else(|| {
                    let covered = self.covered_position(generation);
                    SealedPosition { covered, seal: generation.touched.seal() }
                });
                progress_of(&mut self.progress).next_to_mark = Some(sealed);
                return Ok(false);
            }
        };
        let (mark, records) = self.begin_mark(&sealed.covered, partitions);
        self.topic.publish(&records)?;
        self.end_mark(mark, now);
        Ok(true)
    }

    /// Begins a mark of a covered position. Its records go into a transaction with what must be on the topic for it to hold, or into a later one.
    pub(super) fn begin_mark(&mut self, covered: &CoveredPosition, partitions: i32) -> (Mark, Vec<ViewsRecord>) {
        let mark = Mark::new(&covered.position, self.version, data_dir::now());
        let records = self.records_of(&mark, partitions);
        let records = match &covered.as_of {
            Some(as_of) => with_as_of(records, as_of),
            None => records,
        };
        (mark, records)
    }

    /// Makes the records of a mark, which is about to be written.
    fn records_of(&mut self, mark: &Mark, partitions: i32) -> Vec<ViewsRecord> {
        self.own_marks.note_written(mark);
        mark.records(partitions, &self.id)
    }

    /// Takes note that a mark is on the topic.
    pub(super) fn end_mark(&mut self, mark: Mark, now: Instant) {
        self.own_marks.note_committed();
        let next = now + self.settings.mark_interval;
        let progress = progress_of(&mut self.progress);
        (progress.next_to_mark, progress.next_mark) = (None, Some(next));
        self.marked = Some(Arc::new(mark));
    }

    /// Writes the mark with which the topic is taken over. It covers what was covered before, and says nothing of the time.
    pub(super) fn publish_first_mark(&mut self, mark: &Mark, partitions: i32) -> Result<(), ViewsTopicError> {
        let records = self.records_of(mark, partitions);
        self.topic.publish(&records)?;
        self.own_marks.note_committed();
        Ok(())
    }
}
