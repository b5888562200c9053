//! Shows an earlier generation as it was left, because somebody asked for that: where it cannot be brought up to date, or need
//! not be. A rebuild, or a rollback to a generation that catches up, leads out of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use parking_lot::MutexGuard;

use super::life::Plan;
use super::life::action::{Action, Answer, FileAction};
use super::life::comparison::Comparison;
use super::life::ending::NotCompared;
use super::life::show::{Show, ShowStep};
use super::live::stop;
use super::rebuild::{Rebuild, RebuildCounts, RebuildOutcome, survey};
use super::rebuild_slot::{RebuildSlot, is_being_made};
use super::runtime::GenerationRuntime;
use super::{files, frozen_keeper, left_plan};
use crate::data_dir::FrozenMark;
use crate::store::{self, ReadOnlyStore};

/// Lets readers see an earlier generation as it was left, from now on and after a restart: `to`, or the last one but the live one.
///
/// # Errors
/// There is none, it cannot be read, or another one is being made.
pub fn roll_back_frozen(rebuilds: &Arc<RebuildSlot>, to: Option<u64>) -> anyhow::Result<RebuildOutcome> {
    let rebuild = rebuilds.lock_idle()?;
    let generation = Plan::earlier(&rebuilds.live.config.data_dir, to)?;
    let mark = FrozenMark::new(generation);
    let mut served = ServedRollback { rebuilds, rebuild: Some(rebuild), mark, new: None, old: None };
    carry_out(generation, |action| served.carry_out(action))
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
    carry_out(generation, |action| match action {
        Action::Survey => Ok(survey::of_files(data_dir, generation)?),
        Action::OpenAsLeft => open(data_dir, generation, cache_bytes).map(|_| Answer::Done),
        Action::File(action) => files::carry_out(data_dir, action),
        // Nobody reads.
        _ => Ok(Answer::Done),
    })
}

fn carry_out(
    generation: u64,
    mut carry_out: impl FnMut(&Action) -> anyhow::Result<Answer>,
) -> anyhow::Result<RebuildOutcome> {
    let mut step = Show::begin(generation);
    loop {
        step = match step {
            ShowStep::Act(show, action) => {
                show.step(carry_out(&action).unwrap_or_else(|error| Answer::Failed(format!("{error:#}"))))
            }
            ShowStep::Shown => return Ok(outcome(generation)),
            ShowStep::Failed(reason) => bail!("{reason}"),
        }
    }
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
    fn carry_out(&mut self, action: &Action) -> anyhow::Result<Answer> {
        let config = &self.rebuilds.live.config;
        let generation = self.mark.generation;
        match action {
            Action::Survey => return Ok(survey::of_files(&config.data_dir, generation)?),
            Action::OpenAsLeft => {
                let store = open(&config.data_dir, generation, config.store_cache_bytes)?;
                let store = ReadOnlyStore { asked: Some(self.mark.clone()), ..store };
                self.new = Some(frozen_keeper::start(self.rebuilds, store, false)?);
            }
            // The status shows the time that this mark has.
            Action::File(FileAction::WriteFrozenMark(_)) => self.mark.write(&config.data_dir)?,
            Action::File(action) => return files::carry_out(&config.data_dir, action),
            Action::SwitchReaders => {
                let new = self.new.take().context("no generation has been opened")?;
                self.old = self.rebuilds.live.switch_to(new);
                // What looked after it must begin no rebuild any more, and may wait for this lock to do so.
                if let Some(old) = &self.old {
                    old.control.stop();
                }
                self.rebuild = None;
                tracing::warn!(generation, "an earlier generation is shown as it was left, as was asked for");
            }
            Action::StopOld => self.old.take().into_iter().for_each(stop),
            action => bail!("{action:?} is no part of showing a generation as it was left"),
        }
        Ok(Answer::Done)
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
