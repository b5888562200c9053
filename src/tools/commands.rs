//! The commands that run tools. They print the result as one line of JSON, or as text for people.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use serde::de::DeserializeOwned;

use super::accept_loss::AcceptedLoss;
use super::context::ToolOutcome;
use super::dispatch::{ToolRequirements, perform};
use super::tool::Tool;
use super::{explain, generations, rebuild_text, snapshot};
use crate::cli::Completion;
use crate::config::{
    RebuildConfig, RebuildRequest, Removal, RollbackConfig, SnapshotExportConfig, SnapshotImportConfig, ToolConfig,
};
use crate::data_dir;
use crate::generation::rebuild::RebuildOptions;
use crate::output;
use crate::progress_display::ProgressDisplay;
pub use dead_letters::run as dead_letters;
pub use verify::run as verify;

mod dead_letters;
mod verify;

/// Runs `optview explain`.
pub fn explain(config: &ToolConfig, id: &str) -> anyhow::Result<Completion> {
    show(config, &Tool::Explain { id: id.to_owned() }, ToolRequirements::default(), explain::text)
}

/// Runs `optview generations`.
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
    show(config, &tool, ToolRequirements::default(), |generations: &Vec<_>| generations::text(generations))
}

/// Runs `optview accept-loss`.
pub fn accept_loss(config: &ToolConfig) -> anyhow::Result<Completion> {
    show(config, &Tool::AcceptLoss, ToolRequirements::default(), AcceptedLoss::text)
}

/// Runs `optview rebuild`.
pub fn rebuild(config: &RebuildConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = ToolRequirements {
        projection: config.projection.as_ref(),
        stop: Some(stop),
        ..ToolRequirements::default()
    };
    let tool = match config.request {
        RebuildRequest::Status => return show(&config.tool, &Tool::RebuildStatus, needs, rebuild_text::status),
        RebuildRequest::Abort => return show(&config.tool, &Tool::RebuildAbort, needs, rebuild_text::aborted),
        RebuildRequest::Begin => Tool::Rebuild {
            options: RebuildOptions {
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
        true => show(&config.tool, &tool, needs, rebuild_text::detached),
        false => show(&config.tool, &tool, needs, rebuild_text::outcome),
    }
}

/// Runs `optview rollback`.
pub fn rollback(config: &RollbackConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = ToolRequirements {
        projection: config.projection.as_ref(),
        stop: Some(stop),
        ..ToolRequirements::default()
    };
    let RollbackConfig { to, keep, detach, frozen, .. } = *config;
    let tool = Tool::Rollback { to, keep, detach, frozen };
    match detach && !frozen {
        true => show(&config.tool, &tool, needs, rebuild_text::detached),
        false => show(&config.tool, &tool, needs, rebuild_text::outcome),
    }
}

/// Runs `optview snapshot export`.
pub fn export_snapshot(config: &SnapshotExportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = ToolRequirements { stop: Some(stop), ..ToolRequirements::default() };
    let tool = Tool::SnapshotExport {
        file: config.file.clone(),
        min_free_disk: config.disk_reserve.floor_bytes,
        force: config.force,
    };
    show(&config.tool, &tool, needs, snapshot::export_text)
}

/// Runs `optview snapshot import`.
pub fn import_snapshot(config: &SnapshotImportConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let data_dir = &config.tool.data_dir;
    let _hold = data_dir::lock_data_dir(data_dir)?;
    let mut display = ProgressDisplay::new(false);
    let summary = crate::snapshot::import(&config.file, data_dir, config.disk_reserve, None, &mut |progress| {
        display.show(&progress);
        if stop.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    let summary = summary?;
    match config.tool.json {
        true => output::print_json(&serde_json::to_string(&summary)?)?,
        false => output::print(&snapshot::import_text(&summary))?,
    }
    Ok(Completion::Done)
}

fn show<T: DeserializeOwned>(
    config: &ToolConfig,
    tool: &Tool,
    needs: ToolRequirements<'_>,
    print: impl Fn(&T) -> String,
) -> anyhow::Result<Completion> {
    let ToolOutcome { json, problem_found, is_partial } =
        perform_with_progress(config, tool, needs, config.json && tool.needs_engine())?;
    match config.json {
        true => output::print_json(json.get())?,
        false => output::print(&print(&serde_json::from_str(json.get())?))?,
    }
    if is_partial {
        bail!("ended before all was done{}", tool.aftermath());
    }
    Ok(if problem_found { Completion::DifferenceFound } else { Completion::Done })
}

/// Runs a tool and shows its progress: on stdout as lines of JSON if `progress_as_json`, else on stderr for people.
fn perform_with_progress(
    config: &ToolConfig,
    tool: &Tool,
    needs: ToolRequirements<'_>,
    progress_as_json: bool,
) -> anyhow::Result<ToolOutcome> {
    let is_stopping = || needs.stop.is_some_and(|stop| stop.load(Ordering::Acquire));
    let mut display = ProgressDisplay::new(progress_as_json);
    let mut so_far = None;
    let outcome = perform(&config.data_dir, tool, needs, &mut |mut progress| {
        so_far = progress.so_far.take().or(so_far.take());
        display.show(&progress);
        if is_stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    display.finish();
    if is_stopping() && tool.outlives_client() {
        bail!(
            "told to stop. Where a process serves the store, the rebuild goes on there: `optview rebuild --status` shows \
             it, `--abort` ends it. Where none does, it goes on when this command is given again, or `optview serve` starts"
        );
    }
    if is_stopping() && outcome.is_err() {
        if let Some(so_far) = so_far {
            return Ok(ToolOutcome { is_partial: true, ..ToolOutcome::new(&so_far)? });
        }
        bail!("told to stop, so there is no result{}", tool.aftermath());
    }
    outcome
}
