//! The attempts to replace a frozen generation: one is begun at once if another version has folded it, and again after a failure, but
//! none if somebody asked for it to be frozen or has aborted the last attempt.

use core::time::Duration;

/// Time after which what has failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The attempts to replace a frozen generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The time at which the next attempt is due, if ever.
    next: Option<Duration>,
    /// An attempt may bring a generation that is there up to date, rather than build a new one.
    may_return: bool,
    is_under_way: bool,
}

/// The rebuild that is under way, or that ended last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebuildSight {
    None,
    UnderWay,
    Ended,
    /// It has failed: why.
    Failed {
        why: String,
        is_aborted: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryAction {
    /// Begins an attempt.
    Begin { may_return: bool },
    /// Reports why nothing takes the place of the frozen generation yet.
    Report { why: String },
}

impl Retry {
    /// `by_itself`: something is to be begun although nobody asks for it.
    pub fn new(by_itself: bool, now: Duration) -> Retry {
        Retry { next: by_itself.then_some(now), may_return: true, is_under_way: false }
    }

    /// Returns true if another attempt will be made.
    pub fn is_tried_again(&self) -> bool {
        self.next.is_some()
    }

    /// Takes in how the rebuild is, and returns what to do.
    pub fn look(&mut self, rebuild: RebuildSight, now: Duration) -> Vec<RetryAction> {
        let mut actions = Vec::new();
        match rebuild {
            RebuildSight::UnderWay => self.is_under_way = true,
            // One that somebody else asked for, too, leaves this to do, as one that was only to be compared does.
            RebuildSight::Ended => self.is_under_way = false,
            RebuildSight::Failed { why, is_aborted } if std::mem::take(&mut self.is_under_way) => {
                self.may_return = false;
                // Whoever aborts it knows better.
                self.next = self.next.filter(|_| !is_aborted).map(|_| now + TRY_AGAIN);
                actions.push(RetryAction::Report { why });
            }
            RebuildSight::Failed { .. } | RebuildSight::None => {}
        }
        if !self.is_under_way && self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + TRY_AGAIN);
            actions.push(RetryAction::Begin { may_return: self.may_return });
        }
        actions
    }

    /// Takes in that an attempt has begun.
    pub fn begun(&mut self) {
        self.is_under_way = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: RetryAction = RetryAction::Begin { may_return: true };
    const BUILD: RetryAction = RetryAction::Begin { may_return: false };

    fn failed(is_aborted: bool) -> RebuildSight {
        RebuildSight::Failed { why: "why".to_owned(), is_aborted }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_fails_is_tried_again_and_then_built_anew() {
        let mut retry = Retry::new(true, seconds(0));
        assert_eq!(retry.look(RebuildSight::None, seconds(0)), [BEGIN]);
        retry.begun();
        assert_eq!(retry.look(RebuildSight::UnderWay, seconds(5)), []);
        assert_eq!(retry.look(failed(false), seconds(7)), [RetryAction::Report { why: "why".to_owned() }]);
        assert_eq!(retry.look(failed(false), seconds(36)), []);
        assert_eq!(retry.look(failed(false), seconds(37)), [BUILD]);
    }

    #[test]
    fn an_attempt_that_cannot_begin_is_made_again() {
        let mut retry = Retry::new(true, seconds(0));
        assert_eq!(retry.look(RebuildSight::None, seconds(0)), [BEGIN]);
        assert_eq!(retry.look(RebuildSight::None, seconds(29)), []);
        assert_eq!(retry.look(RebuildSight::None, seconds(30)), [BEGIN]);
    }

    #[test]
    fn nothing_begins_unasked_where_it_was_aborted_or_never_meant() {
        let mut retry = Retry::new(true, seconds(0));
        retry.look(RebuildSight::UnderWay, seconds(0));
        retry.look(failed(true), seconds(1));
        assert!(!retry.is_tried_again());
        assert_eq!(retry.look(failed(true), seconds(1_000)), []);
        assert_eq!(Retry::new(false, seconds(0)).look(RebuildSight::None, seconds(1_000)), []);
    }

    #[test]
    fn one_that_was_only_compared_leaves_it_to_do() {
        let mut retry = Retry::new(true, seconds(0));
        retry.look(RebuildSight::UnderWay, seconds(0));
        assert_eq!(retry.look(RebuildSight::Ended, seconds(1)), [BEGIN]);
    }
}
