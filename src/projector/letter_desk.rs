//! The desk at which a projector does what is asked for about dead letters: a slice a turn, at a bounded rate, through the same fold
//! as every record. The order in which events are folded does not matter, so nothing waits for a letter that is tried again, and
//! whatever a kill interrupts can be asked for again.

use std::collections::VecDeque;
use std::time::Instant;

use super::letter_requests::{FoldedLetters, LetterOutcome, LetterRequest, LetterTask};
use super::write_back::WriteBack;
use super::{Moment, Projector};
use crate::codec::{self, Framing};
use crate::domain::fold::Effects;
use crate::domain::{DeadLetter, Envelope, NamedPartition, PartitionOffset, Topic, TopicPartition};
use crate::source::Source;
use crate::store::{Checkpoint, PublishedUpTo, StoreError, Writer};

/// The most letters of a slice.
const SLICE_LETTERS: usize = 50;
/// A slice ends once its letters have more bytes.
const SLICE_BYTES: usize = 8 << 20;

/// A letter that was decoded again: the event with the effects of its fold, or the reason for which it is still not understood.
type RetryResult<'a> = Result<(Envelope<'a>, Effects), String>;

impl Projector<'_> {
    /// Does the next slice of what was asked for about dead letters.
    pub(super) fn serve_letter_requests(
        &mut self,
        now: Moment,
        source: &mut dyn Source,
    ) -> Result<(), StoreError> {
        if !self.pace.is_free(now.instant) {
            return Ok(());
        }
        let Some(mut request) = self.control.letters.take() else { return Ok(()) };
        let is_done = self.do_some(now, source, &mut request)?;
        if is_done {
            request.answer()
        } else {
            self.control.letters.put_back(request)
        }
        Ok(())
    }

    /// Does a slice of a request. Returns true if nothing is left of it.
    fn do_some(
        &mut self,
        now: Moment,
        source: &mut dyn Source,
        request: &mut LetterRequest,
    ) -> Result<bool, StoreError> {
        let LetterRequest { task, outcome, folded, .. } = request;
        if let Some(waiting) = folded.take() {
            let is_done = remove_published(&mut self.write_back, waiting, folded, outcome)?;
            return Ok(is_done && task.is_over());
        }
        let (findings, framing) = (&mut self.findings, self.settings.framing);
        let mut note = |envelope: &Envelope<'_>, effects| findings.note_effects(envelope, effects, now.instant);
        let (tried, are_counted) = match task {
            LetterTask::Retry(positions) => {
                (retry_slice(&mut self.write_back, framing, positions, outcome, &mut note)?, true)
            }
            LetterTask::Fold(letters) => {
                (fold_slice(&mut self.write_back, framing, letters, outcome, &mut note)?, false)
            }
            LetterTask::Discard(positions) => {
                // What waits to be stored may be among them.
                self.write_back.write_all(now.instant)?;
                outcome.discarded = self.write_back.writer().remove_dead_letters(std::mem::take(positions))?;
                return Ok(true);
            }
            LetterTask::Resume(topics) => {
                for topic in std::mem::take(topics) {
                    self.resume_topic(now, topic, source, outcome)?;
                }
                return Ok(true);
            }
        };
        self.pace.note(now.instant, tried.count);
        let published = self.write_back.write_and_seal(now.instant)?;
        let tried = FoldedLetters { published, letters: tried.folded, are_counted };
        let is_done = remove_published(&mut self.write_back, tried, folded, outcome)?;
        Ok(is_done && task.is_over())
    }

    /// Has a topic read on that stopped because of its dead letters.
    fn resume_topic(
        &mut self,
        now: Moment,
        topic: Topic,
        source: &mut dyn Source,
        outcome: &mut LetterOutcome,
    ) -> Result<(), StoreError> {
        if !self.letter_limit.resume(topic) {
            return Ok(());
        }
        self.stop_failed(source);
        // What was read before the stop goes now: once the topic is read on, there would be a gap before it.
        while let Some(event) = self.decoder.next(true) {
            self.take_in(now, event, 0)?;
        }
        self.gate.aside.retain(|(event, _)| event.partition().topic != topic);
        let resumed = self.partitions.resume(topic);
        let counted_from = resumed.iter().map(|(partition, offset)| {
            let name = self.settings.topics.partition(*partition);
            (name, self.partitions.next_offset(*partition).unwrap_or(*offset))
        });
        // Just after a start the source may not have found every partition.
        let writer = self.write_back.writer();
        let to_be_found: Vec<(NamedPartition, i64)> =
            offsets_in(writer.checkpoint_at_open(), self.settings.topics.get(topic))
                .filter(|(partition, _)| {
                    self.partitions.next_offset(TopicPartition::new(topic, partition.partition)).is_none()
                })
                .collect();
        writer.note_letters_counted_from(counted_from.chain(to_be_found.iter().cloned()).collect())?;
        writer.note_letter_stop(topic, None)?;
        outcome.resumed.extend(to_be_found);
        for (partition, offset) in resumed {
            self.assign(partition, offset, source);
            outcome.resumed.push((self.settings.topics.partition(partition), offset));
        }
        Ok(())
    }
}

