//! Showing an earlier generation as it was left, because somebody asked for that. Nothing is read for it, nothing in it is
//! written, and nothing is removed.

use super::action::{Action, Answer, Facts, FileAction};
use super::ending::Reason;

/// A generation on its way to be shown as it was left. Each state is named by the action whose answer it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    generation: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Survey,
    OpenAsLeft { live: u64, notes_surplus: bool },
    NoteSurplus,
    WriteFrozenMark,
    SetCurrent,
    SwitchReaders,
    StopOld,
}

/// The consequence of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ShowStep {
    Act(Show, Action),
    Shown,
    /// The live generation is as it was.
    Failed(Reason),
}

impl Show {
    pub fn begin(generation: u64) -> ShowStep {
        Show { generation, state: State::Survey }.act(State::Survey, Action::Survey)
    }

    /// Takes in the answer to the last action.
    pub fn step(self, answer: Answer) -> ShowStep {
        let generation = self.generation;
        match (self.state, answer) {
            // It is what readers see by now, and a log line is all that is left to do about it.
            (State::StopOld, _) => ShowStep::Shown,
            (_, Answer::Failed(why) | Answer::Damaged(why)) => ShowStep::Failed(Reason::Action(why)),
            (State::Survey, Answer::Surveyed(facts)) => self.open(&facts),
            (State::OpenAsLeft { live, notes_surplus: true }, Answer::Done) => {
                // Nothing is compared: what the topics no longer have may be in the live one alone.
                let surplus = Some(format!("all that was read after generation {generation:06} was left"));
                let note = FileAction::NoteSurplus { generation: live, replaced_by: generation, surplus };
                self.act(State::NoteSurplus, Action::File(note))
            }
            // First, so that it is never opened to be written to.
            (State::OpenAsLeft { .. } | State::NoteSurplus, Answer::Done) => {
                self.act(State::WriteFrozenMark, Action::File(FileAction::WriteFrozenMark(generation)))
            }
            (State::WriteFrozenMark, Answer::Done) => {
                self.act(State::SetCurrent, Action::File(FileAction::SetCurrent(generation)))
            }
            (State::SetCurrent, Answer::Done) => self.act(State::SwitchReaders, Action::SwitchReaders),
            (State::SwitchReaders, Answer::Done) => self.act(State::StopOld, Action::StopOld),
            _ => ShowStep::Failed(Reason::WrongAnswer("showing a generation as it was left")),
        }
    }

    fn open(self, facts: &Facts) -> ShowStep {
        // A frozen generation that somebody asked for has nothing that was read since, and the first note is the one that counts.
        let is_asked_for = facts.live.frozen().is_some_and(|frozen| frozen.is_asked_for);
        let notes_surplus = !is_asked_for && !facts.live_has_surplus;
        self.act(State::OpenAsLeft { live: facts.live_generation, notes_surplus }, Action::OpenAsLeft)
    }

    fn act(self, state: State, action: Action) -> ShowStep {
        ShowStep::Act(Show { state, ..self }, action)
    }
}
