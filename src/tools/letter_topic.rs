//! `optview dead-letters retry --from-topic`: the dead letters of a topic to which `--dead-letter-topic` has written them, tried again as
//! the events that they were. Nothing is written to the topic, so the command can be given again.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::context::{ToolContext, ToolOutcome};
use super::dead_letters::{LETTERS_A_REQUEST, LettersDone, NAMED_MAX, RefusedLetter};
use crate::codec::Framing;
use crate::dead_letters::LetterSelection;
use crate::domain::{DeadLetter, NamedPartition, OwnedRecord};
use crate::generation::Engine;
use crate::generation::dead_letters::at_rest;
use crate::progress::ProgressSink;
use crate::projector::LetterTask;
use crate::source::kafka::letter_reading::read_letters;
use crate::source::{TopicNames, returned_letter};

/// Size in bytes of the letters that are asked for at once.
const REQUEST_BYTES: usize = 8 << 20;
/// The same where each request opens the store.
const AT_REST_LETTERS: usize = 100_000;
const AT_REST_BYTES: usize = 128 << 20;

/// Tries the letters of a topic again that are chosen.
pub fn retry(
    access: ToolContext,
    from_topic: &str,
    selection: &LetterSelection,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let topics = access.topics.clone();
    access.reader()?;
    if topics.topic_of(from_topic).is_some() {
        bail!(
            "`{from_topic}` is one of the topics that the store is built from: give the name that --dead-letter-topic has"
        );
    }
    let stream = selection.stream(&topics)?;
    let kafka = access.kafka.clone().context(
        "no process serves the store, so this command reads the topic itself: give --brokers, and --kafka-property as `serve` has it",
    )?;
    let folder = match &access.engine {
        Some(engine) => LetterFolder::Engine(engine.clone()),
        None => LetterFolder::AtRest(access.data_dir.clone(), access.framing),
    };
    // At rest it is opened again, to be written to.
    drop(access);
    let mut retry = TopicRetry {
        topics: &topics,
        from_topic,
        folder,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        done: LettersDone::default(),
        read: 0,
    };
    let mut failed = None;
    read_letters(&kafka, from_topic, &mut |record, total| {
        failed = retry.take(record, |letter| selection.has(letter, stream)).err();
        let is_shown = retry.read.is_multiple_of(LETTERS_A_REQUEST as u64) || retry.read >= total;
        let progress = retry.done.progress("retrying", retry.read, total.max(retry.read));
        let is_over = is_shown && watch(progress).is_break();
        retry.done.interrupted |= is_over && retry.read < total;
        if failed.is_some() || is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    retry.fold()?;
    let done = retry.done;
    let LettersDone { chosen, folded, refused, unusable, .. } = done;
    tracing::info!(from_topic, chosen, folded, refused, unusable, "dead letters of a topic were tried again");
    let problem_found = refused > 0 || unusable > 0;
    Ok(ToolOutcome { problem_found, is_partial: done.interrupted, ..ToolOutcome::new(&done)? })
}

/// Whoever folds the letters.
enum LetterFolder {
    Engine(Arc<Engine>),
    AtRest(PathBuf, Framing),
}

struct TopicRetry<'a> {
    topics: &'a TopicNames,
    from_topic: &'a str,
    folder: LetterFolder,
    /// The letters that were read and not tried yet.
    waiting: VecDeque<DeadLetter>,
    waiting_bytes: usize,
    done: LettersDone,
    /// Number of records that were read.
    read: u64,
}

impl TopicRetry<'_> {
    fn take(&mut self, record: OwnedRecord, is_chosen: impl Fn(&DeadLetter) -> bool) -> anyhow::Result<()> {
        self.read += 1;
        let position = record.position;
        match returned_letter(record, self.topics) {
            Ok(letter) if is_chosen(&letter) => {
                self.done.chosen += 1;
                self.waiting_bytes += letter.size();
                self.waiting.push_back(letter);
            }
            Ok(_) => {}
            Err(reason) => {
                self.done.unusable += 1;
                if self.done.not_tried.len() < NAMED_MAX {
                    let id =
                        NamedPartition::new(self.from_topic, position.partition).at(position.offset).to_string();
                    self.done.not_tried.push(RefusedLetter { id, reason });
                }
            }
        }
        let (letters, bytes) = match self.folder {
            LetterFolder::Engine(_) => (LETTERS_A_REQUEST, REQUEST_BYTES),
            LetterFolder::AtRest(..) => (AT_REST_LETTERS, AT_REST_BYTES),
        };
        if self.waiting.len() < letters && self.waiting_bytes < bytes { Ok(()) } else { self.fold() }
    }

    /// Has the letters tried that wait.
    fn fold(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.waiting_bytes = 0;
        let task = LetterTask::Fold(std::mem::take(&mut self.waiting));
        let outcome = match &self.folder {
            LetterFolder::Engine(engine) => engine.about_dead_letters(task)?,
            LetterFolder::AtRest(data_dir, framing) => at_rest(data_dir, *framing, task)?,
        };
        self.done.add(outcome, self.topics);
        Ok(())
    }
}
