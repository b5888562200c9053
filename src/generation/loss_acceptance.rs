//! Accepting that records are missing: by an operator who says so, and by a rebuild that was told to, or that lacks no more than
//! the views that it replaces.

use anyhow::{Context as _, bail};

use super::Engine;
use super::rebuild::RebuildOptions;
use super::runtime::GenerationRuntime;
use crate::store::{MissingHistory, Reader};

impl Engine {
    /// Accepts all that the live generation is built without. Gives its number, and what nobody had accepted before.
    pub fn accept_missing_history(&self) -> anyhow::Result<(u64, Vec<MissingHistory>)> {
        self.with_live(|live| {
            let Some(ledger) = &live.missing_history else {
                bail!(
                    "generation {:06} is shown as it was left: nothing is written to it. What the one that takes its place is \
                     built without can be accepted once that is live",
                    live.generation
                );
            };
            let accepted = ledger.accept().context("that could not be written")?;
            live.status.set_missing_history(Vec::new());
            Ok((live.generation, accepted))
        })?
    }
}

/// Accepts what a generation is built without that is about to become the live one: all of it where the rebuild was told to
/// accept loss, else what the generation that it replaces is built without as well, and with somebody's consent.
pub(super) fn accept_in_rebuilt(
    options: &RebuildOptions,
    live: &Reader,
    new: &GenerationRuntime,
) -> anyhow::Result<()> {
    let Some(ledger) = &new.missing_history else { return Ok(()) };
    let (origins, of_live) = (live.origins()?, live.missing_history()?);
    ledger.accept_where(|missing| {
        if options.accept_loss {
            return true;
        }
        let origin = origins.get(&(missing.topic.clone(), missing.partition));
        let is_same =
            |held: &&MissingHistory| (&held.topic, held.partition) == (&missing.topic, missing.partition);
        let is_open = of_live.iter().find(is_same).is_some_and(|held| held.accepted_at.is_none());
        origin.is_some_and(|&origin| origin >= missing.to) && !is_open
    })?;
    if ledger.not_accepted().is_empty() {
        // Readers see its status at once, and its projector may report a moment later only.
        new.status.set_missing_history(Vec::new());
    }
    Ok(())
}
