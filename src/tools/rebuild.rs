//! `optview rebuild` and `optview rollback`: begun, watched, asked about, aborted. What is begun goes on where nobody
//! watches any more.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::context::{CACHE_BYTES, ToolContext, ToolOutcome};
use crate::generation::rebuild::{
    self, Plan, RebuildCounts, RebuildKind, RebuildOptions, RebuildOutcome, Ticket, show_frozen,
};
use crate::generation::{left_plan, plan_file, roll_back_frozen_unserved};
use crate::progress::{Progress, ProgressSink};
use crate::store;

/// Time between two reports to somebody who watches.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks whether a plan is on the disk.
const PLANNED_EVERY: Duration = Duration::from_millis(10);

pub fn build(
    access: ToolContext,
    options: &RebuildOptions,
    detach: bool,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let is_asked = |plan: &Plan| plan.kind == RebuildKind::Build && plan.options == *options;
    let plan = || Plan::build(&access.data_dir, options.clone());
    let ticket = begin(&access, detach, is_asked, plan)?;
    let data_dir = access.data_dir.clone();
    // What it holds open could not be removed.
    drop(access);
    watched(&ticket, &data_dir, detach, watch)
}

pub fn go_back(
    access: ToolContext,
    to: Option<u64>,
    keep: usize,
    detach: bool,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let is_asked = |plan: &Plan| plan.kind == RebuildKind::Rollback && to.is_none_or(|to| to == plan.generation);
    let plan = || {
        let plan = Plan::go_back(&access.data_dir, to, keep)?;
        refuse_to_return(&access, plan.generation)?;
        Ok(plan)
    };
    let ticket = begin(&access, detach, is_asked, plan)?;
    let data_dir = access.data_dir.clone();
    drop(access);
    let outcome = watched(&ticket, &data_dir, detach, watch);
    // Only of what ended is it known that it cannot be done.
    let has_failed = matches!(ticket.look().1, Some(Err(_))) && !ticket.is_aborted();
    outcome.map_err(|why| match has_failed {
        true => anyhow!("{why:#}. {}", show_frozen(ticket.plan().generation)),
        false => why,
    })
}

/// Refuses a rollback before anything is begun, unless a rebuild is under way, which is the reason then.
fn refuse_to_return(access: &ToolContext, generation: u64) -> anyhow::Result<()> {
    let Some(engine) = access.engine.as_ref() else { return Ok(()) };
    if engine.rebuild().is_some_and(|ticket| ticket.look().1.is_none()) {
        return Ok(());
    }
    let standing = store::read_position(&access.data_dir, generation, engine.config.store_cache_bytes);
    let standing = standing.with_context(|| format!("generation {generation:06} cannot be gone back to"))?;
    rebuild::refuse_to_return(&engine.config, generation, &standing)
}

/// Shows an earlier generation as it was left.
pub fn go_back_frozen(access: ToolContext, to: Option<u64>) -> anyhow::Result<ToolOutcome> {
    let ToolContext { data_dir, engine, reader, .. } = access;
    // What it holds open could not be closed.
    drop(reader);
    let finished = match engine {
        Some(engine) => engine.roll_back_frozen(to)?,
        None => roll_back_frozen_unserved(&data_dir, to, CACHE_BYTES)?,
    };
    outcome(&finished)
}

/// Builds a generation beside the live one only to compare the two, and removes it again: also where nobody waits for the
/// result any more.
pub fn replay(
    access: ToolContext,
    max_rate: Option<f64>,
    examples: usize,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let plan = || Plan::scratch(&access.data_dir, max_rate, examples);
    let ticket = begin(&access, false, |_| false, plan)?;
    drop(access);
    loop {
        let (progress, ended) = ticket.wait(TELL_EVERY);
        match ended {
            Some(Ok(finished)) => return outcome(&finished),
            Some(Err(why)) => bail!(why),
            None if watch(progress).is_break() => ticket.abort(),
            None => {}
        }
    }
}

