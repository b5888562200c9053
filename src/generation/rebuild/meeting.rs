//! Bringing two generations to the same positions: both hold where the one is that is further. What keeps one of them from
//! coming there is said as soon as it shows, and ends the rebuild where it can never change.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::Shared;
use super::obstacle::{Obstacle, Side};
use crate::projector::{PauseError, PauseHandle, Positions};
use crate::source::TopicNames;
use crate::status::Status;

/// How long a projector may take to come to the other's positions: what readers see grows old meanwhile.
const HOLD_AT_MOST: Duration = Duration::from_millis(400);
/// How long the new generation's checkpoint may take to be on the disk. While both hold, views grow old meanwhile, so it gets
/// less at first.
const SYNC_AT_MOST: Duration = Duration::from_secs(10);
const HOLDS_TRIED: u32 = 120;
/// For how long an obstacle that cannot go away by itself must stand still to be believed: what is known of the topics' ends is
/// a second old, and more where the machine is busy.
const BELIEVED_AFTER: Duration = Duration::from_secs(10);

/// Both projectors hold until this is dropped.
pub struct Held {
    /// `None`: it stands still anyway.
    live: Option<(Arc<PauseHandle>, Status)>,
    new: (Arc<PauseHandle>, Status),
    names: TopicNames,
    /// When the live one was told to.
    since: Cell<Instant>,
    believed_after: Duration,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.go_on();
        tracing::debug!(after = ?self.since.get().elapsed(), "both generations go on");
    }
}

impl Held {
    pub fn new(
        live: Option<(Arc<PauseHandle>, Status)>,
        new: (Arc<PauseHandle>, Status),
        names: TopicNames,
    ) -> Held {
        Held { live, new, names, since: Cell::new(Instant::now()), believed_after: BELIEVED_AFTER }
    }

    fn go_on(&self) {
        if let Some((live, _)) = &self.live {
            live.resume();
        }
        self.new.0.resume();
    }

    /// What keeps either of them from these positions.
    fn obstacle(&self, target: &Positions) -> Option<Obstacle> {
        let live = self.live.as_ref().map(|(_, status)| (Side::Live, status.report()));
        let new = (Side::New, self.new.1.report());
        [live, Some(new)]
            .into_iter()
            .flatten()
            .find_map(|(side, report)| Obstacle::of(side, &report, target, &self.names))
    }
}

/// Has both hold where the one is that is further. Where it `syncs`, the new one's checkpoint of that is on the disk.
///
/// # Errors
/// Where that cannot be: which partition of which generation does not come there, and why.
pub fn hold_both(shared: &Shared, held: &Held, syncs: bool) -> anyhow::Result<Positions> {
    let mut why = None;
    let mut standing: Option<(Obstacle, Instant)> = None;
    for tried in 0..HOLDS_TRIED {
        let sync_at_most = (HOLD_AT_MOST * 2_u32.pow(tried.min(5))).min(SYNC_AT_MOST);
        let mut target = Positions::new();
        match try_to_hold(held, syncs.then_some(sync_at_most), &mut target) {
            Ok(positions) => {
                shared.wait_for(None);
                return Ok(positions);
            }
            Err(error @ PauseError::TooLong(_)) => {
                tracing::debug!("trying again to bring the generations to the same positions: {error}");
                why = Some(error);
            }
            Err(error) => return Err(error).context("the generations cannot be brought to the same positions"),
        }
        let obstacle = held.obstacle(&target);
        held.go_on();
        if shared.is_told_to_end() {
            bail!("it was told to end");
        }
        shared.wait_for(obstacle.as_ref().map(Obstacle::to_string));
        standing = match (obstacle, standing) {
            (Some(now), Some((before, since))) if now.is_same(&before) => Some((now, since)),
            (now, _) => now.map(|now| (now, Instant::now())),
        };
        if let Some((obstacle, since)) = &standing
            && obstacle.is_for_good()
            && since.elapsed() > held.believed_after
        {
            bail!("the generations can never be brought to the same positions: {obstacle}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let why = why.map_or_else(|| anyhow!("nothing was tried"), anyhow::Error::from);
    let what = standing.map_or_else(String::new, |(obstacle, _)| format!(": {obstacle}"));
    Err(why).with_context(|| format!("the generations could not be brought to the same positions{what}"))
}

fn try_to_hold(
    held: &Held,
    sync_at_most: Option<Duration>,
    target: &mut Positions,
) -> Result<Positions, PauseError> {
    let new = &held.new.0;
    if sync_at_most.is_some() {
        sync_ahead(new)?;
    }
    held.since.set(Instant::now());
    let of_live = match &held.live {
        Some((live, _)) => live.pause_here(HOLD_AT_MOST)?,
        None => Positions::new(),
    };
    let mut furthest = new.pause_here(HOLD_AT_MOST)?;
    for (partition, &position) in &of_live {
        let furthest = furthest.entry(*partition).or_default();
        *furthest = position.max(*furthest);
    }
    target.clone_from(&furthest);
    // What the live one cannot read any further is no reason to stay with it.
    let readable = |(partition, _): &(&(_, _), &i64)| of_live.contains_key(*partition);
    let for_live = furthest.iter().filter(readable).map(|(partition, position)| (*partition, *position)).collect();
    if let Some((live, _)) = &held.live {
        live.pause_at(for_live, HOLD_AT_MOST)?;
    }
    new.pause_at(furthest.clone(), HOLD_AT_MOST)?;
    if let Some(at_most) = sync_at_most {
        new.checkpoint_at(furthest.clone(), at_most)?;
    }
    Ok(furthest)
}

/// What was built since its last checkpoint may be much, and a disk slow: the live one goes on meanwhile, and little is left to
/// be synced while neither does.
fn sync_ahead(new: &PauseHandle) -> Result<(), PauseError> {
    let positions = new.pause_here(SYNC_AT_MOST)?;
    new.checkpoint_at(positions, SYNC_AT_MOST)?;
    new.resume();
    Ok(())
}

/// Where records are left out, positions say nothing.
pub fn hold_wherever(held: &Held) -> Result<Positions, PauseError> {
    if let Some((live, _)) = &held.live {
        live.pause_here(SYNC_AT_MOST)?;
    }
    held.new.0.pause_here(SYNC_AT_MOST)
}

#[cfg(test)]
mod tests;
