//! The facts that a plan begins with.

use std::path::Path;

use crate::config::ProjectionConfig;
use crate::data_dir::{self, DataDirError, FrozenMark, GenerationManifest};
use crate::generation::life::action::{Answer, Facts, FrozenGeneration, LiveGeneration};
use crate::generation::runtime::{GenerationRuntime, positions};

/// Returns what the live generation is, and whether another one is there.
///
/// # Errors
/// The data directory or the live generation cannot be read.
pub fn of_served(live: &GenerationRuntime, config: &ProjectionConfig, generation: u64) -> anyhow::Result<Answer> {
    let is_there = data_dir::exists(&config.data_dir, generation)?;
    let frozen = match live.reader.is_frozen() {
        false => LiveGeneration::Following,
        true => LiveGeneration::Frozen(FrozenGeneration {
            positions: positions(&live.reader.checkpoint()?, &config.kafka.topics),
            is_asked_for: FrozenMark::of_current(&config.data_dir)?.is_some(),
            has_other_format: live.reader.check_format().is_err(),
            is_closed: GenerationManifest::read(&live.path).closed.is_some(),
        }),
    };
    // Only what is shown as it was left asks for this, and reads it itself.
    let facts = Facts { is_there, live_generation: live.generation, live: frozen, live_has_surplus: false };
    Ok(Answer::Surveyed(facts))
}

/// Returns the same from the files of a data directory alone. `generation` is another one than the live one.
///
/// # Errors
/// They cannot be read.
pub fn of_files(data_dir: &Path, generation: u64) -> Result<Answer, DataDirError> {
    let is_there = data_dir::exists(data_dir, generation)?;
    let is_asked_for = FrozenMark::of_current(data_dir)?.is_some();
    let live = match is_asked_for {
        false => LiveGeneration::Following,
        true => LiveGeneration::Frozen(FrozenGeneration { is_asked_for, ..FrozenGeneration::default() }),
    };
    let live_generation = data_dir::current(data_dir)?.unwrap_or_default();
    // What somebody asked to see as it was left has nothing that was read since.
    let live_has_surplus =
        !is_asked_for && data_dir::surplus(&data_dir::directory(data_dir, live_generation))?.is_some();
    Ok(Answer::Surveyed(Facts { is_there, live_generation, live, live_has_surplus }))
}