/// Returns the next offset of each partition of a topic that a checkpoint has.
fn offsets_in<'a>(checkpoint: &'a Checkpoint, topic: &'a str) -> impl Iterator<Item = (NamedPartition, i64)> + 'a {
    let of_topic = checkpoint.iter().filter(move |(partition, _)| partition.topic == topic);
    of_topic.map(|(partition, held)| (partition.clone(), held.next_offset))
}

/// The letters of a slice that were tried.
struct RetriedSlice {
    count: u32,
    folded: Vec<PartitionOffset>,
}

/// Tries the next letters of these positions again. Whatever is folded goes to `note`.
fn retry_slice(
    write_back: &mut WriteBack,
    framing: Framing,
    positions: &mut VecDeque<PartitionOffset>,
    outcome: &mut LetterOutcome,
    note: &mut dyn FnMut(&Envelope<'_>, Effects),
) -> Result<RetriedSlice, StoreError> {
    let (mut slice, mut bytes) = (RetriedSlice { count: 0, folded: Vec::new() }, 0);
    while (slice.count as usize) < SLICE_LETTERS && bytes < SLICE_BYTES {
        let Some(position) = positions.pop_front() else { break };
        slice.count += 1;
        let Some(letter) = write_back.writer().reader().dead_letter(position)? else {
            outcome.gone += 1;
            continue;
        };
        bytes += letter.size();
        match write_back.retry(&letter, framing)? {
            Ok((envelope, effects)) => {
                note(&envelope, effects);
                slice.folded.push(position);
            }
            Err(reason) => {
                if reason != letter.reason {
                    write_back.keep_dead_letter(DeadLetter { reason: reason.clone(), ..letter.clone() });
                }
                outcome.refused.push((position, reason));
            }
        }
    }
    Ok(slice)
}

/// Tries the next of these letters, which are not the store's own. Whatever is folded goes to `note`.
fn fold_slice(
    write_back: &mut WriteBack,
    framing: Framing,
    letters: &mut VecDeque<DeadLetter>,
    outcome: &mut LetterOutcome,
    note: &mut dyn FnMut(&Envelope<'_>, Effects),
) -> Result<RetriedSlice, StoreError> {
    let (mut slice, mut bytes) = (RetriedSlice { count: 0, folded: Vec::new() }, 0);
    while (slice.count as usize) < SLICE_LETTERS && bytes < SLICE_BYTES {
        let Some(letter) = letters.pop_front() else { break };
        slice.count += 1;
        bytes += letter.size();
        match write_back.retry(&letter, framing)? {
            Ok((envelope, effects)) => {
                note(&envelope, effects);
                outcome.folded += 1;
                // Of a topic that was created again, another record may have had this position.
                let held = write_back.writer().reader().dead_letter(letter.position)?;
                slice.folded.extend(held.filter(|held| held.is_of_record(&letter)).map(|held| held.position));
            }
            Err(reason) => outcome.refused.push((letter.position, reason)),
        }
    }
    Ok(slice)
}

/// Removes letters that were folded if what became of them is on the topic of views, or need not be; else it has them `wait`. Returns
/// true if they are removed. Once they are, nothing that is read again would publish it.
fn remove_published(
    write_back: &mut WriteBack,
    folded: FoldedLetters,
    wait: &mut Option<FoldedLetters>,
    outcome: &mut LetterOutcome,
) -> Result<bool, StoreError> {
    if !folded.published.is_reached(None) {
        *wait = Some(folded);
        return Ok(false);
    }
    let FoldedLetters { letters, are_counted, .. } = folded;
    let count = letters.len() as u64;
    // One may have been asked for twice.
    let removed = if letters.is_empty() { 0 } else { write_back.writer().remove_dead_letters(letters)? };
    if are_counted {
        outcome.folded += removed;
        outcome.gone += count - removed;
    }
    Ok(true)
}

/// Removes letters that were folded, which nobody publishes, once what became of them is written.
fn remove_written(
    write_back: &mut WriteBack,
    letters: Vec<PartitionOffset>,
    are_counted: bool,
    outcome: &mut LetterOutcome,
    now: Instant,
) -> Result<(), StoreError> {
    write_back.write_all(now)?;
    let folded = FoldedLetters { published: PublishedUpTo::default(), letters, are_counted };
    remove_published(write_back, folded, &mut None, outcome).map(drop)
}

impl WriteBack {
    /// Decodes a dead letter again, and folds the event if it is understood.
    fn retry<'a>(&mut self, letter: &'a DeadLetter, framing: Framing) -> Result<RetryResult<'a>, StoreError> {
        if !letter.is_whole() {
            return Ok(Err(letter.reason.clone()));
        }
        let envelope = match codec::decode_framed(&letter.record(), framing) {
            Ok(envelope) => envelope,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let effects = self.fold(&envelope)?;
        if effects.unlinked {
            self.note_unlinked(&envelope);
        }
        Ok(Ok((envelope, effects)))
    }
}

/// Does what is asked for about the dead letters of a store that no projector keeps up to date, and closes the store.
///
/// # Errors
/// The store's.
pub fn serve_letters_at_rest(
    writer: Writer,
    memory_budget: u64,
    framing: Framing,
    task: LetterTask,
    now: Moment,
) -> Result<LetterOutcome, StoreError> {
    let mut write_back = WriteBack::new(writer, memory_budget, now.instant);
    let mut outcome = LetterOutcome::default();
    match task {
        LetterTask::Retry(mut positions) => {
            while !positions.is_empty() {
                let slice = retry_slice(&mut write_back, framing, &mut positions, &mut outcome, &mut |_, _| {})?;
                remove_written(&mut write_back, slice.folded, true, &mut outcome, now.instant)?;
                write_back.write_due(now.instant, true, false)?;
            }
            write_back.write_all(now.instant)?;
        }
        LetterTask::Fold(mut letters) => {
            while !letters.is_empty() {
                let slice = fold_slice(&mut write_back, framing, &mut letters, &mut outcome, &mut |_, _| {})?;
                remove_written(&mut write_back, slice.folded, false, &mut outcome, now.instant)?;
                write_back.write_due(now.instant, true, false)?;
            }
        }
        LetterTask::Discard(positions) => {
            outcome.discarded = write_back.writer().remove_dead_letters(positions)?
        }
        LetterTask::Resume(topics) => {
            let checkpoint = write_back.writer().checkpoint_at_open().clone();
            let names = write_back.writer().reader().topics()?;
            for topic in topics {
                if write_back.writer().reader().letter_stop(topic)?.is_none() {
                    continue;
                }
                let name = names.as_ref().map_or(topic.default_name(), |names| &names[topic as usize]);
                outcome.resumed.extend(offsets_in(&checkpoint, name));
                write_back.writer().note_letters_counted_from(outcome.resumed.iter().cloned().collect())?;
                write_back.writer().note_letter_stop(topic, None)?;
            }
        }
    }
    write_back.finish()?;
    Ok(outcome)
}

#[cfg(test)]
mod tests;
