//! The command `optview validate`: what `serve` would make of the events in a file, by its own decoder and its own fold, for
//! producers to try before they ship. It needs no cluster and no store, and writes nothing but its answer.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::Completion;
use crate::config::ValidateConfig;
use crate::output;
use crate::terminal::printable_line;
use input::InputForm;
use outcome::{EventOutcome, FoldedFile, StatusTransition};

pub(crate) mod doubts;
pub(crate) mod input;
pub(crate) mod outcome;

/// The whole answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    events: &'a [EventOutcome],
    understood: usize,
    doubtful: usize,
    refused: usize,
    /// The views; `None` unless `--view` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    views: Option<Vec<Box<RawValue>>>,
    /// The changes of status; `None` unless `--explain` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    transitions: Option<Vec<StatusTransition>>,
    /// The jobs that no optimization of the file links.
    unlinked_jobs: Vec<&'a str>,
}

/// Reads the events and prints what becomes of them.
///
/// # Errors
/// Fails if the file cannot be read, or what its events are for is unknown.
pub fn run(config: &ValidateConfig) -> anyhow::Result<Completion> {
    let file = read(&config.file).with_context(|| format!("{} cannot be read", config.file.display()))?;
    let content_type = config.content_type.as_deref();
    let form = InputForm { topic: config.topic, key: config.key.as_deref(), content_type };
    let records = input::records(&file, form).with_context(|| config.file.display().to_string())?;
    let folded = FoldedFile::new(&records, config.framing);
    let answer = Answer {
        understood: folded.events.iter().filter(|outcome| outcome.event.is_some()).count(),
        doubtful: folded.events.iter().filter(|outcome| !outcome.doubts.is_empty()).count(),
        refused: folded.events.iter().filter(|outcome| outcome.refused.is_some()).count(),
        events: &folded.events,
        views: config.view.then(|| folded.views()).transpose()?,
        transitions: config.explain.then(|| folded.transitions()),
        unlinked_jobs: folded.unlinked_jobs(),
    };
    match config.json {
        true => output::print_json(&serde_json::to_string(&answer)?)?,
        false => output::print(&text(&answer))?,
    }
    Ok(if answer.refused > 0 { Completion::DifferenceFound } else { Completion::Done })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(answer: &Answer<'_>) -> String {
    let mut text = String::new();
    for outcome in answer.events {
        text += &event_text(outcome);
    }
    for transition in answer.transitions.iter().flatten() {
        let StatusTransition { optimization_id, job_status, status, occurred_at, sequence, irregular } =
            transition;
        let mark = if *irregular { ", which should not follow the one before" } else { "" };
        // Writing into a string cannot fail, here and below.
        let optimization_id = printable_line(optimization_id);
        let _ =
            writeln!(text, "{optimization_id}: {occurred_at} {status} ({job_status}, sequence {sequence}){mark}");
    }
    for view in answer.views.iter().flatten() {
        let _ = writeln!(text, "{view}");
    }
    if !answer.unlinked_jobs.is_empty() {
        let jobs = answer.unlinked_jobs.join(", ");
        let jobs = printable_line(&jobs);
        let _ = writeln!(
            text,
            "jobs that no optimization of the file links, and that show nothing until one does: {jobs}"
        );
    }
    let Answer { events, understood, doubtful, refused, .. } = answer;
    let _ = writeln!(
        text,
        "{} events: {understood} understood, {doubtful} of them doubtful; {refused} refused",
        events.len()
    );
    text
}

fn event_text(EventOutcome { line, event, refused, doubts }: &EventOutcome) -> String {
    let mut text = match (event, refused) {
        (Some(event), _) => {
            format!("line {line}: understood: {}.{} of {}\n", event.topic, event.event, printable_line(&event.id))
        }
        (None, reason) => {
            format!("line {line}: refused: {}\n", printable_line(reason.as_deref().unwrap_or_default()))
        }
    };
    for doubt in doubts {
        let _ = writeln!(text, "    {}: {}", doubt.code, printable_line(&doubt.text));
    }
    text
}
