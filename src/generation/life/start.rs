//! The start on a data directory: which generation is opened and how, and what becomes of a plan that a crash or a stop has left.

use super::action::FileAction;
use super::plan::{Plan, RebuildKind};

/// A live generation on its way to be opened. Each state is named by the action whose answer it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveStart {
    refuses_other_format: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    OpenMarked,
    ForgetMark,
    OpenToWrite,
    OpenOtherFormat,
    Condemn,
}

/// The next action of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningAction {
    /// Opens the live generation, to show it as it was left.
    OpenAsLeft(FrozenReason),
    /// Removes `FROZEN`.
    ForgetMark,
    /// Opens the live generation, or begins one where there is none or the one that was there is damaged, which is moved aside.
    OpenToWrite,
    /// Marks the live generation as damaged.
    Condemn,
}

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningAnswer {
    Done,
    Damaged,
    /// Another version has folded it.
    OtherFormat,
    /// It could not be done, and that proves no damage.
    Failed,
}

/// The reason for which the live generation is shown as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrozenReason {
    /// Somebody asked for that.
    Asked,
    /// Another version has folded it.
    OtherFormat,
}

/// The consequence of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    Act(LiveStart, OpeningAction),
    /// The generation that was opened last is served.
    Opened,
    Failed(OpeningFailure),
}

/// The reason why the live generation is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningFailure {
    /// The last action failed, and its error is the reason.
    Action,
    /// The same, of the generation that somebody asked to be shown as it was left.
    MarkedCannotBeShown,
    /// Another version has folded it, and such a generation is not to be served.
    OtherFormatRefused,
}

impl LiveStart {
    /// `is_marked`: somebody asked for the live generation to be shown as it was left.
    pub fn begin(is_marked: bool, refuses_other_format: bool) -> OpeningStep {
        let opening = LiveStart { refuses_other_format, state: State::OpenMarked };
        match is_marked {
            true => opening.act(State::OpenMarked, OpeningAction::OpenAsLeft(FrozenReason::Asked)),
            // One that names another generation was left by a crash, and means nothing any more.
            false => opening.act(State::ForgetMark, OpeningAction::ForgetMark),
        }
    }

    /// Takes in what came of the last action.
    pub fn step(self, answer: OpeningAnswer) -> OpeningStep {
        match (self.state, answer) {
            (State::OpenMarked | State::OpenToWrite, OpeningAnswer::Done) => OpeningStep::Opened,
            // As any that is damaged, it makes room for a new one.
            (State::OpenMarked, OpeningAnswer::Damaged) => self.act(State::ForgetMark, OpeningAction::ForgetMark),
            (State::OpenMarked, _) => OpeningStep::Failed(OpeningFailure::MarkedCannotBeShown),
            (State::ForgetMark | State::Condemn, OpeningAnswer::Done) => {
                self.act(State::OpenToWrite, OpeningAction::OpenToWrite)
            }
            (State::OpenToWrite, OpeningAnswer::OtherFormat) => {
                self.act(State::OpenOtherFormat, OpeningAction::OpenAsLeft(FrozenReason::OtherFormat))
            }
            (State::OpenOtherFormat, OpeningAnswer::Done) if self.refuses_other_format => {
                OpeningStep::Failed(OpeningFailure::OtherFormatRefused)
            }
            (State::OpenOtherFormat, OpeningAnswer::Done) => OpeningStep::Opened,
            // It could not be shown either.
            (State::OpenOtherFormat, OpeningAnswer::Damaged) => self.act(State::Condemn, OpeningAction::Condemn),
            _ => OpeningStep::Failed(OpeningFailure::Action),
        }
    }

    fn act(self, state: State, action: OpeningAction) -> OpeningStep {
        OpeningStep::Act(LiveStart { state, ..self }, action)
    }
}

/// A plan that a crash or a stop has left.
#[derive(Clone, Debug, PartialEq)]
pub enum LeftPlan {
    /// The start resumes it.
    Resumed(Plan),
    /// The start carries out these actions in its place, in their order, and ends with the first that fails.
    Cleared { actions: Vec<FileAction>, is_other_versions: bool },
}

impl LeftPlan {
    /// Decides what becomes of a plan, in a data directory whose live generation is `current`, and for a version that folds by
    /// `own_format`.
    pub fn of(plan: Plan, current: Option<u64>, own_format: u8) -> LeftPlan {
        let is_done = current == Some(plan.generation);
        let is_other_versions = !is_done && plan.format != own_format;
        if !is_done && !is_other_versions && plan.kind.is_resumable() {
            return LeftPlan::Resumed(plan);
        }
        // What was live before stays.
        let removes = !is_done && plan.kind != RebuildKind::Rollback;
        let remove = removes.then_some(FileAction::Remove(plan.generation));
        LeftPlan::Cleared {
            actions: remove.into_iter().chain([FileAction::ForgetPlan]).collect(),
            is_other_versions,
        }
    }
}
