//! The way of a generation to live. The store remembers that a generation has been live, so that a later start may answer before
//! a broker does.

use crate::status::Status;
use crate::store::{StoreError, Writer};

/// The stage of a projector on its way to live.
pub struct Liveness {
    stage: LivenessStage,
    /// True if the store has the note that the generation has been live.
    is_noted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LivenessStage {
    CatchingUp,
    /// All that the topics held at the start has been read. Readers see it once this commit is written.
    AwaitsCommit(u64),
    Live,
}

impl Liveness {
    pub fn new(is_noted: bool) -> Liveness {
        Liveness { stage: LivenessStage::CatchingUp, is_noted }
    }

    pub fn is_live(&self) -> bool {
        self.stage == LivenessStage::Live
    }

    /// Returns true as long as not all has been read that the topics held at the start.
    pub fn is_catching_up(&self) -> bool {
        self.stage == LivenessStage::CatchingUp
    }

    /// Returns true if all has been read that the topics held at the start, and readers may not see it yet.
    pub fn awaits_commit(&self) -> bool {
        matches!(self.stage, LivenessStage::AwaitsCommit(_))
    }

    /// Takes note that all has been read, and is written with commit `number`.
    pub fn wait_for_commit(&mut self, number: u64) {
        self.stage = LivenessStage::AwaitsCommit(number);
    }

    /// Returns true in the turn in which the generation becomes live: all that was read is written.
    pub fn has_come(&mut self, writer: &Writer, is_quiet: bool) -> bool {
        let LivenessStage::AwaitsCommit(number) = self.stage else { return false };
        if writer.commits_written() < number {
            return false;
        }
        self.stage = LivenessStage::Live;
        writer.note_caught_up();
        let message = if is_quiet { "caught up with the topics" } else { "caught up: live" };
        tracing::info!(views = writer.views(), "{message}");
        true
    }

    /// Has the store note that the generation has been live, the first time that the status is live.
    pub fn note(&mut self, writer: &Writer, status: &Status) -> Result<(), StoreError> {
        if !self.is_noted && status.answer_state().was_live {
            writer.note_live()?;
            self.is_noted = true;
        }
        Ok(())
    }
}
