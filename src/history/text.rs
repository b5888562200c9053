//! The answer for people.

use std::io::{self, Write};

use super::fields::{self, Change, Value};
use super::moment::Moment;
use super::scan::Scan;
use super::timeline::{Timeline, Told};
use super::words;
use crate::domain::{Body, View};
use crate::source::TopicNames;

/// How many characters of a value are shown.
const SHOWN: usize = 100;
/// The width of the longest field's name.
const FIELD_WIDTH: usize = "parameterized_model_name".len();

/// The view as a table.
pub fn view(
    id: &str,
    timeline: &Timeline<'_>,
    moment: Moment,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let events = timeline.events.len();
    match moment {
        Moment::Before(time) => writeln!(out, "{id} before {time}, after {events} events:")?,
        Moment::After { position, timestamp_millis } => {
            let time = words::time(timestamp_millis).unwrap_or_else(|| "at no time".to_owned());
            let place = words::place(position, names);
            writeln!(out, "{id} after {place} ({time}), after {events} events:")?;
        }
    }
    let Some(view) = View::of(&timeline.last) else {
        let why = if timeline.last.deleted.is_some() { "it was deleted" } else { "it was not created yet" };
        writeln!(out, "  no view: {why}")?;
        return Ok(());
    };
    for (field, value) in fields::fields(Some(&view)) {
        writeln!(out, "  {field:FIELD_WIDTH$}  {}", whole(&value)?)?;
    }
    Ok(())
}

/// Event by event.
pub fn history(
    id: &str,
    timeline: &Timeline<'_>,
    scan: &Scan,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    for warning in words::warnings(scan, names) {
        writeln!(out, "warning: {warning}")?;
    }
    for told in &timeline.events {
        event(told, names, out)?;
    }
    if !timeline.dead_letters.is_empty() {
        writeln!(out, "\nRecords that mention it, and could not be understood:")?;
    }
    for dead_letter in &timeline.dead_letters {
        let place = words::place(dead_letter.kept.position, names);
        let time = words::time(dead_letter.kept.timestamp_millis).unwrap_or_default();
        writeln!(out, "{place}  {time}\n    {}", dead_letter.reason)?;
    }
    let unchanged = timeline.events.iter().filter(|told| told.unchanged.is_some()).count();
    let searched = words::searched(scan, names);
    let (events, dead) = (timeline.events.len(), timeline.dead_letters.len());
    writeln!(
        out,
        "\n{id}: {events} events, of which {unchanged} changed nothing; {dead} dead letters. Looked through {searched}."
    )?;
    Ok(())
}

fn event(told: &Told<'_>, names: &TopicNames, out: &mut Vec<u8>) -> io::Result<()> {
    let metadata = &told.envelope.event.metadata;
    let body = &told.envelope.event.body;
    let place = words::place(told.envelope.position, names);
    writeln!(out, "{}  {}  ({place}, event {:?})", metadata.occurred_at, what(body), metadata.event_id)?;
    let is_creation = told.changes.iter().any(|change| change.field == "id" && change.old == Value::Null);
    let is_deletion = told.changes.iter().any(|change| change.field == "id" && change.new == Value::Null);
    if is_deletion {
        writeln!(out, "    the view is gone")?;
    } else {
        for Change { field, old, new } in &told.changes {
            match is_creation {
                true => writeln!(out, "    {field}: {}", shortened(new)?)?,
                false => writeln!(out, "    {field}: {} -> {}", shortened(old)?, shortened(new)?)?,
            }
        }
    }
    if let Some(unchanged) = told.unchanged {
        writeln!(out, "    changed nothing: {}", unchanged.explain())?;
    }
    if told.envelope.nulled_numbers > 0 {
        writeln!(
            out,
            "    odd: {} of its numbers are NaN or infinite, and shown as null",
            told.envelope.nulled_numbers
        )?;
    }
    if told.irregular {
        writeln!(out, "    odd: the job should not have taken this status after the one before it")?;
    }
    if told.mismatched {
        writeln!(out, "    odd: it names {}", named(body))?;
    }
    Ok(())
}

/// Of what the event is, and what it says.
fn what(body: &Body<'_>) -> String {
    let name = body.kind();
    match body {
        Body::Optimization { .. } => match words::job_id(body) {
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

/// As JSON, so that texts are told from other values, and control characters cannot disturb a terminal.
fn whole(value: &Value) -> io::Result<String> {
    Ok(serde_json::to_string(value)?)
}

fn shortened(value: &Value) -> io::Result<String> {
    let whole = whole(value)?;
    Ok(match whole.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}... ({} characters)", &whole[..at], whole.chars().count()),
        None => whole,
    })
}
