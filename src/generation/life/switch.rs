//! The change of places, step by step. `CURRENT` decides which generation the next start opens, so everything that must be true
//! of the new live generation is on the disk before it, and nothing of the old one is removed before it.

use super::action::{Action, FileAction};
use super::course::Course;
use super::plan::RebuildKind;

/// A step of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchStep {
    AcceptMissingHistory,
    CompareOrigins,
    NoteSurplusOfLive,
    NoteSurplusOfNew,
    /// A mark that names the new generation would freeze it at the next start.
    ForgetMarkOfNew,
    SetCurrent,
    /// Neither of the two generations that a mark can name is the live one by now, so that it counts for nothing.
    ForgetMark,
    SwitchReaders,
    Resume,
    StopOld,
    Prune,
    ForgetPlan,
}

impl SwitchStep {
    const ALL: [SwitchStep; 12] = [
        SwitchStep::AcceptMissingHistory,
        SwitchStep::CompareOrigins,
        SwitchStep::NoteSurplusOfLive,
        SwitchStep::NoteSurplusOfNew,
        SwitchStep::ForgetMarkOfNew,
        SwitchStep::SetCurrent,
        SwitchStep::ForgetMark,
        SwitchStep::SwitchReaders,
        SwitchStep::Resume,
        SwitchStep::StopOld,
        SwitchStep::Prune,
        SwitchStep::ForgetPlan,
    ];

    /// Returns the step that follows this one; `None`: the change is done.
    pub fn next(self, course: &Course, begun_earlier: Option<&str>) -> Option<(SwitchStep, Action)> {
        let mut later = SwitchStep::ALL.into_iter().skip_while(|step| *step != self).skip(1);
        later.find_map(|step| Some((step, step.action(course, begun_earlier)?)))
    }

    /// Returns true if a failure of this step ends the plan: readers still see the generation before. `CURRENT` may name the new one by
    /// then, which is whole, and which the way back does not remove.
    pub fn ends_plan(self) -> bool {
        match self {
            SwitchStep::AcceptMissingHistory
            | SwitchStep::CompareOrigins
            | SwitchStep::NoteSurplusOfLive
            | SwitchStep::NoteSurplusOfNew
            | SwitchStep::ForgetMarkOfNew
            | SwitchStep::SetCurrent
            | SwitchStep::SwitchReaders => true,
            SwitchStep::ForgetMark
            | SwitchStep::Resume
            | SwitchStep::StopOld
            | SwitchStep::Prune
            | SwitchStep::ForgetPlan => false,
        }
    }

    /// Returns what is to be done; `None`: the plan does without this step.
    fn action(self, course: &Course, begun_earlier: Option<&str>) -> Option<Action> {
        let (plan, live) = (&course.plan, course.facts.live_generation);
        let new = plan.generation;
        let action = match self {
            SwitchStep::AcceptMissingHistory => return Some(Action::AcceptMissingHistory),
            SwitchStep::CompareOrigins if plan.kind == RebuildKind::Rollback => {
                return Some(Action::CompareOrigins);
            }
            SwitchStep::CompareOrigins => return None,
            SwitchStep::NoteSurplusOfLive => {
                let surplus = surplus(course, begun_earlier);
                // What a rollback leaves keeps what was noted of it before.
                if surplus.is_none() && !plan.kind.is_built() {
                    return None;
                }
                FileAction::NoteSurplus { generation: live, replaced_by: new, surplus }
            }
            // It takes its place again.
            SwitchStep::NoteSurplusOfNew if !plan.kind.is_built() => {
                FileAction::NoteSurplus { generation: new, replaced_by: new, surplus: None }
            }
            SwitchStep::NoteSurplusOfNew => return None,
            SwitchStep::ForgetMarkOfNew => FileAction::ForgetFrozenMarkOf(new),
            SwitchStep::SetCurrent => FileAction::SetCurrent(new),
            SwitchStep::ForgetMark => FileAction::ForgetFrozenMark,
            SwitchStep::SwitchReaders => return Some(Action::SwitchReaders),
            SwitchStep::Resume => return Some(Action::ResumeBoth),
            SwitchStep::StopOld => return Some(Action::StopOld),
            SwitchStep::Prune => FileAction::Prune { before: live, keep: plan.options.keep },
            SwitchStep::ForgetPlan => FileAction::ForgetPlan,
        };
        Some(Action::File(action))
    }
}

/// Returns what only the live generation has, in words, so that nothing removes it unasked.
fn surplus(course: &Course, begun_earlier: Option<&str>) -> Option<String> {
    let (plan, losses) = (&course.plan, &course.comparison.losses);
    match plan.kind {
        // The views are not compared with those that a rollback shows. What the earlier generation never read is known.
        RebuildKind::Rollback | RebuildKind::Discard => begun_earlier.map(str::to_owned),
        RebuildKind::Build | RebuildKind::VerifyOnly if !losses.is_none() => Some(losses.to_string()),
        RebuildKind::Build | RebuildKind::VerifyOnly
            if plan.options.accept_loss && course.facts.live.has_other_format() =>
        {
            Some("how many views were lost could not be told, as another version had folded them".to_owned())
        }
        RebuildKind::Build | RebuildKind::VerifyOnly => None,
    }
}
