//! The results of tools as text for people: tables and sentences. The text contains nothing that is not in the JSON.

use indicatif::HumanCount;
use serde::Deserialize as _;
use serde_json::Value;

use super::generations::Generation;
use super::log_comparison::{LogComparison, LogVerifyReport};
use crate::data_dir::MissingHistory;
use crate::domain::{View, ViewField};
use crate::explain::{Cause, Explanation, HiddenReason, LinkedJob, Transition};
use crate::generation::rebuild::{Comparison, Example, RebuildCounts, RebuildOutcome};
use crate::snapshot::SnapshotSummary;
use crate::store::verify::{Problem, VerifyReport};
use crate::terminal::table;

pub fn explanation(explanation: &Explanation) -> String {
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

pub fn verify_report(verified: &VerifyReport) -> String {
    table(checked_rows(verified)) + &problems(verified)
}

/// Formats a report of `verify --against-log`.
pub fn log_verify_report(report: &LogVerifyReport) -> String {
    let LogVerifyReport { verified, against_log } = report;
    let mut rows = checked_rows(verified);
    if let Some(why) = &against_log.failed {
        return table(rows) + &problems(verified) + &format!("Not compared with the topics: {why}\n");
    }
    let LogComparison { records_replayed, same, differing, only_old, only_new, unseen, .. } = against_log;
    let mut row = |count: &u64, what: &str, how: &str| rows.push(vec![count.to_string(), what.into(), how.into()]);
    row(records_replayed, "records replayed", "from the topics, into a store beside this one");
    row(same, "views the same", "in both, at the same positions");
    row(differing, "views differ", "from what the topics give");
    row(only_old, "views too many", "which the topics do not give");
    row(only_new, "views missing", "which the topics give");
    row(unseen, "records differ", "in parts that readers do not see");
    table(rows) + &problems(verified)
}

/// Makes the table's rows of everything that was checked.
fn checked_rows(verified: &VerifyReport) -> Vec<Vec<String>> {
    let VerifyReport { records, views, parked_jobs, dead_letters, .. } = verified;
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
        ("pieces", verified.pieces, left_over_pieces(verified.pieces_left_over)),
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

fn problems(verified: &VerifyReport) -> String {
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
    let rows = verified.problems.iter();
    text + &table(
        rows.map(|Problem { of, which, problem }| vec![of.clone(), which.clone(), problem.clone()]).collect(),
    )
}

fn left_over_pieces(pieces: u64) -> String {
    match pieces {
        0 => "each belongs to a large value".to_owned(),
        pieces => format!("{pieces} were left over by a kill, which does no harm"),
    }
}

pub fn rebuild_outcome(finished: &RebuildOutcome) -> String {
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
             its state is `frozen`. `optview rebuild`, or `optview rollback` to another generation, ends that.\n"
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
        text += &format!(" {unseen} more records differ in parts that readers do not see.");
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
    let rows = examples.iter();
    text + &table(
        rows.map(|Example { id, how, fields }| vec![id.clone(), how.clone(), fields.join(", ")]).collect(),
    )
}

/// Describes the findings in the records of a generation; empty if there were none.
fn found_text(found: &RebuildCounts) -> String {
    let counts = [
        (found.dead_letters, "could not be understood"),
        (found.outranked_events, "changed nothing although they are newer than what they lost to"),
        (found.deletions_without_effect, "deleted what was not there"),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("; {count} {what}")).collect()
}

pub fn rebuild_status(status: &Value) -> String {
    let generation = status["generation"].as_str();
    match (generation, status["under_way"].as_bool()) {
        (None, _) => "No rebuild is under way, and none has ended since the process began.\n".to_owned(),
        (Some(generation), Some(true)) => {
            let progress = &status["progress"];
            let found = serde_json::from_value(status["found"].clone()).unwrap_or_default();
            format!(
                "Generation {generation} is under way: {}, {} of {} done{}{}.\n",
                progress["phase"].as_str().unwrap_or("?"),
                progress["records_done"],
                progress["records_total"],
                found_text(&found),
                progress["waiting_for"].as_str().map_or_else(String::new, |why| format!("; it waits: {why}"))
            )
        }
        (Some(generation), _) => match serde_json::from_value(status["finished"].clone()) {
            Ok(finished) => rebuild_outcome(&finished),
            Err(_) => match status["failed"].as_str() {
                Some(why) => format!("Generation {generation} was not made: {why}\n"),
                None => format!("Generation {generation} waits: it goes on when `optview serve` starts.\n"),
            },
        },
    }
}

/// Formats the answer to a rebuild that the command does not wait for. It may have ended already.
pub fn detached_rebuild(answer: &Value) -> String {
    let not_yet =
        "It is under way: `optview rebuild --status` shows how far it is, `optview rebuild --abort` ends it.\n";
    RebuildOutcome::deserialize(answer).map_or_else(|_| not_yet.to_owned(), |finished| rebuild_outcome(&finished))
}

/// Formats the status of a rebuild after it was aborted, or its result if it ended before that.
pub fn aborted_rebuild(answer: &Value) -> String {
    RebuildOutcome::deserialize(answer)
        .map_or_else(|_| rebuild_status(answer), |finished| rebuild_outcome(&finished))
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
            generation.created_at.as_deref().map_or_else(unknown, creation_time),
            positions.unwrap_or_else(unknown),
            missing_history(&generation.missing_history),
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

pub fn export_summary(summary: &SnapshotSummary) -> String {
    format!("Wrote {}, {}", summary.file.display(), contents(summary))
}

pub fn import_summary(summary: &SnapshotSummary) -> String {
    format!("Made generation {} of {}, {}", summary.generation, summary.file.display(), contents(summary))
}

fn contents(summary: &SnapshotSummary) -> String {
    let SnapshotSummary { views, records, bytes, positions, .. } = summary;
    let read: i64 = positions.iter().map(|at| at.next_offset).sum();
    format!(
        "{}: {} views, {} records, read up to {read} in {} partitions\n",
        bytesize::ByteSize(*bytes),
        HumanCount(*views),
        HumanCount(*records),
        positions.len()
    )
}

/// Describes the missing history of a generation: the numbers of records and partitions, and whether it has been accepted.
fn missing_history(missing_history: &[MissingHistory]) -> String {
    let records: i64 = missing_history.iter().map(|missing| missing.to - missing.from).sum();
    let is_accepted = missing_history.iter().all(|missing| missing.accepted_at.is_some());
    match (missing_history.len(), is_accepted) {
        (0, _) => "-".to_owned(),
        (partitions, true) => format!("{records} of {partitions} partitions, accepted"),
        (partitions, false) => format!("{records} of {partitions} partitions, not accepted"),
    }
}

/// Formats a time of creation together with its age.
fn creation_time(at: &str) -> String {
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
    fn a_rebuild_that_nobody_waits_for_or_that_was_aborted_is_described() {
        let progress = json!({"phase": "building", "records_done": 0, "records_total": null});
        assert!(detached_rebuild(&progress).contains("`optview rebuild --status` shows how far it is"));
        let failed = json!({
            "generation": "000003", "under_way": false, "progress": null, "finished": null,
            "failed": "it was aborted; the live generation is as it was",
        });
        let expected = "Generation 000003 was not made: it was aborted; the live generation is as it was\n";
        assert_eq!(aborted_rebuild(&failed), expected);
        let finished = json!({
            "phase": "done", "generation": "000003", "records": 2, "same": 1, "differing": 0, "only_old": 0, "only_new": 0,
            "unseen": 0, "examples": [], "cut_over": true, "kept_because": null,
        });
        assert!(detached_rebuild(&finished).starts_with("Generation 000003 is live."));
        assert_eq!(aborted_rebuild(&finished), detached_rebuild(&finished));
    }
}
