//! That a generation has been live is remembered by its store: a later start may then answer before a broker does.

use super::Projector;
use crate::store::StoreError;

impl Projector {
    /// Has the store note it, the first time that the status says live.
    pub(super) fn note_live(&mut self) -> Result<(), StoreError> {
        if !self.live_is_noted && self.status.answer_state().was_live {
            self.writer.note_live()?;
            self.live_is_noted = true;
        }
        Ok(())
    }
}
