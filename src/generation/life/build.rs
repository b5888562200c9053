//! From the facts to the meeting: opening, building, and what is held against what.

use core::time::Duration;

use super::action::{
    Action, BuildProgress, Facts, FileAction, FrozenGeneration, LiveProgress, NewProgress, Order,
};
use super::approach::Approach;
use super::course::Course;
use super::ending::{NotCompared, Reason};
use super::losses::Losses;
use super::obstacle::Obstacle;
use super::plan::RebuildKind;
use super::rendezvous::Rendezvous;
use super::state::{State, Step};
use crate::projector::Positions;

/// Time between two looks at a build.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The generation and the positions that the new one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The live generation at the same positions, where both are paused.
    SamePositions,
    /// The frozen generation where it stands, and once more when the new one has read all.
    WhereFrozen,
    /// The live generation wherever it is: records are left out, so positions prove nothing.
    Anywhere,
    Nothing(NotCompared),
}

impl Basis {
    fn of(course: &Course) -> Basis {
        let (kind, options) = (course.plan.kind, &course.plan.options);
        match (kind, &course.facts.live.frozen()) {
            _ if options.until_millis.is_some() => Basis::Anywhere,
            (RebuildKind::Rollback | RebuildKind::Discard, _) => Basis::Nothing(NotCompared::Rollback),
            (_, None) => Basis::SamePositions,
            (RebuildKind::Build, Some(_)) if options.accept_loss => Basis::Nothing(NotCompared::LossAccepted),
            (_, Some(_)) => Basis::WhereFrozen,
        }
    }
}

impl Course {
    pub(super) fn surveyed(self) -> Step {
        let Facts { is_there, .. } = self.facts;
        if self.plan.kind == RebuildKind::Discard {
            return self.fail(Reason::ToldToEnd);
        }
        // A build that goes on has been looked at before it began.
        if self.plan.kind.is_built() && !is_there {
            let refuses_loss = !self.plan.options.accept_loss;
            return self.act(State::Preflight, Action::Preflight { refuses_loss });
        }
        self.write_plan()
    }

    pub(super) fn write_plan(self) -> Step {
        let write = FileAction::WritePlan(self.plan.clone());
        self.act(State::WritePlan, Action::File(write))
    }

    pub(super) fn open(self) -> Step {
        match self.plan.kind.is_built() && !self.facts.is_there {
            true => self.act(State::Create, Action::Create),
            false => self.act(State::Open, Action::Open),
        }
    }

    pub(super) fn started(self, now: Duration) -> Step {
        match Basis::of(&self) {
            Basis::WhereFrozen => self.approach(Approach::begin(now)),
            // Nobody expects a rollback to be compared with a live generation that is kept up to date.
            Basis::Nothing(why) if self.facts.live.frozen().is_some() => {
                Course { not_compared: Some(why), ..self }.act(State::LookAtBuild, Action::LookAtBuild)
            }
            Basis::SamePositions | Basis::Anywhere | Basis::Nothing(_) => {
                self.act(State::LookAtBuild, Action::LookAtBuild)
            }
        }
    }

    pub(super) fn approached(
        self,
        approach: Approach,
        progress: &BuildProgress,
        now: Duration,
        order: Order,
    ) -> Step {
        if let Err(reason) = check(progress, order) {
            return self.fail(reason);
        }
        match approach.look(progress, now) {
            Some(approach) => self.approach(approach),
            None => self.leave_frozen(NotCompared::NotReached),
        }
    }

    fn approach(self, approach: Approach) -> Step {
        let positions = self.facts.live.frozen().map(|frozen| frozen.positions.clone()).unwrap_or_default();
        self.act(State::PauseAtFrozen(approach), Action::PauseNewAt(positions))
    }

