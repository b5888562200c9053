//! A generation's life as a pure state machine, from a plan to its end. [`Life::step`] takes the answer to the last action and
//! gives the next one; the shell (`conductor.rs`) carries actions out and decides nothing. No I/O, no clock, no thread, no log:
//! the time comes in with each answer, so a test can walk every path and kill after every action.
//!
//! ```text
//! survey ─ preflight ─ write the plan ─ create or open ─ start ─┬─ (frozen) approach ─ compare there ─┐
//!                                                               └──────────────────────────────────── build ─ compare ─ meet
//!     meet ─ finish the comparison ─ verdict ─┬─ switch: notes, CURRENT, readers, the old one closed, the plan forgotten
//!                                             └─ undo: closed, discarded, removed, the plan forgotten
//! ```
//!
//! A failure before readers see the new generation leads to undo; after that the plan is carried out whatever fails.

pub mod action;
mod approach;
mod build;
pub mod comparison;
pub mod course;
pub mod ending;
pub mod losses;
pub mod obstacle;
pub mod plan;
mod rendezvous;
pub mod retry;
pub mod show;
pub mod start;
mod state;
mod switch;
mod undo;
mod verdict;

use action::{Action, Answer, Facts, FileAction, Input, Order};
use comparison::Comparison;
pub use course::Course;
use ending::{Ending, Failure, Reason};
pub use plan::{Plan, RebuildKind, RebuildOptions};
pub use state::{Life, Step};
use state::{Outcome, State};
use switch::SwitchStep;
use undo::UndoStep;

impl Life {
    /// Begins to carry out a plan.
    pub fn begin(plan: Plan) -> Step {
        let facts = Facts::default();
        let course = Course { plan, facts, records: 0, comparison: Comparison::default(), not_compared: None };
        course.act(State::Survey, Action::Survey)
    }

    /// Takes in the answer to the last action.
    pub fn step(self, input: Input) -> Step {
        let Life { course, state } = self;
        let Input { now, order, answer } = input;
        match (state, answer) {
            (State::Undo { step, outcome }, answer) => course.undone(step, outcome, order, &answer),
            (State::Switch { step, begun_earlier, spared }, answer) => {
                course.switched(step, begun_earlier, spared, answer)
            }
            (_, Answer::Failed(why)) => course.fail(Reason::Action(why)),
            (State::Survey, Answer::Surveyed(facts)) => Course { facts, ..course }.surveyed(),
            (State::Preflight, Answer::Done) => course.write_plan(),
            (State::WritePlan, Answer::Done) => course.open(),
            (State::Open, Answer::Damaged(_)) if course.plan.kind.is_built() => {
                let remove = FileAction::Remove(course.plan.generation);
                course.act(State::RemoveHalfBuilt, Action::File(remove))
            }
            (State::Open, Answer::Damaged(why)) => course.fail(Reason::Action(why)),
            (State::RemoveHalfBuilt, Answer::Done) => course.act(State::Create, Action::Create),
            (State::Open | State::Create, Answer::Done) => {
                course.act(State::StartProjector, Action::StartProjector)
            }
            (State::StartProjector, Answer::Done) => course.started(now),
            (State::PauseAtFrozen(approach), Answer::Looked(progress)) => {
                course.approached(approach, &progress, now, order)
            }
            (State::PauseAtFrozen(_), Answer::Paused(positions)) => course.at_frozen(positions),
            (State::CompareAtFrozen, Answer::Compared(comparison)) => {
                Course { comparison, ..course }.act(State::LeaveFrozen, Action::ResumeNew)
            }
            (State::CompareAtFrozen, Answer::Done) => course.act(State::LeaveFrozen, Action::ResumeNew),
            (State::LeaveFrozen, Answer::Done) | (State::WaitToLook, Answer::Done) => {
                course.act(State::LookAtBuild, Action::LookAtBuild)
            }
            (State::LookAtBuild, Answer::Looked(progress)) => course.looked(&progress, order),
            (State::LiftThrottle, Answer::Done) => course.built(),
            (State::CompareAll, Answer::Done) => course.announce(),
            (State::CountLosses, Answer::Lost(losses)) => course.lost(losses).announce(),
            (State::AnnounceSwitch, Answer::Done) => course.meet(),
            (State::PauseBoth(meeting), Answer::Missed { why, obstacle }) => {
                course.missed(meeting, why, obstacle, now, order)
            }
            (State::WaitToMeet(meeting), Answer::Done) => {
                let attempt = meeting.attempt(!course.plan.is_only_compared());
                course.act(State::PauseBoth(meeting), attempt)
            }
            (State::PauseBoth(_), Answer::Paused(positions)) => course.met(positions),
            (State::FinishComparison(positions), Answer::Compared(comparison)) => {
                Course { comparison, ..course }.judge(&positions)
            }
            (state, _) => course.fail(Reason::WrongAnswer(state.name())),
        }
    }
}

impl Course {
    /// Takes in that a step of the way back was carried out, or could not be.
    fn undone(self, step: UndoStep, outcome: Outcome, order: Order, answer: &Answer) -> Step {
        // Nothing of the new generation runs any more, so this is the last moment at which it can be left for the next start.
        let outcome = match (step, order, outcome) {
            (UndoStep::Stop, order, Outcome::Failed(reason))
                if order.leaves_plan() && self.plan.kind.is_resumable() =>
            {
                return self.end(Ending::Failed(Failure::Interrupted(reason)));
            }
            (UndoStep::Stop, Order::Abort, Outcome::Failed(_)) => Outcome::Aborted,
            (_, _, outcome) => outcome,
        };
        // A generation that could not be removed is left to the next start, which the plan is kept for.
        let is_left = step == UndoStep::Remove && matches!(answer, Answer::Failed(_));
        if let Some(next) = step.next(&self.plan).filter(|_| !is_left) {
            let action = next.action(&self.plan);
            return self.act(State::Undo { step: next, outcome }, action);
        }
        self.end(match outcome {
            Outcome::NotSwitched(why) => Ending::NotSwitched(why),
            Outcome::Aborted => Ending::Failed(Failure::Aborted),
            Outcome::Failed(reason) => Ending::Failed(Failure::GivenUp(reason)),
        })
    }

    fn switched(
        self,
        step: SwitchStep,
        mut begun_earlier: Option<String>,
        mut spared: Vec<u64>,
        answer: Answer,
    ) -> Step {
        let mut done = step;
        match answer {
            Answer::Failed(why) if step.ends_plan() => return self.fail(Reason::Action(why)),
            Answer::BegunEarlier(earlier) => begun_earlier = earlier,
            Answer::Pruned(generations) => spared = generations,
            // The process ends and has the old generation open still, so that it cannot be removed.
            Answer::NothingToStop => done = SwitchStep::Prune,
            _ => {}
        }
        match done.next(&self, begun_earlier.as_deref()) {
            Some((step, action)) => self.act(State::Switch { step, begun_earlier, spared }, action),
            None => self.end(Ending::Switched { spared }),
        }
    }
}

#[cfg(test)]
mod tests;
