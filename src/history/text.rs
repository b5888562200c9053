//! The answers of `history` for people.

use std::io::{self, Write};

use super::as_of::LogCutoff;
use super::fields::FieldChange;
use super::names;
use super::scan::Scan;
use super::timeline::{Timeline, TimelineEvent};
use crate::codec::view_json;
use crate::domain::{Body, View};
use crate::source::TopicNames;

/// Number of characters of a value that are shown.
const SHOWN_CHARACTERS: usize = 100;
/// The width of the longest field's name.
const FIELD_WIDTH: usize = "parameterized_model_name".len();

/// Writes the view as a table, one field a line.
pub fn view(
    id: &str,
    timeline: &Timeline<'_>,
    cutoff: LogCutoff,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let events = timeline.events.len();
    match cutoff {
        LogCutoff::Before(time) => writeln!(out, "{id} before {time}, after {events} events:")?,
        LogCutoff::After { position, timestamp_millis } => {
            let time = names::time(timestamp_millis).unwrap_or_else(|| "without a timestamp".to_owned());
            let place = names.offset(position);
            writeln!(out, "{id} after {place} ({time}), after {events} events:")?;
        }
    }
    let Some(view) = View::of(&timeline.last) else {
        let why = if timeline.last.deleted.is_some() { "it was deleted" } else { "it was not created yet" };
        writeln!(out, "  no view: {why}")?;
        return Ok(());
    };
    for field in view.fields() {
        writeln!(out, "  {:FIELD_WIDTH$}  {}", field.name, view_json::value(field.value))?;
    }
    Ok(())
}

/// Writes the history event by event.
pub fn history(
    id: &str,
    timeline: &Timeline<'_>,
    scan: &Scan,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    for warning in names::warnings(scan, names) {
        writeln!(out, "warning: {warning}")?;
    }
    for entry in &timeline.events {
        event(entry, names, out)?;
    }
    if !timeline.dead_letters.is_empty() {
        writeln!(out, "\nRecords that mention it, and could not be understood:")?;
    }
    for dead_letter in &timeline.dead_letters {
        let place = names.offset(dead_letter.record.position);
        let time = names::time(dead_letter.record.timestamp_millis).unwrap_or_default();
        writeln!(out, "{place}  {time}\n    {}", dead_letter.reason)?;
    }
    let unchanged = timeline.events.iter().filter(|event| event.unchanged.is_some()).count();
    let searched = names::searched(scan, names);
    let (events, dead) = (timeline.events.len(), timeline.dead_letters.len());
    writeln!(
        out,
        "\n{id}: {events} events, of which {unchanged} changed nothing; {dead} dead letters. Looked through {searched}."
    )?;
    Ok(())
}

fn event(entry: &TimelineEvent<'_>, names: &TopicNames, out: &mut Vec<u8>) -> io::Result<()> {
    let metadata = &entry.envelope.event.metadata;
    let body = &entry.envelope.event.body;
    let place = names.offset(entry.envelope.position);
    writeln!(out, "{}  {}  ({place}, event {:?})", metadata.occurred_at, what(body), metadata.event_id)?;
    let is_creation = entry.changes.iter().any(|change| change.field == "id" && change.old == "null");
    let is_deletion = entry.changes.iter().any(|change| change.field == "id" && change.new == "null");
    if is_deletion {
        writeln!(out, "    the view is gone")?;
    } else {
        for FieldChange { field, old, new } in &entry.changes {
            match is_creation {
                true => writeln!(out, "    {field}: {}", shortened(new))?,
                false => writeln!(out, "    {field}: {} -> {}", shortened(old), shortened(new))?,
            }
        }
    }
    if let Some(unchanged) = entry.unchanged {
        writeln!(out, "    changed nothing: {}", unchanged.text())?;
    }
    if entry.envelope.nulled_numbers > 0 {
        writeln!(
            out,
            "    odd: {} of its numbers are NaN or infinite, and shown as null",
            entry.envelope.nulled_numbers
        )?;
    }
    if entry.irregular {
        writeln!(out, "    odd: the job should not have taken this status after the one before it")?;
    }
    if entry.mismatched {
        writeln!(out, "    odd: it names {}", named(body))?;
    }
    Ok(())
}

/// Names the event's subject and its kind.
fn what(body: &Body<'_>) -> String {
    let name = body.kind();
    match body {
        Body::Optimization { .. } => match body.job_id() {
            Some(job_id) => format!("{name} (job {job_id})"),
            None => name.to_owned(),
        },
        Body::Job { job_id, .. } => format!("job {job_id} {name}"),
        Body::Run { job_id, run_index, .. } => format!("run {run_index} of job {job_id} {name}"),
    }
}

fn named(body: &Body<'_>) -> String {
    match body {
        Body::Job { optimization_id: Some(id), .. } | Body::Run { optimization_id: Some(id), .. } => {
            format!("{id:?}, which is another optimization")
        }
        _ => "a job whose events name another optimization".to_owned(),
    }
}

/// Shortens a value. Values are JSON, so that texts differ from other values, and control characters cannot disturb a terminal.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARACTERS) {
        Some((at, _)) => format!("{}... ({} characters)", &value[..at], value.chars().count()),
        None => value.to_owned(),
    }
}
