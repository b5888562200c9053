//! The command `optview verify`: it checks a store, served or not. With `--against-log` it also builds the store anew from the
//! topics, beside the old one, and compares the two at the same positions. There is one report of both.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail};

use super::super::log_comparison::{self, LogVerifyReport};
use super::super::rebuild::RebuildStatus;
use super::super::tool::Tool;
use super::super::verify;
use super::super::views;
use super::{ToolRequirements, perform_with_progress, show};
use crate::cli::Completion;
use crate::codec::Framing;
use crate::config::VerifyConfig;
use crate::output;
use crate::store::verify::{NAMED, VerifyReport};

/// Runs `optview verify`.
pub fn run(config: &VerifyConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let VerifyConfig { tool, against_log, projection, max_rate, against_views, views_format } = config;
    let projection = projection.as_ref();
    let needs = ToolRequirements {
        kafka: projection.map(|projection| &projection.kafka),
        projection,
        framing: projection.map_or_else(Framing::default, |projection| projection.framing),
        stop: Some(stop),
    };
    if let Some(topic) = against_views {
        let compared = Tool::VerifyViews { topic: topic.clone(), format: *views_format };
        return show(tool, &compared, needs, views::text);
    }
    if !against_log {
        return show(tool, &Tool::Verify, needs, verify::text);
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
        false => output::print(&log_comparison::text(report))?,
    }
    match &report.against_log.failed {
        Some(why) if report.verified.problems_found == 0 => bail!("it was not compared with the topics: {why}"),
        _ if report.verified.problems_found > 0 => Ok(Completion::DifferenceFound),
        _ => Ok(Completion::Done),
    }
}
