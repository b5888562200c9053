//! Bringing two generations to the same positions: both pause where the one is that is further. Each attempt is short, since what
//! readers see grows old meanwhile. What keeps a generation from coming there is shown while it is waited for, and ends the plan
//! once it is known to be for good.

use core::time::Duration;

use super::action::Action;
use super::ending::Reason;
use super::obstacle::Obstacle;

/// Time that the first attempt may spend on the new generation's checkpoint. Both are paused meanwhile, so each attempt gets twice
/// as much as the one before, and not all at once.
const CHECKPOINT_WITHIN_AT_FIRST: Duration = Duration::from_millis(400);
const CHECKPOINT_WITHIN_MAX: Duration = Duration::from_secs(10);
const ATTEMPTS_MAX: u32 = 120;
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);
/// Time that an obstacle which cannot go away by itself must stand still to be believed: what is known of the topics' ends is a
/// second old, and more where the machine is busy. The cluster must have answered again meanwhile.
const BELIEVED_AFTER: Duration = Duration::from_secs(10);

/// The attempts so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendezvous {
    attempts: u32,
    /// The obstacle of the last attempts as it was seen first, and since when nothing about it has changed.
    obstacle: Option<(Obstacle, Duration)>,
}

impl Rendezvous {
    /// Returns the next attempt.
    pub fn attempt(&self, has_checkpoint: bool) -> Action {
        let within = CHECKPOINT_WITHIN_AT_FIRST * 2_u32.pow(self.attempts.min(5));
        Action::PauseBoth { checkpoint_within: has_checkpoint.then_some(within.min(CHECKPOINT_WITHIN_MAX)) }
    }

    /// Takes in that an attempt has failed, and returns what to do before the next one.
    ///
    /// # Errors
    /// There is no next one: the obstacle is for good, or there were enough attempts.
    pub fn miss(
        self,
        why: String,
        obstacle: Option<Obstacle>,
        now: Duration,
    ) -> Result<(Rendezvous, Action), Reason> {
        let standing = match (&obstacle, self.obstacle) {
            (Some(found), Some((first, since))) if found.is_same(&first) => Some((first, since)),
            (found, _) => found.clone().map(|found| (found, now)),
        };
        if let (Some(found), Some((first, since))) = (&obstacle, &standing)
            && found.is_for_good()
            && found.is_confirmed_since(first)
            && now.saturating_sub(*since) > BELIEVED_AFTER
        {
            return Err(Reason::NeverMeet(found.clone()));
        }
        let attempts = self.attempts + 1;
        if attempts >= ATTEMPTS_MAX {
            return Err(Reason::NotMet { why, obstacle });
        }
        Ok((Rendezvous { attempts, obstacle: standing }, Action::Wait(PAUSE_BETWEEN_ATTEMPTS)))
    }
}
