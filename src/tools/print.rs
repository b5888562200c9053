//! Results as people read them: tables, and what is odd in words. Shows nothing that is not in the JSON.

use indicatif::HumanCount;
use serde::Deserialize as _;
use serde_json::Value;

use super::generations::Generation;
use super::verify::{AgainstLog, Report};
use crate::explain::{Cause, Explanation, FIELDS, Hidden, LinkedJob, Transition};
use crate::generation::rebuild::{Comparison, Example, RebuildCounts, RebuildOutcome};
use crate::snapshot::Summary;
use crate::store::MissingHistory;
use crate::store::verify::{Problem, Verified};
use crate::terminal::table;

pub fn explanation(explanation: &Explanation) -> String {
    let mut text = format!("optimization {}\n", explanation.id);
    match &explanation.hidden {
        None => {}
        Some(Hidden::NotCreated) => {
            text += "Readers do not see it: its `created` event has not been read yet.\n";
        }
        Some(Hidden::Deleted { by }) => {
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
    let row = |field: &&str| {
        let value = if view.is_null() { "-".to_owned() } else { shortened(&view[*field].to_string()) };
        let [event, place, occurred_at, event_id] = match &explanation.fields.get(*field).cloned().flatten() {
            Some(cause) => cells(cause),
            None => ["-"; 4].map(str::to_owned),
        };
        vec![(*field).to_owned(), value, event, place, occurred_at, event_id]
    };
    let head = ["FIELD", "VALUE", "SET BY", "AT", "OCCURRED", "EVENT ID"].map(str::to_owned).to_vec();
    [head].into_iter().chain(FIELDS.iter().map(row)).collect()
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
        return text + "  nothing was heard of it\n";
    }
    text + &table(job.transitions.iter().map(transition).collect())
}

fn transition(transition: &Transition) -> Vec<String> {
    let [event, place, occurred_at, event_id] = cells(&transition.cause);
    let odd = transition.odd.as_ref().map_or_else(String::new, |odd| format!("ODD: {odd}"));
    vec![format!("  {}", transition.status), event, place, occurred_at, event_id, odd]
}

pub fn verified(verified: &Verified) -> String {
    table(checked(verified)) + &problems(verified)
}

/// With what the topics say.
pub fn report(report: &Report) -> String {
    let Report { verified, against_log } = report;
    let mut rows = checked(verified);
    if let Some(why) = &against_log.failed {
        return table(rows) + &problems(verified) + &format!("Not compared with the topics: {why}\n");
    }
    let AgainstLog { records_replayed, same, differing, only_old, only_new, unseen, .. } = against_log;
    let mut row = |count: &u64, what: &str, how: &str| rows.push(vec![count.to_string(), what.into(), how.into()]);
    row(records_replayed, "records replayed", "from the topics, into a store beside this one");
    row(same, "views the same", "in both, at the same positions");
    row(differing, "views differ", "from what the topics give");
    row(only_old, "views too many", "which the topics do not give");
    row(only_new, "views missing", "which the topics give");
    row(unseen, "records differ", "in what readers are not shown");
    table(rows) + &problems(verified)
}

/// What was looked at.
fn checked(verified: &Verified) -> Vec<Vec<String>> {
    let Verified { records, views, parked_jobs, dead_letters, .. } = verified;
    let rows = [
        (
            "records",
            *records,
            format!("each decodes, and is what its registers give; {views} are seen by readers"),
        ),
        (
            "catalog entries",
            verified.catalog_entries,
            "each is on disk as in memory, and has its record".to_owned(),
        ),
        ("projects", verified.projects, "lists and totals counted again".to_owned()),
        ("pieces", verified.pieces, left_over(verified.pieces_left_over)),
        ("parked jobs", *parked_jobs, "each decodes".to_owned()),
        ("dead letters", *dead_letters, "each decodes".to_owned()),
        (
            "partitions",
            verified.partitions,
            match verified.partitions_bounded {
                0 => "not compared with the topics: give --brokers".to_owned(),
                bounded => format!("{bounded} lie within what the topics have"),
            },
        ),
    ];
    rows.map(|(what, count, how)| vec![count.to_string(), what.to_owned(), how]).to_vec()
}

fn problems(verified: &Verified) -> String {
    let mut text = String::new();
    if verified.unsettled > 0 {
        text += &format!(
            "{} could not be compared: they change too fast, or a kill left them; look again once caught up\n",
            verified.unsettled
        );
    }
    if verified.problems_found == 0 {
        return text + "No problem found.\n";
    }
    let shown = verified.problems.len() as u64;
    let first =
        if shown < verified.problems_found { format!(", the first {shown} of them") } else { String::new() };
    text += &format!("\nProblems found: {}{first}\n", verified.problems_found);
    let row = |problem: &Problem| vec![problem.of.clone(), problem.which.clone(), problem.problem.clone()];
    text + &table(verified.problems.iter().map(row).collect())
}

fn left_over(pieces: u64) -> String {
    match pieces {
        0 => "each belongs to a large value".to_owned(),
        pieces => format!("{pieces} were left over by a kill, which does no harm"),
    }
}

pub fn rebuilt(finished: &RebuildOutcome) -> String {
    let RebuildOutcome {
        generation,
        records,
        found,
        comparison,
        cut_over,
        kept_because,
        not_compared,
        frozen,
        spared,
        ..
    } = finished;
    if *frozen {
        return format!(
            "Generation {generation} is what readers see, as it was left, also after a restart. It is not kept up to date, and \
             is said to be frozen. `optview rebuild`, or `optview rollback` to another one, leads out of that.\n"
        );
    }
    let mut text = match cut_over {
        true => format!("Generation {generation} is live.\n"),
        false => format!(
            "Generation {generation} was removed again: {}.\n",
            kept_because.as_deref().unwrap_or("readers were not to see it")
        ),
    };
    text += &format!("{records} records were read{}.", found_text(found));
    let Comparison { same, differing, only_old, only_new, unseen, examples, losses } = comparison;
    if same + differing + only_old + only_new > 0 {
        text += &format!(
            " Of the views, {same} are the same, {differing} differ, {only_old} are only in the old one, {only_new} only \
             in the new one."
        );
    }
    if *unseen > 0 {
        text += &format!(" Of {unseen} more records, what readers are not shown differs.");
    }
    if !losses.is_none() {
        let who = if *cut_over { "That had been accepted" } else { "Of what the live views show" };
        text += &format!(" {who}: {}.", losses);
    }
    for generation in spared {
        text += &format!(
            " Generation {generation} is kept beyond --keep, as it has more than the one that took its place; `optview \
             generations --remove {generation} --accept-loss` removes it."
        );
    }
    if let Some(why) = not_compared {
        text += &format!(" The views were not compared: {why}.");
    }
    text.push('\n');
    let row = |example: &Example| vec![example.id.clone(), example.how.clone(), example.fields.join(", ")];
    text + &table(examples.iter().map(row).collect())
}

/// What was found in the records of a generation, where anything was.
fn found_text(found: &RebuildCounts) -> String {
    let counts = [
        (found.dead_letters, "could not be understood"),
        (found.outranked_events, "changed nothing although they are newer than what they lost to"),
        (found.deletions_without_effect, "deleted what was not there"),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("; {count} {what}")).collect()
}

pub fn rebuild_status(stands: &Value) -> String {
    let generation = stands["generation"].as_str();
    match (generation, stands["under_way"].as_bool()) {
        (None, _) => "No rebuild is under way, and none has ended since the process began.\n".to_owned(),
        (Some(generation), Some(true)) => {
            let progress = &stands["progress"];
            let found = serde_json::from_value(stands["found"].clone()).unwrap_or_default();
            format!(
                "Generation {generation} is under way: {}, {} of {} done{}{}.\n",
                progress["phase"].as_str().unwrap_or("?"),
                progress["records_done"],
                progress["records_total"],
                found_text(&found),
                progress["waiting_for"].as_str().map_or_else(String::new, |why| format!("; it waits: {why}"))
            )
        }
        (Some(generation), _) => match serde_json::from_value(stands["finished"].clone()) {
            Ok(finished) => rebuilt(&finished),
            Err(_) => match stands["failed"].as_str() {
                Some(why) => format!("Generation {generation} was not made: {why}\n"),
                None => format!("Generation {generation} waits: it goes on when `optview serve` starts.\n"),
            },
        },
    }
}

/// One that nobody waits for, unless it has ended by now.
pub fn begun(told: &Value) -> String {
    let not_yet =
        "It is under way: `optview rebuild --status` shows how far it is, `optview rebuild --abort` ends it.\n";
    RebuildOutcome::deserialize(told).map_or_else(|_| not_yet.to_owned(), |finished| rebuilt(&finished))
}

/// How it stands after it was aborted, or how it ended before that could be.
pub fn aborted(told: &Value) -> String {
    RebuildOutcome::deserialize(told).map_or_else(|_| rebuild_status(told), |finished| rebuilt(&finished))
}

pub fn generations(generations: &[Generation]) -> String {
    let unknown = || "?".to_owned();
    let row = |generation: &Generation| {
        let positions = generation.positions.as_ref().map(|positions| {
            format!("{} in {} partitions", positions.iter().map(|at| at.next_offset).sum::<i64>(), positions.len())
        });
        vec![
            generation.generation.clone(),
            match (generation.live, generation.frozen) {
                (true, true) => "live, frozen",
                (true, false) => "live",
                (false, _) => "",
            }
            .to_owned(),
            generation.format.map_or_else(unknown, |format| format.to_string()),
            generation.views.map_or_else(unknown, |views| views.to_string()),
            bytesize::ByteSize(generation.bytes).to_string(),
            generation.created_at.as_deref().map_or_else(unknown, created),
            positions.unwrap_or_else(unknown),
            missing(&generation.missing_history),
            match (&generation.damage, &generation.holds_more) {
                (Some(why), _) => format!("damaged: {why}"),
                (None, Some(more)) => {
                    format!("has more than {}, which took its place: {}", more.replaced_by, more.what)
                }
                (None, None) => String::new(),
            },
        ]
    };
    let head = ["GENERATION", "", "FORMAT", "VIEWS", "SIZE", "CREATED", "READ UP TO", "MISSING", ""]
        .map(str::to_owned)
        .to_vec();
    table([head].into_iter().chain(generations.iter().map(row)).collect())
}

pub fn exported(summary: &Summary) -> String {
    format!("Wrote {}, {}", summary.file.display(), held(summary))
}

pub fn imported(summary: &Summary) -> String {
    format!("Made generation {} of {}, {}", summary.generation, summary.file.display(), held(summary))
}

fn held(summary: &Summary) -> String {
    let Summary { views, records, bytes, positions, .. } = summary;
    let read: i64 = positions.iter().map(|at| at.next_offset).sum();
    format!(
        "{}: {} views, {} records, read up to {read} in {} partitions\n",
        bytesize::ByteSize(*bytes),
        HumanCount(*views),
        HumanCount(*records),
        positions.len()
    )
}

/// How many records a generation is built without, in how many partitions, and whether somebody has accepted that.
fn missing(missing_history: &[MissingHistory]) -> String {
    let records: i64 = missing_history.iter().map(|missing| missing.to - missing.from).sum();
    let is_accepted = missing_history.iter().all(|missing| missing.accepted_at.is_some());
    match (missing_history.len(), is_accepted) {
        (0, _) => "-".to_owned(),
        (partitions, true) => format!("{records} of {partitions} partitions, accepted"),
        (partitions, false) => format!("{records} of {partitions} partitions, not accepted"),
    }
}

/// With how long ago that was.
fn created(at: &str) -> String {
    let age = chrono::DateTime::parse_from_rfc3339(at).ok().and_then(|at| {
        let seconds = chrono::Utc::now().signed_duration_since(at).num_seconds();
        Some(std::time::Duration::from_secs(u64::try_from(seconds).ok()?))
    });
    match age {
        Some(age) => format!("{at}, {} ago", humantime::format_duration(age)),
        None => at.to_owned(),
    }
}

fn shortened(value: &str) -> String {
    const SHOWN: usize = 40;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_waits_for_or_what_was_aborted_is_told_in_words() {
        let progress = json!({"phase": "building", "records_done": 0, "records_total": null});
        assert!(begun(&progress).contains("`optview rebuild --status` shows how far it is"));
        let failed = json!({
            "generation": "000003", "under_way": false, "progress": null, "finished": null,
            "failed": "it was aborted; the live generation is as it was",
        });
        let told = "Generation 000003 was not made: it was aborted; the live generation is as it was\n";
        assert_eq!(aborted(&failed), told);
        let finished = json!({
            "phase": "done", "generation": "000003", "records": 2, "same": 1, "differing": 0, "only_old": 0, "only_new": 0,
            "unseen": 0, "examples": [], "cut_over": true, "kept_because": null,
        });
        assert!(begun(&finished).starts_with("Generation 000003 is live."));
        assert_eq!(aborted(&finished), begun(&finished));
    }
}
