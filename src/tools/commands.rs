//! The commands as people and programs see them: the result as one line of JSON, or as a table.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use serde::de::DeserializeOwned;

use super::accept_loss::AcceptedLoss;
use super::{Outcome, Tool, perform, print};
use crate::cli::Completion;
use crate::config::{
    ProjectionConfig, RebuildConfig, RebuildRequest, Removal, RollbackConfig, SnapshotExportConfig, ToolConfig,
};
use crate::engine::rebuild::Options;
use crate::output;
use crate::progress::Shown;
use crate::source::kafka::KafkaSettings;

/// `optview explain`
pub fn explain(config: &ToolConfig, id: &str) -> anyhow::Result<Completion> {
    show(config, &Tool::Explain { id: id.to_owned() }, Needs::default(), print::explanation)
}

/// `optview generations`
pub fn generations(config: &ToolConfig, removal: Removal) -> anyhow::Result<Completion> {
    let tool = match removal {
        Removal { generation: Some(generation), accept_loss } => {
            Tool::RemoveGeneration { generation, accept_loss }
        }
        Removal { generation: None, accept_loss: false } => Tool::Generations,
        Removal { generation: None, accept_loss: true } => bail!(
            "--accept-loss is for --remove GENERATION: give both. That views are built without records that are gone is \
             accepted by `optview accept-loss`"
        ),
    };
    show(config, &tool, Needs::default(), |generations: &Vec<_>| print::generations(generations))
}

/// `optview accept-loss`
pub fn accept_loss(config: &ToolConfig) -> anyhow::Result<Completion> {
    show(config, &Tool::AcceptLoss, Needs::default(), AcceptedLoss::text)
}

/// `optview rebuild`
pub fn rebuild(config: &RebuildConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = Needs { projection: config.projection.as_ref(), stop: Some(stop), ..Needs::default() };
    let tool = match config.request {
        RebuildRequest::Status => return show(&config.tool, &Tool::RebuildStatus, needs, print::rebuild_status),
        RebuildRequest::Abort => return show(&config.tool, &Tool::RebuildAbort, needs, print::aborted),
        RebuildRequest::Begin => Tool::Rebuild {
            options: Options {
                max_rate: config.max_rate,
                until_millis: config.until_millis,
                from_archive: config.from_archive.clone(),
                dry_run: config.dry_run,
                expect_same: config.expect_same,
                accept_loss: config.accept_loss,
                keep: config.keep,
                examples: config.examples,
            },
            detach: config.detach,
        },
    };
    match config.detach {
        true => show(&config.tool, &tool, needs, print::begun),
        false => show(&config.tool, &tool, needs, print::rebuilt),
    }
}

/// `optview rollback`
pub fn rollback(config: &RollbackConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = Needs { projection: config.projection.as_ref(), stop: Some(stop), ..Needs::default() };
    let RollbackConfig { to, keep, detach, frozen, .. } = *config;
    let tool = Tool::Rollback { to, keep, detach, frozen };
    match detach && !frozen {
        true => show(&config.tool, &tool, needs, print::begun),
        false => show(&config.tool, &tool, needs, print::rebuilt),
    }
}

/// `optview snapshot export`
pub fn export_snapshot(config: &SnapshotExportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = Needs { stop: Some(stop), ..Needs::default() };
    let tool = Tool::SnapshotExport {
        file: config.file.clone(),
        min_free_disk: config.min_free_disk_bytes,
        force: config.force,
    };
    show(&config.tool, &tool, needs, print::exported)
}

/// What a tool needs besides the store, as far as no process serves that.
#[derive(Clone, Copy, Default)]
pub(super) struct Needs<'a> {
    pub kafka: Option<&'a KafkaSettings>,
    pub projection: Option<&'a ProjectionConfig>,
    /// Set when the tool is told to stop.
    pub stop: Option<&'a AtomicBool>,
}

pub(super) fn show<T: DeserializeOwned>(
    config: &ToolConfig,
    tool: &Tool,
    needs: Needs<'_>,
    print: impl Fn(&T) -> String,
) -> anyhow::Result<Completion> {
    let Outcome { json, problem_found } = ask(config, tool, needs, config.json && tool.needs_engine())?;
    match config.json {
        true => output::print_json(json.get())?,
        false => output::print(&print(&serde_json::from_str(json.get())?))?,
    }
    Ok(if problem_found { Completion::DifferenceFound } else { Completion::Done })
}

/// Asks, and shows how far it is: to programs, where `tells_programs` says so.
pub(super) fn ask(
    config: &ToolConfig,
    tool: &Tool,
    needs: Needs<'_>,
    tells_programs: bool,
) -> anyhow::Result<Outcome> {
    let is_told_to_stop = || needs.stop.is_some_and(|stop| stop.load(Ordering::Acquire));
    let mut shown = Shown::new(tells_programs);
    let outcome = perform(&config.data_dir, tool, needs.kafka, needs.projection, &mut |progress| {
        shown.show(&progress);
        if is_told_to_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    shown.finish();
    if is_told_to_stop() && tool.goes_on() {
        bail!(
            "told to stop. Where a process serves the store, the rebuild goes on there: `optview rebuild --status` shows \
             it, `--abort` ends it. Where none does, it goes on when this command is given again, or `optview serve` starts"
        );
    }
    if is_told_to_stop() && outcome.is_err() {
        bail!("told to stop, so there is no result{}", tool.left_where_stopped());
    }
    outcome
}
