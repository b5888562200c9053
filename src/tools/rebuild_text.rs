//! The results of rebuilds and rollbacks as text for people.

use serde::Deserialize as _;
use serde_json::Value;

use crate::generation::rebuild::{Comparison, Example, RebuildCounts, RebuildOutcome};
use crate::terminal::table;

/// Formats the result of a rebuild, or of a rollback.
pub fn outcome(finished: &RebuildOutcome) -> String {
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

/// Formats the status of the rebuild that is under way, or that ended last.
pub fn status(status: &Value) -> String {
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
            Ok(finished) => outcome(&finished),
            Err(_) => match status["failed"].as_str() {
                Some(why) => format!("Generation {generation} was not made: {why}\n"),
                None => format!("Generation {generation} waits: it goes on when `optview serve` starts.\n"),
            },
        },
    }
}

/// Formats the answer to a rebuild that the command does not wait for. It may have ended already.
pub fn detached(answer: &Value) -> String {
    let not_yet =
        "It is under way: `optview rebuild --status` shows how far it is, `optview rebuild --abort` ends it.\n";
    RebuildOutcome::deserialize(answer).map_or_else(|_| not_yet.to_owned(), |finished| outcome(&finished))
}

/// Formats the status of a rebuild after it was aborted, or its result if it ended before that.
pub fn aborted(answer: &Value) -> String {
    RebuildOutcome::deserialize(answer).map_or_else(|_| status(answer), |finished| outcome(&finished))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rebuild_that_nobody_waits_for_or_that_was_aborted_is_described() {
        let progress = json!({"phase": "building", "records_done": 0, "records_total": null});
        assert!(detached(&progress).contains("`optview rebuild --status` shows how far it is"));
        let failed = json!({
            "generation": "000003", "under_way": false, "progress": null, "finished": null,
            "failed": "it was aborted; the live generation is as it was",
        });
        let expected = "Generation 000003 was not made: it was aborted; the live generation is as it was\n";
        assert_eq!(aborted(&failed), expected);
        let finished = json!({
            "phase": "done", "generation": "000003", "records": 2, "same": 1, "differing": 0, "only_old": 0, "only_new": 0,
            "unseen": 0, "examples": [], "cut_over": true, "kept_because": null,
        });
        assert!(detached(&finished).starts_with("Generation 000003 is live."));
        assert_eq!(aborted(&finished), detached(&finished));
    }
}
