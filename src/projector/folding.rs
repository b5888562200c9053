//! One event joined into the working set: loads what it touches, and counts what an operator wants to know of it.

use std::sync::Arc;
use std::time::Instant;

use super::Projector;
use crate::domain::fold::{self, Effects, FoldStep};
use crate::domain::{Body, Envelope, RecordKey};
use crate::store::StoreError;

impl Projector {
    /// Joins an event in, and tells what that says of its producers.
    pub(super) fn fold_and_count(&mut self, envelope: &Envelope<'_>) -> Result<(), StoreError> {
        let mut effects = self.fold(envelope)?;
        let is_quiet = self.is_quiet();
        if let Some(outranked) = effects.outranked.take() {
            self.losers.note_outranked(*outranked, is_quiet, Instant::now());
        }
        if envelope.nulled_numbers > 0 {
            self.nulled_numbers.note(envelope, is_quiet, Instant::now());
        }
        if effects.deleted_nothing
            && let Body::Optimization { optimization_id, .. } = &envelope.event.body
        {
            self.losers.note_deletion(envelope, optimization_id, is_quiet, Instant::now());
        }
        if !is_quiet {
            self.counters.count_effects(&effects);
        }
        Ok(())
    }

    /// Loads what the event touches, as long as something is missing, and joins it in.
    fn fold(&mut self, envelope: &Envelope<'_>) -> Result<Effects, StoreError> {
        loop {
            match fold::apply(&mut self.working, envelope) {
                FoldStep::Done(effects) => return Ok(effects),
                FoldStep::Needs(RecordKey::Optimization(id)) => self.load_optimization(&id)?,
                FoldStep::Needs(RecordKey::Job(id)) => {
                    for optimization_id in self.writer.linking(&id) {
                        self.load_optimization(&optimization_id)?;
                    }
                    let parked = self.writer.parked_job(&id)?;
                    self.count_load(parked.is_some());
                    self.working.load_job(&id, parked);
                }
            }
        }
    }

    fn load_optimization(&mut self, id: &Arc<str>) -> Result<(), StoreError> {
        if !self.working.holds_optimization(id) {
            let stored = self.writer.optimization(id)?;
            self.count_load(stored.is_some());
            self.working.load_optimization(id, stored);
        }
        Ok(())
    }
}
