//! The actions that the machine asks of the shell, and the shell's answers. Each action has exactly one answer.

// A length of time is no clock.
use core::time::Duration;

use super::comparison::Comparison;
use super::losses::Losses;
use super::obstacle::Obstacle;
use super::plan::Plan;
use crate::projector::Positions;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Looks what the live generation is, and whether the other one is there. Answered with the facts.
    Survey,
    /// Looks at the cluster, the archive, the topics and the disk before anything is built.
    Preflight { refuses_loss: bool },
    /// Changes a file of the data directory.
    File(FileAction),
    /// Begins a new generation.
    Create,
    /// Opens a generation that is there, to write to it.
    Open,
    /// Starts the projector of the generation that was opened.
    StartProjector,
    /// Has the new generation read to these positions, and pause there. Answered within a moment, whether it has come there or not.
    PauseNewAt(Positions),
    /// Compares the new generation, which is paused at these positions, with the frozen one: the topics that both have read, and the
    /// views if `compares_views`.
    CompareAtFrozen { positions: Positions, compares_views: bool },
    /// Has the new generation read on.
    ResumeNew,
    /// Looks how far both generations are.
    LookAtBuild,
    /// Lets this time pass.
    Wait(Duration),
    /// Has the new generation read as fast as it can from now on.
    LiftThrottle,
    /// Compares all views once, and begins to note those that change from then on.
    CompareAll,
    /// Counts what the frozen generation has and the new one has not, now that the new one has read all.
    CountLosses,
    /// Shows that the generations are about to change places, after so many records.
    AnnounceSwitch { records: u64 },
    /// Pauses both generations where the one is that is further. If a time is given, the new one has a checkpoint of that on the
    /// disk by the time of the answer, and no more than this is spent on it.
    PauseBoth { checkpoint_within: Option<Duration> },
    /// Pauses both generations wherever they are.
    PauseAnywhere,
    /// Compares the views that have changed since they were compared, while both generations are paused.
    FinishComparison,
    /// Has both generations read on.
    ResumeBoth,
    /// Accepts that the new generation is built without records, as far as that has been accepted of the live one or of the plan.
    AcceptMissingHistory,
    /// Compares from which offsets both generations were read.
    CompareOrigins,
    /// Shows the new generation to readers.
    SwitchReaders,
    /// Closes the new generation.
    StopNew,
    /// Closes the generation that was live before.
    StopOld,
}

/// A change of one file of the data directory, or the removal of a generation. A crash leaves it undone or done.
#[derive(Clone, Debug, PartialEq)]
pub enum FileAction {
    /// Writes the plan into `REBUILD`.
    WritePlan(Plan),
    /// Removes `REBUILD`.
    ForgetPlan,
    /// Removes a generation, unless it is the live one.
    Remove(u64),
    /// Notes in a generation what it has and the one that replaces it has not; `None`: nothing.
    NoteSurplus { generation: u64, replaced_by: u64, surplus: Option<String> },
    /// Writes into `FROZEN` that this generation is to be shown as it was left.
    WriteFrozenMark(u64),
    /// Removes `FROZEN` if it names this generation.
    ForgetFrozenMarkOf(u64),
    /// Removes `FROZEN`.
    ForgetFrozenMark,
    /// Writes the number of the live generation into `CURRENT`.
    SetCurrent(u64),
    /// Removes the generations beyond those that are to be kept. `before` was live until now.
    Prune { before: u64, keep: usize },
}

/// The answer to an action, and the world at that moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Time since the machine began.
    pub now: Duration,
    pub order: Order,
    pub answer: Answer,
}

/// An order that came meanwhile, from somebody or something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    GoOn,
    /// The plan is to end, and what was built is to be removed.
    Abort,
    /// The plan is to end so that a restart resumes it: the process has to stop.
    Interrupt,
    /// Nobody ordered anything, but the live generation's projector has ended, and so the process is about to.
    LiveEnded,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The action was carried out.
    Done,
    /// The action was not carried out: why.
    Failed(String),
    /// The generation is damaged: how.
    Damaged(String),
    Surveyed(Facts),
    /// Both generations, or the new one, are paused at these positions.
    Paused(Positions),
    /// The generations did not come to the same positions in time, and read on. `obstacle` is what keeps one of them, if that is known.
    Missed {
        why: String,
        obstacle: Option<Obstacle>,
    },
    Looked(BuildProgress),
    Compared(Comparison),
    Lost(Losses),
    /// The partitions that only the live generation has read from their beginning; `None`: there are none.
    BegunEarlier(Option<String>),
    /// The generations that were kept beyond `keep`.
    Pruned(Vec<u64>),
    /// There is no old generation to be stopped: the end of the process has taken it.
    NothingToStop,
}

/// The data directory and the live generation as they are when the plan begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// True if the generation of the plan is there already.
    pub is_there: bool,
    /// The live generation's number.
    pub live_generation: u64,
    pub live: LiveGeneration,
}

/// The live generation, which is followed or frozen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LiveGeneration {
    /// It is kept up to date.
    #[default]
    Following,
    /// It is shown as it was left.
    Frozen(FrozenGeneration),
}

/// A live generation that is shown as it was left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrozenGeneration {
    /// The offsets that are to be read next, of the topics that are read now.
    pub positions: Positions,
    /// True if somebody asked for it to be frozen.
    pub is_asked_for: bool,
    /// True if another version has folded it, so that its records cannot be decoded.
    pub has_other_format: bool,
    /// True if it was closed as it should be. Else its views may be ahead of its positions.
    pub is_closed: bool,
}

/// The progress of both generations.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildProgress {
    /// Number of records that the new generation has read.
    pub records: u64,
    pub new: NewProgress,
    pub live: LiveProgress,
    /// True if anything is wrong with the topics at the moment, so that standing still proves nothing.
    pub has_trouble: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum NewProgress {
    Behind,
    CaughtUp,
    /// The projector has ended, or cannot go on: why.
    Ended(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveProgress {
    Behind,
    CaughtUp,
    /// The generation is as far as it will ever be: it has stopped, or is frozen.
    Still,
    /// The projector has ended.
    Ended,
}

impl Order {
    pub fn is_to_end(self) -> bool {
        matches!(self, Order::Abort | Order::Interrupt)
    }

    /// Returns true if the process is about to end.
    pub fn leaves_plan(self) -> bool {
        matches!(self, Order::Interrupt | Order::LiveEnded)
    }
}

impl LiveGeneration {
    /// Returns the frozen generation, if it is one.
    pub fn frozen(&self) -> Option<&FrozenGeneration> {
        match self {
            LiveGeneration::Following => None,
            LiveGeneration::Frozen(frozen) => Some(frozen),
        }
    }

    /// Returns true if another version has folded it.
    pub fn has_other_format(&self) -> bool {
        self.frozen().is_some_and(|frozen| frozen.has_other_format)
    }
}
