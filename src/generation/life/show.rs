//! Showing an earlier generation as it was left, because somebody asked for that. Nothing is read for it, nothing in it is
//! written, and nothing is removed.

use super::action::FileAction;

/// A generation on its way to be shown as it was left. Each state is named by the action whose result it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Show {
    generation: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `surplus_of` is the live generation, if its surplus is to be noted.
    OpenAsLeft {
        surplus_of: Option<u64>,
    },
    NoteSurplus,
    WriteFrozenMark,
    SetCurrent,
    SwitchReaders,
    StopOld,
}

/// The next thing to do to show a generation as it was left.
#[derive(Clone, Debug, PartialEq)]
pub enum ShowAction {
    /// Opens the generation, to show it as it was left.
    OpenAsLeft,
    /// Changes a file of the data directory.
    File(FileAction),
    /// Shows the generation to readers.
    SwitchReaders,
    /// Closes the generation that was live before.
    StopOld,
}

/// The generation that is live before another one is shown as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBefore {
    pub generation: u64,
    /// True if it is frozen because somebody asked for that.
    pub is_frozen_as_asked: bool,
    /// True if it is noted of it that it has what another one has not.
    pub has_surplus: bool,
}

/// The consequence of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum ShowStep {
    Act(Show, ShowAction),
    Shown,
    /// The live generation is as it was: why.
    Failed(String),
}

impl Show {
    /// Begins to show a generation.
    pub fn begin(generation: u64, live: LiveBefore) -> ShowStep {
        // A frozen generation that somebody asked for has nothing that was read since, and the first note is the one that counts.
        let notes_surplus = !live.is_frozen_as_asked && !live.has_surplus;
        let state = State::OpenAsLeft { surplus_of: notes_surplus.then_some(live.generation) };
        ShowStep::Act(Show { generation, state }, ShowAction::OpenAsLeft)
    }

    /// Takes in the result of the last action, which is the reason if it failed.
    pub fn step(self, result: Result<(), String>) -> ShowStep {
        let generation = self.generation;
        match (self.state, result) {
            // It is what readers see by now, and a log line is all that is left to do about it.
            (State::StopOld, _) => ShowStep::Shown,
            (_, Err(why)) => ShowStep::Failed(why),
            (State::OpenAsLeft { surplus_of: Some(live) }, Ok(())) => {
                // Nothing is compared: what the topics no longer have may be in the live one alone.
                let surplus = Some(format!("all that was read after generation {generation:06} was left"));
                let note = FileAction::NoteSurplus { generation: live, replaced_by: generation, surplus };
                self.act(State::NoteSurplus, ShowAction::File(note))
            }
            // First, so that it is never opened to be written to.
            (State::OpenAsLeft { surplus_of: None } | State::NoteSurplus, Ok(())) => {
                self.act(State::WriteFrozenMark, ShowAction::File(FileAction::WriteFrozenMark(generation)))
            }
            (State::WriteFrozenMark, Ok(())) => {
                self.act(State::SetCurrent, ShowAction::File(FileAction::SetCurrent(generation)))
            }
            (State::SetCurrent, Ok(())) => self.act(State::SwitchReaders, ShowAction::SwitchReaders),
            (State::SwitchReaders, Ok(())) => self.act(State::StopOld, ShowAction::StopOld),
        }
    }

    fn act(self, state: State, action: ShowAction) -> ShowStep {
        ShowStep::Act(Show { state, ..self }, action)
    }
}
