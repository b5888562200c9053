//! The end of a plan and its reason: every reason is a value, and becomes words only here.

use std::fmt;

use super::losses::Losses;
use super::obstacle::Obstacle;
use crate::domain::Topic;

/// The end of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Readers see the new generation. The generations in `spared` stay beyond those that were to be kept.
    Switched { spared: Vec<u64> },
    /// The new generation was compared, and removed.
    NotSwitched(NotSwitched),
    /// The live generation is as it was.
    Failed(Failure),
}

/// The reason why readers are not to see the new generation, though it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSwitched {
    OnlyCompared,
    NotComparable,
    ViewsDiffer,
}

impl fmt::Display for NotSwitched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NotSwitched::OnlyCompared => "it was only to be compared",
            NotSwitched::NotComparable => "the views could not be compared, and --expect-same was given",
            NotSwitched::ViewsDiffer => "views differ, and --expect-same was given",
        })
    }
}

/// The reason why the views were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCompared {
    /// The new generation was live before.
    Rollback,
    LossAccepted,
    /// The frozen generation was not closed as it should be.
    NotClosed,
    /// The new generation did not pause where the frozen one stands.
    NotReached,
    /// The generation is shown as it was left.
    ShownAsLeft,
}

impl fmt::Display for NotCompared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NotCompared::Rollback => "what was built before is only gone back to",
            NotCompared::LossAccepted => "what was lost could not be told from what differs",
            NotCompared::NotClosed => {
                "the version before was not ended as it should be, so that its views may be ahead of its positions"
            }
            NotCompared::NotReached => "the new generation did not come to hold where the live one stands",
            NotCompared::ShownAsLeft => "it is shown as it was left, and is not brought up to date",
        })
    }
}

/// A plan that was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Somebody aborted it.
    Aborted,
    /// The process is about to end, and a restart resumes the plan.
    Interrupted(Reason),
    /// It cannot be carried out, and what was built is removed.
    GivenUp(Reason),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Aborted => write!(formatter, "it was aborted; the live generation is as it was"),
            Failure::Interrupted(reason) => write!(
                formatter,
                "it was interrupted, and goes on when `optview serve` starts again, or when asked for again: {reason}"
            ),
            Failure::GivenUp(reason) => write!(formatter, "{reason}"),
        }
    }
}

impl std::error::Error for Failure {}

/// The reason for the end of a plan before its time.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    ToldToEnd,
    /// An action failed.
    Action(String),
    /// The shell gave an answer that the action does not have.
    WrongAnswer(&'static str),
    NewCannotBeBuilt(String),
    LiveEnded,
    /// An obstacle between the generations will not go away.
    NeverMeet(Obstacle),
    /// The generations did not meet in time.
    NotMet {
        why: String,
        obstacle: Option<Obstacle>,
    },
    /// Views would be lost, and nobody has accepted that.
    Loss {
        losses: Losses,
        has_archive: bool,
    },
    /// The frozen generation has read further than the new one.
    ReadLess {
        topic: Topic,
        partition: i32,
        position: i64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ToldToEnd => write!(formatter, "it was told to end"),
            Reason::Action(why) => write!(formatter, "{why}"),
            Reason::WrongAnswer(state) => {
                write!(formatter, "an answer was not understood while {state}; please report this with the log")
            }
            Reason::NewCannotBeBuilt(why) => write!(formatter, "the new generation cannot be built: {why}"),
            Reason::LiveEnded => {
                write!(formatter, "the live generation's projector has ended; the log says why")
            }
            Reason::NeverMeet(obstacle) => {
                write!(formatter, "the generations can never be brought to the same positions: {obstacle}")
            }
            Reason::NotMet { why, obstacle } => {
                write!(formatter, "the generations could not be brought to the same positions")?;
                if let Some(obstacle) = obstacle {
                    write!(formatter, ": {obstacle}")?;
                }
                write!(formatter, ": {why}")
            }
            Reason::Loss { losses, has_archive } => loss(formatter, losses, *has_archive),
            Reason::ReadLess { topic, partition, position } => write!(
                formatter,
                "the live generation has read {topic}/{partition} up to {position}, and the new one has not: the topic was \
                 truncated or created again"
            ),
        }
    }
}

fn loss(formatter: &mut fmt::Formatter<'_>, losses: &Losses, has_archive: bool) -> fmt::Result {
    let examples = match losses.examples.is_empty() {
        true => String::new(),
        false => format!(", such as {}", losses.examples.join(", ")),
    };
    let way = match has_archive {
        false => "Give --from-archive DIR where an archive has the events that these were made of",
        true => "Give an archive that goes further back",
    };
    write!(
        formatter,
        "the topics no longer give all that the live views show: {losses}{examples}. Readers go on seeing the live generation, \
         and what was built is removed. {way}. With --accept-loss it is built from what is left, and the live generation is \
         kept for `optview rollback --frozen`"
    )
}
