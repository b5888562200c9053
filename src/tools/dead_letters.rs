//! `optview dead-letters`: the records that were not understood, as their operators and producers see them, and what is done about
//! them. It reads the store itself; what changes it, the projector does, or, at rest, the same code without one.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::context::{ToolContext, ToolOutcome};
use crate::codec::{self, Framing};
use crate::data_dir;
use crate::dead_letters::{DeadLetterEntry, Excerpt, LetterSelection, each_selected, excerpt, list, position_of};
use crate::disk::{self, TargetError};
use crate::domain::dead_letter::KEY_LIMIT;
use crate::domain::{DeadLetter, PartitionOffset, Topic};
use crate::generation::Engine;
use crate::generation::dead_letters::at_rest;
use crate::progress::{Progress, ProgressSink};
use crate::projector::{LetterOutcome, LetterTask};
use crate::source::TopicNames;
use crate::source::archive;

/// Number of letters that are asked for at once, so that the progress shows and an end is noticed soon.
pub(super) const LETTERS_A_REQUEST: usize = 500;
/// The most bytes of a key that are shown in hexadecimal digits.
const KEY_HEX_MAX: usize = 64;
/// The most letters that a result names.
pub(super) const NAMED_MAX: usize = 100;

/// A dead letter in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterDetails {
    /// The letter as a list shows it.
    #[serde(flatten)]
    pub entry: DeadLetterEntry,
    /// The first 64 bytes of the key in hexadecimal digits, two a byte, if the key is not UTF-8; `null` otherwise.
    #[serde(default)]
    pub key_hex: Option<String>,
    /// Names and values of the headers, where a value is not UTF-8 with replacement characters.
    pub headers: Vec<(String, Option<String>)>,
    /// The part of the value that is shown; `null` for a null value.
    pub value: Option<Excerpt>,
}

/// The result of a retry or of a discard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersDone {
    /// Number of dead letters that were chosen.
    pub chosen: u64,
    /// Number of those that were understood and folded.
    pub folded: u64,
    /// Number of those that are still not understood.
    pub refused: u64,
    /// The first of those, each with the reason.
    pub still_refused: Vec<RefusedLetter>,
    /// Number of those that were discarded.
    pub discarded: u64,
    /// Number of those that were gone by then.
    pub gone: u64,
    /// The ids that name no letter.
    pub missing: Vec<String>,
    /// Number of records of a dead letter topic that are no letters which can be tried.
    #[serde(default)]
    pub unusable: u64,
    /// The first of those, each with the reason.
    #[serde(default)]
    pub not_tried: Vec<RefusedLetter>,
    /// True if it was ended before all were done.
    pub interrupted: bool,
}

/// A letter that is still not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLetter {
    /// The letter's id.
    pub id: String,
    /// The reason.
    pub reason: String,
}

/// The result of a resumption: the partitions that are read on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadingResumed {
    /// The partitions, each with the offset that is read next, as `TOPIC/PARTITION@OFFSET`.
    pub partitions: Vec<String>,
}

/// The result of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersExported {
    /// The file that was written.
    pub file: String,
    /// Number of dead letters in it.
    pub count: u64,
}

/// One line of an export.
#[derive(Serialize)]
struct ExportLine<'a> {
    id: String,
    kind: String,
    reason: &'a str,
    whole: bool,
    /// The record as a line of an archive.
    record: Box<RawValue>,
}

/// The things that can be done with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterAction {
    Retry,
    Discard,
}

pub fn grouped(access: &ToolContext, selection: &LetterSelection) -> anyhow::Result<ToolOutcome> {
    ToolOutcome::new(&list(access.reader()?, &access.topics, selection)?)
}

pub fn show(access: &ToolContext, id: &str) -> anyhow::Result<ToolOutcome> {
    let (reader, topics) = (access.reader()?, &access.topics);
    let position = position_of(id, topics)?;
    let Some(letter) = reader.dead_letter(position)? else {
        bail!(
            "there is no dead letter {id}: it was understood, tried again with success, discarded, or replaced by newer ones"
        );
    };
    ToolOutcome::new(&LetterDetails {
        entry: DeadLetterEntry::of(&letter, topics),
        key_hex: letter.key.as_deref().and_then(hex_unless_text),
        headers: letter
            .headers
            .iter()
            .map(|(name, value)| {
                (name.clone(), value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned()))
            })
            .collect(),
        value: letter.value.as_ref().map(|value| excerpt(value, place_of_error(&letter, value, access.framing))),
    })
}

