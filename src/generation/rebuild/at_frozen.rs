//! The new generation where a frozen one stands: whether both have read the same records.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::domain::Gap;
use crate::generation::runtime::GenerationRuntime;
use crate::projector::Positions;
use crate::store::Reader;

/// Time that the new generation's checkpoint may take to be on the disk.
const SYNC_WITHIN: Duration = Duration::from_secs(60);

/// Writes a checkpoint of the new generation, which is paused at `positions`, and compares the topics of both checkpoints.
///
/// # Errors
/// A topic that was made anew has other records where the frozen one has read.
pub fn refuse_other_records(
    frozen: &Reader,
    new: &GenerationRuntime,
    positions: &Positions,
) -> anyhow::Result<()> {
    let checkpoint = new.control.checkpoint_at(positions.clone(), SYNC_WITHIN);
    checkpoint.context("the new generation cannot be written")?;
    let read = new.reader.checkpoint()?;
    for (key, held) in &frozen.checkpoint()? {
        let Some(found) = read.get(key) else { continue };
        let recreated = Gap::between_ids(held.topic_id, found.topic_id, held.next_offset);
        let other_record = || {
            let anchor = held.anchor.filter(|anchor| found.anchor != Some(*anchor))?;
            Some(Gap::OtherRecord { offset: anchor.offset })
        };
        if let Some(gap) = recreated.or_else(other_record) {
            bail!("{key}: {gap}. `optview rebuild --accept-loss` builds from what it has");
        }
    }
    Ok(())
}
