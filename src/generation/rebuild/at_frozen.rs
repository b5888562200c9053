//! The new generation where a frozen one stands: whether both have read the same records.

use std::time::Duration;

use anyhow::{Context as _, bail};

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
        let (topic, partition) = key;
        let Some(found) = read.get(key) else { continue };
        if let (Some(was), Some(is)) = (held.topic_id, found.topic_id)
            && was != is
        {
            bail!(
                "{topic}/{partition}: the topic was deleted and created again: its id was {was} when it was read, and is {is} \
                 now. `optview rebuild --accept-loss` builds from what it has"
            );
        }
        let Some(anchor) = held.anchor else { continue };
        if found.anchor != Some(anchor) {
            bail!(
                "{topic}/{partition}: the record at {} is not the one that was read there before: the topic was created \
                 again. `optview rebuild --accept-loss` builds from what it has",
                anchor.offset
            );
        }
    }
    Ok(())
}
