//! Shows an earlier generation as it was left, because somebody asked for that: where it cannot be brought up to date, or need
//! not be. A rebuild, or a rollback to a generation that catches up, leads out of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use parking_lot::MutexGuard;

use super::life::Plan;
use super::life::action::FileAction;
use super::life::comparison::Comparison;
use super::life::ending::NotCompared;
use super::life::show::{LiveBefore, Show, ShowAction, ShowStep};
use super::live::stop;
use super::rebuild::{Rebuild, RebuildCounts, RebuildOutcome};
use super::rebuild_slot::{RebuildSlot, is_being_made};
use super::runtime::GenerationRuntime;
use super::{files, frozen_keeper, left_plan};
use crate::data_dir::{self, DataDirError, FrozenMark};
use crate::store::{self, ReadOnlyStore};

/// Lets readers see an earlier generation as it was left, from now on and after a restart: `to`, or the last one but the live one.
///
/// # Errors
/// There is none, it cannot be read, or another one is being made.
pub fn roll_back_frozen(rebuilds: &Arc<RebuildSlot>, to: Option<u64>) -> anyhow::Result<RebuildOutcome> {
    let rebuild = rebuilds.lock_idle()?;
    let data_dir = &rebuilds.live.config.data_dir;
    let generation = Plan::earlier(data_dir, to)?;
    let mark = FrozenMark::new(generation);
    let mut served = ServedRollback { rebuilds, rebuild: Some(rebuild), mark, new: None, old: None };
    show(data_dir, generation, |action| served.carry_out(action))
}

/// The same as `roll_back_frozen` where no process serves the store, for the next one that does.
///
/// # Errors
/// The errors of `roll_back_frozen`.
pub fn roll_back_frozen_unserved(
    data_dir: &Path,
    to: Option<u64>,
    cache_bytes: u64,
) -> anyhow::Result<RebuildOutcome> {
    // What a crash has left half built is removed first, so that it is not what is shown.
    if let Some(plan) = left_plan::resume_or_clear(data_dir)? {
        bail!(is_being_made(plan.generation));
    }
    let generation = Plan::earlier(data_dir, to)?;
    show(data_dir, generation, |action| match action {
        ShowAction::OpenAsLeft => open(data_dir, generation, cache_bytes).map(drop),
        ShowAction::File(action) => files::carry_out(data_dir, action).map(drop),
        // Nobody reads.
        ShowAction::SwitchReaders | ShowAction::StopOld => Ok(()),
    })
}

fn show(
    data_dir: &Path,
    generation: u64,
    mut carry_out: impl FnMut(&ShowAction) -> anyhow::Result<()>,
) -> anyhow::Result<RebuildOutcome> {
    let mut step = Show::begin(generation, live_before(data_dir)?);
    loop {
        step = match step {
            ShowStep::Act(show, action) => show.step(carry_out(&action).map_err(|error| format!("{error:#}"))),
            ShowStep::Shown => return Ok(outcome(generation)),
            ShowStep::Failed(why) => bail!(why),
        }
    }
}

fn live_before(data_dir: &Path) -> Result<LiveBefore, DataDirError> {
    let generation = data_dir::current(data_dir)?.unwrap_or_default();
    let is_frozen_as_asked = FrozenMark::of_current(data_dir)?.is_some();
    // Of one that somebody asked for, nobody needs to know that, so its file need not be readable.
    let has_surplus =
        !is_frozen_as_asked && data_dir::surplus(&data_dir::directory(data_dir, generation))?.is_some();
    Ok(LiveBefore { generation, is_frozen_as_asked, has_surplus })
}

/// The resources that are open for the sake of a generation that readers are about to see as it was left.
struct ServedRollback<'a> {
    rebuilds: &'a Arc<RebuildSlot>,
    /// While this is held, nobody else can begin a rebuild.
    rebuild: Option<MutexGuard<'a, Option<Rebuild>>>,
    mark: FrozenMark,
    new: Option<GenerationRuntime>,
    old: Option<GenerationRuntime>,
}

impl ServedRollback<'_> {
    fn carry_out(&mut self, action: &ShowAction) -> anyhow::Result<()> {
        let config = &self.rebuilds.live.config;
        let generation = self.mark.generation;
        match action {
            ShowAction::OpenAsLeft => {
                let store = open(&config.data_dir, generation, config.store_cache_bytes)?;
                let store = ReadOnlyStore { asked: Some(self.mark.clone()), ..store };
                self.new = Some(frozen_keeper::start(self.rebuilds, store, false)?);
            }
            // The status shows the time that this mark has.
            ShowAction::File(FileAction::WriteFrozenMark(_)) => self.mark.write(&config.data_dir)?,
            ShowAction::File(action) => drop(files::carry_out(&config.data_dir, action)?),
            ShowAction::SwitchReaders => {
                let new = self.new.take().context("no generation has been opened")?;
                self.old = self.rebuilds.live.switch_to(new);
                // What looked after it must begin no rebuild any more, and may wait for this lock to do so.
                if let Some(old) = &self.old {
                    old.control.stop();
                }
                self.rebuild = None;
                tracing::warn!(generation, "an earlier generation is shown as it was left, as was asked for");
            }
            ShowAction::StopOld => self.old.take().into_iter().for_each(stop),
        }
        Ok(())
    }
}

fn open(data_dir: &Path, generation: u64, cache_bytes: u64) -> anyhow::Result<ReadOnlyStore> {
    store::open_frozen(data_dir, generation, cache_bytes)
        .with_context(|| format!("generation {generation:06} cannot be shown, and the live one is as it was"))
}

fn outcome(generation: u64) -> RebuildOutcome {
    RebuildOutcome {
        phase: "done".to_owned(),
        generation: format!("{generation:06}"),
        records: 0,
        found: RebuildCounts::default(),
        comparison: Comparison::default(),
        cut_over: true,
        kept_because: None,
        not_compared: Some(NotCompared::ShownAsLeft.to_string()),
        frozen: true,
        spared: Vec::new(),
    }
}
