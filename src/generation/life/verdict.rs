//! The verdict whether readers are to see the new generation, once both are paused and compared.

use super::action::FrozenGeneration;
use super::course::Course;
use super::ending::{NotSwitched, Reason};
use super::plan::RebuildKind;
use super::state::{Outcome, Step};
use crate::domain::TopicPartition;
use crate::projector::Positions;

impl Course {
    /// Decides whether the generations change places. `reached` is where the new one is paused.
    pub(super) fn judge(self, reached: &Positions) -> Step {
        if let Some(why) = self.not_switched() {
            return self.undo(Outcome::NotSwitched(why));
        }
        match self.loss().or_else(|| self.read_less(reached)) {
            Some(reason) => self.fail(reason),
            None => self.switch(),
        }
    }

    fn not_switched(&self) -> Option<NotSwitched> {
        let expects_same = self.plan.options.expect_same;
        if self.plan.is_only_compared() {
            Some(NotSwitched::OnlyCompared)
        } else if expects_same && self.not_compared.is_some() {
            Some(NotSwitched::NotComparable)
        } else if expects_same && self.comparison.found_differences() {
            Some(NotSwitched::ViewsDiffer)
        } else {
            None
        }
    }

    /// Returns what would be lost, unless that is accepted. It does not matter what the topics have lost, or how: it shows in the views.
    fn loss(&self) -> Option<Reason> {
        let (plan, losses) = (&self.plan, &self.comparison.losses);
        let is_refused = plan.kind == RebuildKind::Build && !plan.options.accept_loss && !losses.is_none();
        let has_archive = plan.options.from_archive.is_some();
        is_refused.then(|| Reason::Loss { losses: losses.clone(), has_archive })
    }

    /// Returns a partition of which the frozen generation has read more. No view may go back.
    fn read_less(&self, reached: &Positions) -> Option<Reason> {
        let FrozenGeneration { positions, is_asked_for, .. } = self.facts.live.frozen()?;
        // Whoever asked for the frozen one, and now for another that was live before, wants to see that one.
        if *is_asked_for && self.plan.kind == RebuildKind::Rollback || self.plan.options.accept_loss {
            return None;
        }
        let mut ahead = positions.iter().filter(|(partition, position)| reached.get(*partition) < Some(position));
        let (&TopicPartition { topic, partition }, &position) = ahead.next()?;
        Some(Reason::ReadLess { topic, partition, position })
    }
}