/// Returns the offset in a letter's value at which its error begins.
fn place_of_error(letter: &DeadLetter, value: &[u8], framing: Framing) -> Option<usize> {
    let record = letter.record();
    let found = if letter.is_whole() { codec::error_place(&record, framing) } else { None };
    // Of what is hidden in the value, the lines are not the value's own.
    let is_hidden = codec::hides_texts(&record, framing);
    found.or_else(|| codec::named_line(std::str::from_utf8(value).ok().filter(|_| !is_hidden)?, &letter.reason))
}

/// Returns the beginning of a key in hexadecimal digits unless it is text.
fn hex_unless_text(key: &[u8]) -> Option<String> {
    // The end of what is kept of a long key may be within a character.
    let is_text = std::str::from_utf8(key)
        .map_or_else(|error| error.error_len().is_none() && key.len() >= KEY_LIMIT, |_| true);
    (!is_text).then(|| key.iter().take(KEY_HEX_MAX).map(|byte| format!("{byte:02x}")).collect())
}

/// Tries the letters that are chosen again, or discards them.
pub fn act(
    access: ToolContext,
    action: LetterAction,
    selection: &LetterSelection,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let topics = access.topics.clone();
    let mut positions = VecDeque::new();
    let missing = each_selected(access.reader()?, &topics, selection, &mut |letter| {
        positions.push_back(letter.position);
        ControlFlow::Continue(())
    })?;
    let chosen = positions.len() as u64;
    let mut done = LettersDone { chosen, missing, ..LettersDone::default() };
    if chosen > 0 {
        match &access.engine {
            Some(engine) => act_in_slices(engine, &topics, action, positions, &mut done, watch)?,
            None => {
                let (data_dir, framing) = (access.data_dir.clone(), access.framing);
                // It is opened again, to be written to.
                drop(access);
                done.add(at_rest(&data_dir, framing, task(action, positions))?, &topics);
            }
        }
    }
    let LettersDone { folded, refused, discarded, gone, .. } = done;
    let selection = serde_json::to_string(selection)?;
    match action {
        LetterAction::Retry => {
            tracing::info!(selection, chosen, folded, refused, gone, "dead letters were tried again");
        }
        LetterAction::Discard => tracing::info!(selection, chosen, discarded, gone, "dead letters were discarded"),
    }
    let problem_found = done.refused > 0 || !done.missing.is_empty();
    Ok(ToolOutcome { problem_found, is_partial: done.interrupted, ..ToolOutcome::new(&done)? })
}

