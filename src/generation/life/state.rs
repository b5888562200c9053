//! The states of a plan, and the steps that every state can take.

use super::action::Action;
use super::approach::Approach;
use super::course::Course;
use super::ending::{Ending, NotSwitched, Reason};
use super::rendezvous::Rendezvous;
use super::switch::SwitchStep;
use super::undo::UndoStep;
use crate::projector::Positions;

/// A plan on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    pub(super) course: Course,
    pub(super) state: State,
}

/// A state of a plan, named by the action whose answer it waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Survey,
    Preflight,
    WritePlan,
    Open,
    RemoveHalfBuilt,
    Create,
    StartProjector,
    PauseAtFrozen(Approach),
    CompareAtFrozen,
    LeaveFrozen,
    LookAtBuild,
    WaitToLook,
    LiftThrottle,
    CompareAll,
    CountLosses,
    AnnounceSwitch,
    PauseBoth(Rendezvous),
    WaitToMeet(Rendezvous),
    FinishComparison(Positions),
    Switch { step: SwitchStep, begun_earlier: Option<String>, spared: Vec<u64> },
    Undo { step: UndoStep, outcome: Outcome },
}

/// The reason why readers are not to see the new generation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    NotSwitched(NotSwitched),
    Failed(Reason),
    /// Somebody aborted the plan before anything was removed.
    Aborted,
}

/// The consequence of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An action is to be carried out, and its answer is the next input.
    Act(Box<Life>, Action),
    End(Box<Course>, Ending),
}

impl Course {
    pub fn act(self, state: State, action: Action) -> Step {
        Step::Act(Box::new(Life { course: self, state }), action)
    }

    /// Goes the way back, as the plan cannot be carried out.
    pub fn fail(self, reason: Reason) -> Step {
        self.undo(Outcome::Failed(reason))
    }

    pub fn undo(self, outcome: Outcome) -> Step {
        let step = UndoStep::Resume;
        let action = step.action(&self.plan);
        self.act(State::Undo { step, outcome }, action)
    }

    pub fn switch(self) -> Step {
        let step = SwitchStep::AcceptMissingHistory;
        self.act(State::Switch { step, begun_earlier: None, spared: Vec::new() }, Action::AcceptMissingHistory)
    }

    pub fn end(self, ending: Ending) -> Step {
        Step::End(Box::new(self), ending)
    }
}

impl State {
    /// The state in words, after "while".
    pub fn name(&self) -> &'static str {
        match self {
            State::Survey => "looking at the data directory",
            State::Preflight => "looking at the topics",
            State::WritePlan => "writing the plan",
            State::Open | State::Create | State::RemoveHalfBuilt => "opening the generation",
            State::StartProjector => "starting the projector",
            State::PauseAtFrozen(_) | State::CompareAtFrozen | State::LeaveFrozen => {
                "coming to where the frozen generation stands"
            }
            State::LookAtBuild | State::WaitToLook | State::LiftThrottle => "building",
            State::CompareAll | State::CountLosses | State::FinishComparison(_) => "comparing",
            State::AnnounceSwitch | State::PauseBoth(_) | State::WaitToMeet(_) => "meeting",
            State::Switch { .. } => "switching",
            State::Undo { .. } => "removing what was built",
        }
    }
}
