//! The consent and the history that the new generation takes over from the live one when they change places.

use std::time::{Duration, Instant};

use crate::data_dir::MissingHistory;
use crate::domain::NamedPartition;
use crate::generation::life::RebuildOptions;
use crate::generation::runtime::GenerationRuntime;
use crate::store::Reader;

/// Time that the comparison of dead letters may take, during which both generations pause.
const LETTERS_COMPARED_WITHIN: Duration = Duration::from_millis(200);

/// Accepts the records that a generation is built without which is about to become the live one: all of them if the rebuild accepts
/// loss, else what the generation that it replaces is built without as well, and with somebody's consent.
///
/// # Errors
/// It cannot be written.
pub fn accept_missing_history(
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
        let origin = origins.get(&NamedPartition::new(missing.topic.clone(), missing.partition));
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

/// Notes that a topic has the dead letters of a generation that is about to become the live one, if it has those of the live one, and
/// these are at the same positions or more. Otherwise the generation writes its letters there once readers see it: it may have found
/// some that the live one has understood, discarded, or, as a frozen one, never read.
///
/// # Errors
/// A store cannot be read or written. Then, too, all letters are written.
pub fn hand_over_letter_topic(live: &Reader, new: &GenerationRuntime) -> anyhow::Result<()> {
    let (Some(note), Some(topic)) = (&new.letter_topic_note, live.letter_topic()?) else { return Ok(()) };
    if live.has_letters_of(&new.reader, Instant::now() + LETTERS_COMPARED_WITHIN)? {
        note.set(&topic, live.letters_only_counted()?)?;
    }
    Ok(())
}

/// Returns the partitions that the live generation was read from an earlier offset of, as from an archive, in words.
///
/// # Errors
/// One of the generations cannot be read.
pub fn begun_earlier(live: &Reader, new: &Reader) -> anyhow::Result<Option<String>> {
    let (ours, theirs) = (live.origins()?, new.origins()?);
    let earlier: Vec<String> = ours
        .iter()
        .filter(|(key, origin)| theirs.get(*key).is_some_and(|new| *origin < new))
        .map(|(partition, from)| format!("{partition} from {from}"))
        .collect();
    Ok((!earlier.is_empty()).then(|| format!("only it was built from {}", earlier.join(", "))))
}
