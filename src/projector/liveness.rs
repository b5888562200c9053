//! That a generation has been live is remembered by its store: a later start may then answer before a broker does.

use super::Projector;
use crate::source::Source;
use crate::store::StoreError;

impl Projector {
    /// Live once readers see all that the topics held at the start.
    pub(super) fn become_live(&mut self, source: &dyn Source) -> Result<(), StoreError> {
        if self.live {
            return Ok(());
        }
        match self.live_after {
            None if source.is_complete() && self.partitions.are_caught_up() => {
                self.checkpoint()?;
                self.live_after = Some(self.commits);
            }
            Some(commit) if self.writer.commits_written() >= commit => {
                self.live = true;
                self.writer.note_caught_up();
                let what = if self.is_quiet() { "caught up with the topics" } else { "caught up: live" };
                tracing::info!(views = self.writer.views(), "{what}");
                self.report(source);
            }
            _ => {}
        }
        Ok(())
    }

    /// Has the store note it, the first time that the status says live.
    pub(super) fn note_live(&mut self) -> Result<(), StoreError> {
        if !self.live_is_noted && self.status.answer_state().was_live {
            self.writer.note_live()?;
            self.live_is_noted = true;
        }
        Ok(())
    }
}
