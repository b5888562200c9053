//! The command `optview verify`: it checks a store, served or not. With `--against-log` it also builds the store anew from the
//! topics, beside the old one, and compares the two at the same positions. There is one report of both.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use super::commands::{ToolRequirements, perform_with_progress, show};
use super::rebuild::RebuildStatus;
use super::{ProgressCallback, Tool, ToolContext, ToolOutcome, print};
use crate::cli::Completion;
use crate::config::VerifyConfig;
use crate::generation::rebuild::{Comparison, Example, RebuildOutcome};
use crate::output;
use crate::progress::Progress;
use crate::store::verify::{self, NAMED, Problem, VerifyReport, VerifySettings};

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

/// Runs `optview verify`.
pub fn run(config: &VerifyConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let VerifyConfig { tool, against_log, projection, max_rate } = config;
    let projection = projection.as_ref();
    let needs =
        ToolRequirements { kafka: projection.map(|projection| &projection.kafka), projection, stop: Some(stop) };
    if !against_log {
        return show(tool, &Tool::Verify, needs, print::verify_report);
    }
    refuse_second(config, needs)?;
    let verified: VerifyReport =
        serde_json::from_str(perform_with_progress(tool, &Tool::Verify, needs, tool.json)?.json.get())?;
    let replayed = match verified.unreadable {
        0 => {
            let replay = Tool::Replay { max_rate: *max_rate, examples: NAMED };
            perform_with_progress(tool, &replay, needs, tool.json)
                .and_then(|outcome| Ok(serde_json::from_str(outcome.json.get())?))
        }
        // The engine moves a store aside that it cannot read, and `verify` must not change anything.
        _ => Err(anyhow!("what cannot be read cannot be compared")),
    };
    if stop.load(Ordering::Acquire)
        && let Err(why) = replayed
    {
        return Err(why);
    }
    print_report(&LogVerifyReport::new(verified, replayed), tool.json)
}

/// Refuses to begin while another rebuild is under way. This comes first, since the checks take long.
fn refuse_second(config: &VerifyConfig, needs: ToolRequirements<'_>) -> anyhow::Result<()> {
    // The cluster is not needed for this question: the checks ask it for the topics' bounds themselves.
    let status = perform_with_progress(
        &config.tool,
        &Tool::RebuildStatus,
        ToolRequirements { kafka: None, ..needs },
        false,
    )?;
    let RebuildStatus { generation, finished, failed, .. } = serde_json::from_str(status.json.get())?;
    // A rebuild that has not ended is under way, or waits for the next start.
    if let (Some(generation), None, None) = (generation, finished, failed) {
        bail!(
            "generation {generation} is being made already, by a rebuild or by another `verify --against-log`, and one \
             is made at a time: `optview rebuild --status` shows it, `--abort` ends it"
        );
    }
    Ok(())
}

fn print_report(report: &LogVerifyReport, json: bool) -> anyhow::Result<Completion> {
    match json {
        true => output::print_json(&serde_json::to_string(report)?)?,
        false => output::print(&print::log_verify_report(report))?,
    }
    match &report.against_log.failed {
        Some(why) if report.verified.problems_found == 0 => bail!("it was not compared with the topics: {why}"),
        _ if report.verified.problems_found > 0 => Ok(Completion::DifferenceFound),
        _ => Ok(Completion::Done),
    }
}

impl LogVerifyReport {
    fn new(mut verified: VerifyReport, replayed: anyhow::Result<RebuildOutcome>) -> LogVerifyReport {
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

/// Runs the store's own checks in the process that has it open.
pub fn of_store(access: &ToolContext, watch: &mut ProgressCallback<'_>) -> anyhow::Result<ToolOutcome> {
    let reader = match &access.reader {
        // The views of a frozen store cannot be compared with its registers, which this version cannot decode.
        Ok(reader) => reader.check_format().map(|()| reader)?,
        Err(error) => return outcome(&verify::report_unopenable(error)),
    };
    let settings = VerifySettings {
        gently: access.is_served,
        bounds: &access.bounds,
        watch: &mut |phase, records_done, records_total| watch(Progress::new(phase, records_done, records_total)),
    };
    match verify::verify(reader, settings) {
        Some(verified) => outcome(&verified),
        None => bail!("it was told to end"),
    }
}

fn outcome(verified: &VerifyReport) -> anyhow::Result<ToolOutcome> {
    Ok(ToolOutcome { problem_found: verified.problems_found > 0, ..ToolOutcome::new(verified)? })
}