fn begin(
    access: &ToolContext,
    detach: bool,
    is_asked: impl Fn(&Plan) -> bool,
    plan: impl FnOnce() -> anyhow::Result<Plan>,
) -> anyhow::Result<Ticket> {
    let engine = access
        .engine
        .as_ref()
        .context("no process serves this store, so give --brokers: it is kept up to date meanwhile")?;
    if detach && !access.is_served {
        bail!("no process serves this store, so there is none to leave it to: run it without --detach");
    }
    match engine.rebuild() {
        // Where nobody serves, one that was interrupted has been gone on with by now, and may have ended.
        Some(ticket) if !access.is_served && is_asked(ticket.plan()) => Ok(ticket),
        _ => engine.begin(plan()?),
    }
}

/// The rebuild that is under way, or that ended last.
#[derive(Serialize, Deserialize)]
pub struct RebuildStatus {
    pub generation: Option<String>,
    pub under_way: bool,
    pub progress: Option<Progress>,
    /// The counts of the new generation by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<RebuildCounts>,
    pub finished: Option<RebuildOutcome>,
    pub failed: Option<String>,
}

pub fn status(access: &ToolContext) -> anyhow::Result<ToolOutcome> {
    let ticket = access.engine.as_ref().and_then(|engine| engine.rebuild());
    let stands = match ticket.as_ref().map(Ticket::look) {
        Some((progress, ended)) => RebuildStatus {
            found: ticket.as_ref().filter(|_| ended.is_none()).map(Ticket::counts),
            generation: ticket.map(|ticket| format!("{:06}", ticket.plan().generation)),
            under_way: ended.is_none(),
            progress: ended.is_none().then_some(progress),
            finished: ended.as_ref().and_then(|ended| ended.as_ref().ok().cloned()),
            failed: ended.and_then(Result::err).map(|failure| failure.to_string()),
        },
        // One that was interrupted waits for the next start.
        None => RebuildStatus {
            generation: plan_file::waiting(&access.data_dir)?.map(|plan| format!("{:06}", plan.generation)),
            under_way: false,
            progress: None,
            found: None,
            finished: None,
            failed: None,
        },
    };
    ToolOutcome::new(&stands)
}

pub fn abort(access: &ToolContext, watch: &mut ProgressSink<'_>) -> anyhow::Result<ToolOutcome> {
    let Some(engine) = &access.engine else {
        return match left_plan::abandon(&access.data_dir)? {
            true => status(access),
            false => bail!("no rebuild is under way"),
        };
    };
    let Some(ticket) = engine.rebuild().filter(|ticket| ticket.look().1.is_none()) else {
        bail!("no rebuild is under way");
    };
    ticket.abort();
    loop {
        let (progress, ended) = ticket.wait(TELL_EVERY);
        match ended {
            Some(Ok(finished)) => return outcome(&finished),
            Some(Err(_)) => return status(access),
            None if watch(progress).is_break() => bail!("nobody waits for its end any more"),
            None => {}
        }
    }
}

/// Waits for the end; with `detach` only until the plan is on the disk, or it is known why it will not be.
fn watched(
    ticket: &Ticket,
    data_dir: &Path,
    detach: bool,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    loop {
        let (progress, ended) = ticket.wait(if detach { PLANNED_EVERY } else { TELL_EVERY });
        match ended {
            Some(Ok(finished)) => return outcome(&finished),
            Some(Err(why)) => bail!(why),
            None if detach && plan_file::is_written(data_dir, ticket.plan().generation) => {
                return ToolOutcome::new(&progress);
            }
            None => {
                if let ControlFlow::Break(()) = watch(progress) {
                    bail!("nobody watches any more; the rebuild goes on");
                }
            }
        }
    }
}

/// A difference counts where that is what was asked for.
fn outcome(finished: &RebuildOutcome) -> anyhow::Result<ToolOutcome> {
    let problem_found = !finished.cut_over && finished.comparison.found_differences();
    Ok(ToolOutcome { problem_found, ..ToolOutcome::new(finished)? })
}
