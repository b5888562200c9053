//! The progress of the publishing of one generation.

use std::sync::Arc;
use std::time::Instant;

use super::generations::PublishedGeneration;
use super::local_error::local;
use super::reconciliation::{Reconciliation, ReconciliationBacklog, STRAYS_MAX, StrayKeys};
use crate::domain::ReadPosition;
use crate::source::views_topic::ViewsTopicError;
use crate::store::{NumberedView, Seal};

/// The most views of one transaction.
pub const BATCH_VIEWS: usize = 2_000;

/// The progress of the publishing of one generation.
pub struct GenerationProgress {
    pub turn: u64,
    /// The position that the views must have come to before any is published. It is asked for first.
    pub target: Option<ReadPosition>,
    pub has_reached: bool,
    pub is_noted: bool,
    pub reconciliation: Option<Reconciliation>,
    /// The findings of the comparison that are not published yet.
    pub backlog: Option<ReconciliationBacklog>,
    /// The keys that are to become tombstones, as no optimization has them.
    pub strays: StrayKeys,
    /// The seal after which the generation is noted as published.
    pub note_after: Option<Seal>,
    /// The mark that is written once everything that it covers is on the topic.
    pub next_to_mark: Option<SealedPosition>,
    pub next_mark: Option<Instant>,
}

/// A position that a mark covers once everything is on the topic that had been noted when it was asked for.
pub struct CoveredPosition {
    pub position: Arc<ReadPosition>,
    /// The time at which everything that the topics held is before the position, RFC 3339; `None` if that is not known.
    pub as_of: Option<String>,
}

/// A covered position with the seal of what has to be on the topic first.
pub struct SealedPosition {
    pub covered: CoveredPosition,
    pub seal: Seal,
}

/// The content of one transaction.
#[derive(Default)]
pub struct Batch {
    pub views: Vec<NumberedView>,
    /// The keys that become tombstones.
    pub gone: Vec<Box<[u8]>>,
    /// The numbers that were taken from what the comparison has found.
    pub numbers: Vec<u32>,
    /// The keys that were taken from what the comparison has found.
    pub keys: Vec<Box<[u8]>>,
}

impl GenerationProgress {
    pub fn new(generation: &PublishedGeneration) -> GenerationProgress {
        GenerationProgress {
            turn: generation.turn,
            target: None,
            has_reached: false,
            is_noted: generation.note().is_some(),
            reconciliation: None,
            backlog: None,
            strays: StrayKeys::new(),
            note_after: None,
            next_to_mark: None,
            next_mark: None,
        }
    }

    /// Returns true if more of the topic is to be compared. What was found is published first if it is much.
    pub fn is_to_compare(&self) -> bool {
        !self.is_noted && self.backlog.is_none() && self.strays.len() <= STRAYS_MAX
    }

    /// Returns true if all that a comparison has found is published.
    pub fn has_published_all(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.numbers.is_empty()) && self.strays.is_empty()
    }

    /// Returns true if there is something to do, whether views change or not.
    pub fn has_work(&self) -> bool {
        !self.is_noted || self.next_to_mark.is_some()
    }

    /// Returns the number of views that a comparison has found and that are not published yet.
    pub fn left(&self) -> u64 {
        self.backlog.as_ref().map_or(0, |backlog| backlog.numbers.len()) + self.strays.len() as u64
    }

    /// Adds what a comparison has found to a batch, as far as there is room.
    pub fn fill(&self, batch: &mut Batch, generation: &PublishedGeneration) -> Result<(), ViewsTopicError> {
        let room = BATCH_VIEWS.saturating_sub(batch.views.len());
        let view_of = |number| generation.reader.numbered_view(number).map_err(local);
        if let Some(backlog) = &self.backlog {
            for number in backlog.numbers.iter().take(room) {
                batch.numbers.push(number);
                // Nothing on the topic is as good as a tombstone.
                batch.views.extend(
                    view_of(number)?.filter(|view| view.shown.is_some() || !backlog.absent.contains(number)),
                );
            }
        }
        for key in self.strays.iter().take(room.saturating_sub(batch.numbers.len())) {
            batch.keys.push(key.clone());
            // It may be an optimization by now.
            let number = std::str::from_utf8(key).ok().and_then(|id| generation.reader.number_of(id));
            match number.map(view_of).transpose()?.flatten() {
                Some(view) => batch.views.push(view),
                None => batch.gone.push(key.clone()),
            }
        }
        Ok(())
    }

    /// Takes out what has been published.
    pub fn leave(&mut self, numbers: &[u32], keys: &[Box<[u8]>]) {
        if let Some(backlog) = &mut self.backlog {
            for &number in numbers {
                backlog.numbers.remove(number);
            }
        }
        for key in keys {
            self.strays.remove(key);
        }
    }
}
