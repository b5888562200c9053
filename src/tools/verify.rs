//! The store's own checks, in whichever process has it open.

use anyhow::bail;

use super::context::{ToolContext, ToolOutcome};
use crate::progress::ProgressSink;
use crate::store::verify::{self, Problem, VerifyReport, VerifySettings};
use crate::terminal::table;

/// Runs the store's own checks in the process that has it open.
pub fn of_store(access: &ToolContext, watch: &mut ProgressSink<'_>) -> anyhow::Result<ToolOutcome> {
    let reader = match &access.reader {
        // The views of a frozen store cannot be compared with its registers, which this version cannot decode.
        Ok(reader) => reader.check_format().map(|()| reader)?,
        Err(error) => return outcome(&verify::report_unopenable(error)),
    };
    let settings = VerifySettings { gently: access.is_served, bounds: &access.bounds, watch };
    match verify::verify(reader, settings) {
        Some(verified) => outcome(&verified),
        None => bail!("it was told to end"),
    }
}

fn outcome(verified: &VerifyReport) -> anyhow::Result<ToolOutcome> {
    Ok(ToolOutcome { problem_found: verified.problems_found > 0, ..ToolOutcome::new(verified)? })
}

/// Formats a report for people.
pub fn text(verified: &VerifyReport) -> String {
    table(checked_rows(verified)) + &problems(verified)
}

/// Makes the table's rows of everything that was checked.
pub fn checked_rows(verified: &VerifyReport) -> Vec<Vec<String>> {
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

/// Describes the problems that were found.
pub fn problems(verified: &VerifyReport) -> String {
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
