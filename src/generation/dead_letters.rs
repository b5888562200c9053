//! The work on the dead letters of the live generation: by its projector, or, if no process keeps the generation up to date, by the
//! same code without one.

use std::path::Path;

use anyhow::bail;

use super::live::LiveSlot;
use crate::codec::Framing;
use crate::data_dir::{self, DataDirError, FrozenMark, GenerationManifest};
use crate::projector::{self, LetterOutcome, LetterTask, Moment};
use crate::store::{self, OpenStore};

/// Bytes of a store's pages, and of its records, that are held in memory while letters are tried again at rest.
const CACHE_BYTES: u64 = 64 << 20;

/// Has the projector of the live generation do something about dead letters.
pub(super) fn in_live(live: &LiveSlot, task: LetterTask) -> anyhow::Result<LetterOutcome> {
    let control = live.with_live(|live| match live.missing_history {
        Some(_) => Ok(live.control.clone()),
        None => Err(live.generation),
    })?;
    match control {
        // The live generation can be replaced meanwhile: so nobody holds its place while the projector works.
        Ok(control) => Ok(control.about_letters(task)?),
        Err(generation) => bail!(refusal(generation)),
    }
}

/// Does something about the dead letters of a data directory that this process holds and has not open.
///
/// # Errors
/// There is no store, it is frozen or of another version, or it cannot be written.
pub fn at_rest(data_dir: &Path, framing: Framing, task: LetterTask) -> anyhow::Result<LetterOutcome> {
    let generation =
        data_dir::current(data_dir)?.ok_or_else(|| DataDirError::Missing { path: data_dir.to_owned() })?;
    if FrozenMark::of_current(data_dir)?.is_some() {
        bail!(refusal(generation));
    }
    let closed = GenerationManifest::read(&data_dir::directory(data_dir, generation)).closed;
    let OpenStore { writer, .. } = store::open_beside(data_dir, generation, CACHE_BYTES)?;
    if closed.is_some_and(|closed| closed.caught_up) {
        writer.note_caught_up();
    }
    Ok(projector::serve_letters_at_rest(writer, CACHE_BYTES, framing, task, Moment::now())?)
}

fn refusal(generation: u64) -> String {
    format!(
        "generation {generation:06} is shown as it was left: nothing is written to it. `optview dead-letters list`, `show` and \
         `export` read it all the same"
    )
}
