//! `optview explain`: which event set each field of a view.

use anyhow::bail;
use serde_json::Value;

use super::context::{ToolContext, ToolOutcome};
use crate::domain::{View, ViewField};
use crate::explain::{self, Cause, Explanation, HiddenReason, LinkedJob, Transition};
use crate::terminal::table;

/// Explains the view of an optimization, or states why there is none.
pub fn explain(access: &ToolContext, id: &str) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    if let Some(explanation) = explain::explain(reader, id, &access.topics)? {
        return ToolOutcome::new(&explanation);
    }
    if let Some(text) = explain::unlinked_job(reader, id, &access.topics)? {
        bail!("{text}");
    }
    match &reader.linking(id)[..] {
        [] => bail!(
            "no event of an optimization {id:?} has been read: check its id, and whether `optview serve` has caught up"
        ),
        linking => bail!("{id:?} is no optimization; it is a job of {}: explain that", linking.join(", ")),
    }
}

/// Formats an explanation for people.
pub fn text(explanation: &Explanation) -> String {
    let mut text = format!("optimization {}\n", explanation.id);
    match &explanation.hidden {
        None => {}
        Some(HiddenReason::NotCreated) => {
            text += "Readers do not see it: its `created` event has not been read yet.\n";
        }
        Some(HiddenReason::Deleted { by }) => {
            text += &format!("Readers do not see it: it was deleted by {}, {}.\n", by.place(), by.occurred_at);
        }
    }
    text.push('\n');
    text += &table(fields(explanation));
    for job in &explanation.jobs {
        text += &linked_job(job);
    }
    if explanation.jobs.is_empty() {
        text += "\nNo job was submitted.\n";
    }
    if !explanation.odd.is_empty() {
        text += "\nOdd:\n";
        explanation.odd.iter().for_each(|odd| text += &format!("  {odd}\n"));
    }
    text
}

fn fields(explanation: &Explanation) -> Vec<Vec<String>> {
    let view: Value =
        explanation.view.as_ref().and_then(|view| serde_json::from_str(view.get()).ok()).unwrap_or_default();
    let mut rows = vec![["FIELD", "VALUE", "SET BY", "AT", "OCCURRED", "EVENT ID"].map(str::to_owned).to_vec()];
    for ViewField { name: field, .. } in View::hidden_fields() {
        let value = if view.is_null() { "-".to_owned() } else { shortened(&view[field].to_string()) };
        let [event, place, occurred_at, event_id] = match explanation.fields.get(field) {
            Some(Some(cause)) => cells(cause),
            _ => ["-"; 4].map(str::to_owned),
        };
        rows.push(vec![field.to_owned(), value, event, place, occurred_at, event_id]);
    }
    rows
}

fn cells(cause: &Cause) -> [String; 4] {
    let event_id = cause.event_id.clone().unwrap_or_else(|| "-".to_owned());
    [cause.event.clone(), cause.place(), cause.occurred_at.clone(), event_id]
}

fn linked_job(job: &LinkedJob) -> String {
    let when = if job.linked_now { "linked now" } else { "linked before" };
    let by = &job.linked_by;
    let mut text = format!("\njob {}, {when} by {} {}, {}\n", job.job_id, by.event, by.place(), by.occurred_at);
    let ranges: Vec<String> = job
        .runs
        .ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    text += &format!(
        "  runs: {}{}\n",
        job.runs.count,
        match ranges.is_empty() {
            true => String::new(),
            false => format!(" ({})", ranges.join(", ")),
        }
    );
    if job.transitions.is_empty() {
        return text + "  no event of this job has been read\n";
    }
    text + &table(job.transitions.iter().map(transition).collect())
}

fn transition(transition: &Transition) -> Vec<String> {
    let [event, place, occurred_at, event_id] = cells(&transition.cause);
    let odd = transition.odd.as_ref().map_or_else(String::new, |odd| format!("ODD: {odd}"));
    vec![format!("  {}", transition.status), event, place, occurred_at, event_id, odd]
}

fn shortened(value: &str) -> String {
    const SHOWN: usize = 40;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