fn act_in_slices(
    engine: &Engine,
    topics: &TopicNames,
    action: LetterAction,
    mut positions: VecDeque<PartitionOffset>,
    done: &mut LettersDone,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<()> {
    let phase = match action {
        LetterAction::Retry => "retrying",
        LetterAction::Discard => "discarding",
    };
    let total = positions.len();
    while !positions.is_empty() {
        let slice = positions.drain(..positions.len().min(LETTERS_A_REQUEST)).collect();
        done.add(engine.about_dead_letters(task(action, slice))?, topics);
        let progress = done.progress(phase, (total - positions.len()) as u64, total as u64);
        if watch(progress).is_break() && !positions.is_empty() {
            done.interrupted = true;
            break;
        }
    }
    Ok(())
}

fn task(action: LetterAction, positions: VecDeque<PartitionOffset>) -> LetterTask {
    match action {
        LetterAction::Retry => LetterTask::Retry(positions),
        LetterAction::Discard => LetterTask::Discard(positions.into()),
    }
}

/// Has the topics read on that stopped because of their dead letters: the one of this name, or all.
pub fn resume(access: ToolContext, topic: Option<&str>) -> anyhow::Result<ToolOutcome> {
    let selection = LetterSelection { topic: topic.map(str::to_owned), ..LetterSelection::default() };
    let stream = selection.stream(&access.topics)?;
    let topics: Vec<Topic> = stream.map_or_else(|| Topic::ALL.to_vec(), |stream| vec![stream]);
    access.reader()?;
    let task = LetterTask::Resume(topics);
    let outcome = match &access.engine {
        Some(engine) => engine.about_dead_letters(task)?,
        None => {
            let (data_dir, framing) = (access.data_dir.clone(), access.framing);
            drop(access);
            at_rest(&data_dir, framing, task)?
        }
    };
    let partitions: Vec<String> =
        outcome.resumed.iter().map(|(partition, offset)| partition.at(*offset).to_string()).collect();
    tracing::info!(topic, ?partitions, "topics that had stopped because of their dead letters are read on");
    ToolOutcome::new(&ReadingResumed { partitions })
}

/// Writes the letters that are chosen to a file, one line each.
pub fn export(access: &ToolContext, selection: &LetterSelection, file: &Path) -> anyhow::Result<ToolOutcome> {
    let (reader, topics) = (access.reader()?, &access.topics);
    match disk::check_target(file, false) {
        Err(TargetError::Exists { path }) => {
            bail!("{} is there already, and is left as it is: give another name", path.display())
        }
        checked => checked?,
    }
    if let Some(data_dir) = data_dir::data_dir_around(file)? {
        let (file, data_dir) = (file.display(), data_dir.display());
        bail!(
            "{file} lies in the data directory {data_dir}, in which nothing but optview's own files may be: write it elsewhere"
        );
    }
    let cannot = || format!("cannot write {}", file.display());
    let mut lines = BufWriter::new(File::create_new(file).with_context(cannot)?);
    let (mut count, mut failed) = (0, None);
    let selected = each_selected(reader, topics, selection, &mut |letter| match export_line(&letter, topics)
        .and_then(|line| lines.write_all(&line).map_err(anyhow::Error::from))
    {
        Ok(()) => {
            count += 1;
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    let written = match (selected, failed) {
        (Err(error), _) => Err(anyhow!(error)),
        (_, Some(error)) => Err(error),
        (Ok(_), None) => {
            lines.into_inner().map_err(|error| anyhow!(error.into_error())).and_then(|file| Ok(file.sync_all()?))
        }
    };
    if let Err(error) = written {
        // What is there is not whole.
        let _ = fs::remove_file(file);
        return Err(error.context(cannot()));
    }
    ToolOutcome::new(&LettersExported { file: file.display().to_string(), count })
}

fn export_line(letter: &DeadLetter, topics: &TopicNames) -> anyhow::Result<Vec<u8>> {
    let mut record = Vec::new();
    archive::encode_line(&letter.record(), topics.get(letter.position.topic), &mut record)?;
    let record = RawValue::from_string(String::from_utf8(record)?.trim_end().to_owned())?;
    let mut line = serde_json::to_vec(&ExportLine {
        id: topics.offset(letter.position),
        kind: letter.kind(),
        reason: &letter.reason,
        whole: letter.is_whole(),
        record,
    })?;
    line.push(b'\n');
    Ok(line)
}

impl LettersDone {
    /// Returns the progress, with what is the result if the command is ended here.
    pub(super) fn progress(&self, phase: &str, done: u64, total: u64) -> Progress {
        let so_far = LettersDone { interrupted: true, ..self.clone() };
        Progress { so_far: serde_json::to_value(so_far).ok(), ..Progress::new(phase, done, Some(total)) }
    }

    pub(super) fn add(&mut self, outcome: LetterOutcome, topics: &TopicNames) {
        let LetterOutcome { folded, refused, gone, discarded, resumed: _ } = outcome;
        self.folded += folded;
        self.gone += gone;
        self.discarded += discarded;
        self.refused += refused.len() as u64;
        for (position, reason) in refused {
            if self.still_refused.len() < NAMED_MAX {
                self.still_refused.push(RefusedLetter { id: topics.offset(position), reason });
            }
        }
    }
}
