//! Shows an earlier generation as it was left, because somebody asked for that: where it cannot be brought up to date, or need
//! not be. Nothing is read for it, nothing in it is written, and nothing is removed. A rebuild, or a rollback to a generation
//! that catches up, leads out of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::frozen_keeper;
use super::rebuild::{Comparison, Plan, Rebuild, RebuildCounts, RebuildOutcome};
use super::{Engine, stop};
use crate::store::{self, FrozenMark, ReadOnlyStore};

impl Engine {
    /// Lets readers see an earlier generation as it was left, from now on and after a restart. `to`: which one, or else the
    /// last but the live one.
    ///
    /// # Errors
    /// Where there is none, it cannot be read, or another is being made.
    pub fn roll_back_frozen(self: &Arc<Engine>, to: Option<u64>) -> anyhow::Result<RebuildOutcome> {
        let data_dir = &self.config.data_dir;
        let rebuild = self.rebuild.lock();
        if let Some(held) = rebuild.as_ref().filter(|held| !Rebuild::has_ended(held)) {
            bail!(super::is_being_made(held.ticket().plan().generation));
        }
        let generation = Plan::earlier(data_dir, to)?;
        let existing = store::open_frozen(data_dir, generation, self.config.store_cache_bytes);
        let existing = existing.with_context(|| cannot_be_shown(generation))?;
        let mark = FrozenMark::new(generation);
        let running = frozen_keeper::start(self, ReadOnlyStore { asked: Some(mark.clone()), ..existing }, false)?;
        note_what_is_left(data_dir, generation)?;
        mark.make_current(data_dir)?;
        let before = self.switch_to(running);
        // While nobody else can begin a rebuild: what looked after the one before must begin none any more.
        if let Some(before) = &before {
            before.control.stop();
        }
        // What looks after the one before may wait for it.
        drop(rebuild);
        tracing::warn!(generation, "an earlier generation is shown as it was left, as was asked for");
        before.into_iter().for_each(stop);
        Ok(finished(generation))
    }
}

/// The same where no process serves the store, for the next one that does.
///
/// # Errors
/// As for [`Engine::roll_back_frozen`].
pub fn roll_back_frozen_unserved(
    data_dir: &Path,
    to: Option<u64>,
    cache_bytes: u64,
) -> anyhow::Result<RebuildOutcome> {
    // What a crash has left half built is removed first, so that it is not what is shown.
    if let Some(plan) = Plan::unfinished(data_dir)? {
        bail!(super::is_being_made(plan.generation));
    }
    let generation = Plan::earlier(data_dir, to)?;
    drop(store::open_frozen(data_dir, generation, cache_bytes).with_context(|| cannot_be_shown(generation))?);
    note_what_is_left(data_dir, generation)?;
    FrozenMark::new(generation).make_current(data_dir)?;
    Ok(finished(generation))
}

/// Notes of the live generation that it has what came after the one that is to be shown, so that nothing removes it unasked.
/// Nothing is compared: what the topics no longer have may be in it alone.
fn note_what_is_left(data_dir: &Path, shown: u64) -> anyhow::Result<()> {
    let Some(current) = store::current(data_dir)? else { return Ok(()) };
    let directory = store::directory(data_dir, current);
    if FrozenMark::of_current(data_dir)?.is_none() && store::surplus(&directory)?.is_none() {
        let what = format!("all that was read after generation {shown:06} was left");
        store::note_surplus(&directory, shown, Some(what))?;
    }
    Ok(())
}

fn cannot_be_shown(generation: u64) -> String {
    format!("generation {generation:06} cannot be shown, and the live one is as it was")
}

fn finished(generation: u64) -> RebuildOutcome {
    RebuildOutcome {
        phase: "done".to_owned(),
        generation: format!("{generation:06}"),
        records: 0,
        found: RebuildCounts::default(),
        comparison: Comparison::default(),
        cut_over: true,
        kept_because: None,
        not_compared: Some("it is shown as it was left, and is not brought up to date".to_owned()),
        frozen: true,
        spared: Vec::new(),
    }
}
