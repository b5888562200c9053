//! `optview verify`: proves the store, live or not; with `--against-log` also by building all of it anew from the topics,
//! beside it, and comparing the two at the same positions. One report of both.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use super::commands::{Needs, ask, show};
use super::rebuild::Stands;
use super::{Access, Outcome, Tool, Watch, print};
use crate::cli::Completion;
use crate::config::VerifyConfig;
use crate::engine::rebuild::{Comparison, Example, Finished};
use crate::output;
use crate::progress::Progress;
use crate::store::verify::{self, NAMED, Problem, Settings, Verified};

/// What was found, by the store's own checks and by the topics.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    #[serde(flatten)]
    pub verified: Verified,
    pub against_log: AgainstLog,
}

/// What the topics say of the store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct AgainstLog {
    /// That were read from the topics.
    pub records_replayed: u64,
    pub same: u64,
    pub differing: u64,
    pub only_old: u64,
    pub only_new: u64,
    pub unseen: u64,
    /// Why nothing could be compared, where it could not.
    pub failed: Option<String>,
}

/// `optview verify`
pub fn run(config: &VerifyConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let VerifyConfig { tool, against_log, projection, max_rate } = config;
    let projection = projection.as_ref();
    let needs = Needs { kafka: projection.map(|projection| &projection.kafka), projection, stop: Some(stop) };
    if !against_log {
        return show(tool, &Tool::Verify, needs, print::verified);
    }
    refuse_second(config, needs)?;
    let verified: Verified = serde_json::from_str(ask(tool, &Tool::Verify, needs, tool.json)?.json.get())?;
    let replayed = match verified.unreadable {
        0 => {
            let replay = Tool::Replay { max_rate: *max_rate, examples: NAMED };
            ask(tool, &replay, needs, tool.json).and_then(|outcome| Ok(serde_json::from_str(outcome.json.get())?))
        }
        // What keeps a store up to date moves aside what it cannot read, and nothing is to be changed here.
        _ => Err(anyhow!("what cannot be read cannot be compared")),
    };
    if stop.load(Ordering::Acquire)
        && let Err(why) = replayed
    {
        return Err(why);
    }
    tell(&Report::new(verified, replayed), tool.json)
}

/// Before anything is looked at for long.
fn refuse_second(config: &VerifyConfig, needs: Needs<'_>) -> anyhow::Result<()> {
    // Where the topics begin and end is asked for by the checks themselves.
    let stands = ask(&config.tool, &Tool::RebuildStatus, Needs { kafka: None, ..needs }, false)?;
    let Stands { generation, finished, failed, .. } = serde_json::from_str(stands.json.get())?;
    // One that has not ended is under way, or waits for the next start.
    if let (Some(generation), None, None) = (generation, finished, failed) {
        bail!(
            "generation {generation} is being made already, by a rebuild or by another `verify --against-log`, and one \
             is made at a time: `optview rebuild --status` shows it, `--abort` ends it"
        );
    }
    Ok(())
}

fn tell(report: &Report, json: bool) -> anyhow::Result<Completion> {
    match json {
        true => output::print_json(&serde_json::to_string(report)?)?,
        false => output::print(&print::report(report))?,
    }
    match &report.against_log.failed {
        Some(why) if report.verified.problems_found == 0 => bail!("it was not compared with the topics: {why}"),
        _ if report.verified.problems_found > 0 => Ok(Completion::DifferenceFound),
        _ => Ok(Completion::Done),
    }
}

impl Report {
    fn new(mut verified: Verified, replayed: anyhow::Result<Finished>) -> Report {
        let Finished { records, comparison, .. } = match replayed {
            Ok(finished) => finished,
            Err(why) => {
                let failed = Some(format!("{why:#}"));
                return Report { verified, against_log: AgainstLog { failed, ..AgainstLog::default() } };
            }
        };
        let Comparison { same, differing, only_old, only_new, unseen, examples, losses: _ } = comparison;
        verified.problems_found += differing + only_old + only_new + unseen;
        let left = NAMED.saturating_sub(verified.problems.len());
        verified.problems.extend(examples.into_iter().map(problem).take(left));
        let against_log =
            AgainstLog { records_replayed: records, same, differing, only_old, only_new, unseen, failed: None };
        Report { verified, against_log }
    }
}

fn problem(example: Example) -> Problem {
    let Example { id, how, fields } = example;
    let (of, problem) = match how.as_str() {
        "only_old" => ("view", "the topics do not give it"),
        "only_new" => ("view", "the topics give it, and it is not shown"),
        "unseen" => ("record", "what readers are shown is what the topics give, the rest is not"),
        _ => ("view", "the topics give another"),
    };
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    Problem { of: of.to_owned(), which: id, problem: format!("{problem}{fields}") }
}

/// The store's own checks, where it is.
pub fn of_store(access: &Access, watch: &mut Watch<'_>) -> anyhow::Result<Outcome> {
    let reader = match &access.reader {
        // Where it is frozen, nothing in it can be held against its registers.
        Ok(reader) => reader.check_format().map(|()| reader)?,
        Err(error) => return outcome(&verify::unopened(error)),
    };
    let settings = Settings {
        gently: access.is_served,
        bounds: &access.bounds,
        watch: &mut |phase, records_done, records_total| watch(Progress::new(phase, records_done, records_total)),
    };
    match verify::verify(reader, settings) {
        Some(verified) => outcome(&verified),
        None => bail!("it was told to end"),
    }
}

fn outcome(verified: &Verified) -> anyhow::Result<Outcome> {
    Ok(Outcome { problem_found: verified.problems_found > 0, ..Outcome::new(verified)? })
}
