//! The way back: the new generation is closed, and removed if it was built. A plan that a restart resumes is left as it is where
//! the process is about to end.

use super::action::{Action, FileAction};
use super::plan::{Plan, RebuildKind};

/// A step of the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoStep {
    Resume,
    Stop,
    /// A crash while the generation is removed must leave nothing to resume.
    Discard,
    Remove,
    ForgetPlan,
}

impl UndoStep {
    /// Returns the step that follows this one; `None`: all is undone.
    pub fn next(self, plan: &Plan) -> Option<UndoStep> {
        match self {
            UndoStep::Resume => Some(UndoStep::Stop),
            // What was live before stays.
            UndoStep::Stop if plan.kind == RebuildKind::Rollback => Some(UndoStep::ForgetPlan),
            UndoStep::Stop => Some(UndoStep::Discard),
            UndoStep::Discard => Some(UndoStep::Remove),
            UndoStep::Remove => Some(UndoStep::ForgetPlan),
            UndoStep::ForgetPlan => None,
        }
    }

    pub fn action(self, plan: &Plan) -> Action {
        match self {
            UndoStep::Resume => Action::ResumeBoth,
            UndoStep::Stop => Action::StopNew,
            UndoStep::Discard => Action::File(FileAction::WritePlan(plan.to_discard())),
            UndoStep::Remove => Action::File(FileAction::Remove(plan.generation)),
            UndoStep::ForgetPlan => Action::File(FileAction::ForgetPlan),
        }
    }
}
