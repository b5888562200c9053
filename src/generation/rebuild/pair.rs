//! Two generations that are paused at the same positions, and the attempt to bring them there.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::exchange::RebuildExchange;
use crate::generation::life::action::Answer;
use crate::generation::life::obstacle::{Obstacle, Side};
use crate::projector::{PauseError, PauseHandle, Positions};
use crate::source::TopicNames;
use crate::status::Status;

/// Time that a projector may take to come to the other's positions: what readers see grows old meanwhile.
const PAUSES_WITHIN: Duration = Duration::from_millis(400);
/// Time that may be spent on a checkpoint of the new generation while the live one goes on.
const SYNCS_AHEAD_WITHIN: Duration = Duration::from_secs(10);

/// Both projectors pause until this is dropped.
pub struct PausedPair {
    /// `None`: the live generation stands still anyway.
    live: Option<(Arc<PauseHandle>, Status)>,
    new: (Arc<PauseHandle>, Status),
    names: TopicNames,
    /// The time at which the live projector was asked to pause.
    since: Cell<Instant>,
}

impl Drop for PausedPair {
    fn drop(&mut self) {
        self.resume();
        tracing::debug!(after = ?self.since.get().elapsed(), "both generations go on");
    }
}

impl PausedPair {
    pub fn new(
        live: Option<(Arc<PauseHandle>, Status)>,
        new: (Arc<PauseHandle>, Status),
        names: TopicNames,
    ) -> PausedPair {
        PausedPair { live, new, names, since: Cell::new(Instant::now()) }
    }

    /// Pauses both where the one is that is further. If a time is given, the new one has a checkpoint of that on the disk when this
    /// returns. Shows what keeps one of them from coming there, in which case both go on.
    ///
    /// # Errors
    /// One of the projectors has ended, or can never come there.
    pub fn meet(&self, shared: &RebuildExchange, checkpoint_within: Option<Duration>) -> anyhow::Result<Answer> {
        let mut target = Positions::new();
        match self.try_to_meet(checkpoint_within, &mut target) {
            Ok(positions) => {
                shared.wait_for(None);
                Ok(Answer::Paused(positions))
            }
            Err(error @ PauseError::TooLong(_)) => {
                tracing::debug!("trying again to bring the generations to the same positions: {error}");
                let obstacle = self.obstacle(&target);
                self.resume();
                shared.wait_for(obstacle.as_ref().map(Obstacle::to_string));
                Ok(Answer::Missed { why: error.to_string(), obstacle })
            }
            Err(error) => Err(error).context("the generations cannot be brought to the same positions"),
        }
    }

    /// Pauses both wherever they are.
    ///
    /// # Errors
    /// One of the projectors has ended, or does not answer.
    pub fn pause_anywhere(&self) -> Result<Positions, PauseError> {
        if let Some((live, _)) = &self.live {
            live.pause_here(SYNCS_AHEAD_WITHIN)?;
        }
        self.new.0.pause_here(SYNCS_AHEAD_WITHIN)
    }

    fn resume(&self) {
        if let Some((live, _)) = &self.live {
            live.resume();
        }
        self.new.0.resume();
    }

    /// Returns what keeps either of them from these positions.
    fn obstacle(&self, target: &Positions) -> Option<Obstacle> {
        let live = self.live.as_ref().map(|(_, status)| (Side::Live, status.report()));
        let new = (Side::New, self.new.1.report());
        [live, Some(new)]
            .into_iter()
            .flatten()
            .find_map(|(side, report)| Obstacle::of(side, &report, target, &self.names))
    }

    fn try_to_meet(
        &self,
        checkpoint_within: Option<Duration>,
        target: &mut Positions,
    ) -> Result<Positions, PauseError> {
        let new = &self.new.0;
        if checkpoint_within.is_some() {
            sync_ahead(new)?;
        }
        self.since.set(Instant::now());
        let of_live = match &self.live {
            Some((live, _)) => live.pause_here(PAUSES_WITHIN)?,
            None => Positions::new(),
        };
        let mut furthest = new.pause_here(PAUSES_WITHIN)?;
        for (partition, &position) in &of_live {
            let furthest = furthest.entry(*partition).or_default();
            *furthest = position.max(*furthest);
        }
        target.clone_from(&furthest);
        if let Some((live, _)) = &self.live {
            // What the live one cannot read any further is no reason to stay with it.
            let readable = furthest.iter().filter(|(partition, _)| of_live.contains_key(*partition));
            live.pause_at(readable.map(|(partition, position)| (*partition, *position)).collect(), PAUSES_WITHIN)?;
        }
        new.pause_at(furthest.clone(), PAUSES_WITHIN)?;
        if let Some(within) = checkpoint_within {
            new.checkpoint_at(furthest.clone(), within)?;
        }
        Ok(furthest)
    }
}

/// Much may have been built since the last checkpoint, and the disk may be slow: the live one goes on meanwhile, and little is left
/// to be synced while neither does.
fn sync_ahead(new: &PauseHandle) -> Result<(), PauseError> {
    let positions = new.pause_here(SYNCS_AHEAD_WITHIN)?;
    new.checkpoint_at(positions, SYNCS_AHEAD_WITHIN)?;
    new.resume();
    Ok(())
}

#[cfg(test)]
mod tests;
