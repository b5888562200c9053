//! The facts that a plan begins with.

use crate::config::ProjectionConfig;
use crate::data_dir::{self, FrozenMark, GenerationManifest};
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
    Ok(Answer::Surveyed(Facts { is_there, live_generation: live.generation, live: frozen }))
}
