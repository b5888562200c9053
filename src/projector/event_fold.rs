//! The fold of one event into the working set: loads the records that the event touches, and joins the event in.

use std::sync::Arc;

use super::write_back::WriteBack;
use crate::domain::fold::{self, Effects, FoldStep};
use crate::domain::{Envelope, RecordKey};
use crate::store::StoreError;

impl WriteBack {
    /// Loads what the event touches, as long as something is missing, and joins the event in.
    pub fn fold(&mut self, envelope: &Envelope<'_>) -> Result<Effects, StoreError> {
        loop {
            match fold::apply(&mut self.working, envelope) {
                FoldStep::Done(effects) => return Ok(effects),
                FoldStep::Needs(RecordKey::Optimization(id)) => self.load_optimization(&id)?,
                FoldStep::Needs(RecordKey::Job(id)) => {
                    for optimization_id in self.writer.linking(&id) {
                        self.load_optimization(&optimization_id)?;
                    }
                    let parked = self.writer.parked_job(&id)?;
                    self.loads += u64::from(parked.is_some());
                    self.working.load_job(&id, parked);
                }
            }
        }
    }

    fn load_optimization(&mut self, id: &Arc<str>) -> Result<(), StoreError> {
        if !self.working.holds_optimization(id) {
            let stored = self.writer.optimization(id)?;
            self.loads += u64::from(stored.is_some());
            self.working.load_optimization(id, stored);
        }
        Ok(())
    }
}