    pub(super) fn at_frozen(self, reached: Positions) -> Step {
        let Some(FrozenGeneration { positions, is_closed, .. }) = self.facts.live.frozen() else {
            return self.fail(Reason::WrongAnswer("coming to where the frozen generation stands"));
        };
        if !positions.iter().all(|(partition, position)| reached.get(partition) == Some(position)) {
            return self.leave_frozen(NotCompared::NotReached);
        }
        let compares_views = *is_closed;
        let not_compared = (!compares_views).then_some(NotCompared::NotClosed);
        let action = Action::CompareAtFrozen { positions: reached, compares_views };
        Course { not_compared, ..self }.act(State::CompareAtFrozen, action)
    }

    fn leave_frozen(self, why: NotCompared) -> Step {
        Course { not_compared: Some(why), ..self }.act(State::LeaveFrozen, Action::ResumeNew)
    }

    pub(super) fn looked(self, progress: &BuildProgress, order: Order) -> Step {
        if let Err(reason) = check(progress, order) {
            return self.fail(reason);
        }
        let course = Course { records: progress.records, ..self };
        match (&progress.new, progress.live) {
            (NewProgress::CaughtUp, LiveProgress::CaughtUp | LiveProgress::Still) => {
                course.act(State::LiftThrottle, Action::LiftThrottle)
            }
            _ => course.act(State::WaitToLook, Action::Wait(LOOK_EVERY)),
        }
    }

    pub(super) fn built(self) -> Step {
        match Basis::of(&self) {
            Basis::SamePositions | Basis::Anywhere => self.act(State::CompareAll, Action::CompareAll),
            // The frozen one may have what the topics have no more.
            Basis::WhereFrozen | Basis::Nothing(NotCompared::LossAccepted)
                if self.plan.kind == RebuildKind::Build =>
            {
                self.act(State::CountLosses, Action::CountLosses)
            }
            Basis::WhereFrozen | Basis::Nothing(_) => self.announce(),
        }
    }

    /// Takes in what the frozen generation has and the new one, which has read all by now, has not.
    pub(super) fn lost(mut self, losses: Losses) -> Course {
        // Records of another version cannot be decoded, so only that a view is there can be held against it: what has come since may
        // have changed all else.
        let losses = match self.facts.live.has_other_format() {
            true => Losses { gone_back: 0, records: 0, parked_jobs: 0, ..losses },
            false => losses,
        };
        self.comparison.losses = std::mem::take(&mut self.comparison.losses).or_more(losses);
        self
    }

    pub(super) fn announce(self) -> Step {
        let records = self.records;
        self.act(State::AnnounceSwitch, Action::AnnounceSwitch { records })
    }

    pub(super) fn meet(self) -> Step {
        let meeting = Rendezvous::default();
        let action = match Basis::of(&self) {
            Basis::Anywhere => Action::PauseAnywhere,
            // What readers are to see must be on the disk where it takes over.
            _ => meeting.attempt(!self.plan.is_only_compared()),
        };
        self.act(State::PauseBoth(meeting), action)
    }

    pub(super) fn missed(
        self,
        meeting: Rendezvous,
        why: String,
        obstacle: Option<Obstacle>,
        now: Duration,
        order: Order,
    ) -> Step {
        if order.is_to_end() {
            return self.fail(Reason::ToldToEnd);
        }
        match meeting.miss(why, obstacle, now) {
            Ok((meeting, wait)) => self.act(State::WaitToMeet(meeting), wait),
            Err(reason) => self.fail(reason),
        }
    }

    pub(super) fn met(self, positions: Positions) -> Step {
        match Basis::of(&self) {
            Basis::SamePositions | Basis::Anywhere => {
                self.act(State::FinishComparison(positions), Action::FinishComparison)
            }
            Basis::WhereFrozen | Basis::Nothing(_) => self.judge(&positions),
        }
    }
}

/// # Errors
/// The build has to end.
fn check(progress: &BuildProgress, order: Order) -> Result<(), Reason> {
    match (&progress.new, progress.live) {
        _ if order.is_to_end() => Err(Reason::ToldToEnd),
        (NewProgress::Ended(why), _) => Err(Reason::NewCannotBeBuilt(why.clone())),
        (_, LiveProgress::Ended) => Err(Reason::LiveEnded),
        _ => Ok(()),
    }
}
