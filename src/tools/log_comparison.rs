//! The one report of a store's own checks and of its comparison with the topics, for `verify --against-log`.

use serde::{Deserialize, Serialize};

use super::verify::{checked_rows, problems};
use crate::generation::rebuild::{Comparison, Example, RebuildOutcome};
use crate::store::verify::{NAMED, Problem, VerifyReport};
use crate::terminal::table;

/// The report of `verify --against-log`: the store's own checks, and the comparison with the topics.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogVerifyReport {
    #[serde(flatten)]
    pub verified: VerifyReport,
    pub against_log: LogComparison,
}

/// The comparison of a store with one that was built from the topics.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LogComparison {
    /// Number of records that were read from the topics.
    pub records_replayed: u64,
    pub same: u64,
    pub differing: u64,
    pub only_old: u64,
    pub only_new: u64,
    pub unseen: u64,
    /// The reason for which nothing could be compared, if so.
    pub failed: Option<String>,
}

impl LogVerifyReport {
    /// Makes the report of a store that was verified, and was compared with the topics or could not be.
    pub fn new(mut verified: VerifyReport, replayed: anyhow::Result<RebuildOutcome>) -> LogVerifyReport {
        let RebuildOutcome { records, comparison, .. } = match replayed {
            Ok(finished) => finished,
            Err(why) => {
                let failed = Some(format!("{why:#}"));
                return LogVerifyReport {
                    verified,
                    against_log: LogComparison { failed, ..LogComparison::default() },
                };
            }
        };
        let Comparison { same, differing, only_old, only_new, unseen, examples, losses: _ } = comparison;
        verified.problems_found += differing + only_old + only_new + unseen;
        let left = NAMED.saturating_sub(verified.problems.len());
        verified.problems.extend(examples.into_iter().map(problem).take(left));
        let against_log =
            LogComparison { records_replayed: records, same, differing, only_old, only_new, unseen, failed: None };
        LogVerifyReport { verified, against_log }
    }
}

fn problem(example: Example) -> Problem {
    let Example { id, how, fields } = example;
    let (of, problem) = match how.as_str() {
        "only_old" => ("view", "the topics do not give it"),
        "only_new" => ("view", "the topics give it, and it is not shown"),
        "unseen" => ("record", "readers see what the topics give, but other parts differ"),
        _ => ("view", "the topics give another"),
    };
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    Problem { of: of.to_owned(), which: id, problem: format!("{problem}{fields}") }
}

/// Formats a report of `verify --against-log`.
pub fn text(report: &LogVerifyReport) -> String {
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
