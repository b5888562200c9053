//! The pulse of a projector: each of its stages notes when it begins and when it ends one piece of work, so that a thread that has
//! no part in the work can see which stage stands still. It is lock-free, so that no stage waits for it, and decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strum::IntoStaticStr;

/// A stage of the projector. In this order, a stage that stands still makes those after it stand still, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Brings everything that a checkpoint covers to the disk, and writes the checkpoint.
    Sync,
    /// Writes views to the store.
    Store,
    /// Waits for records, and takes them.
    Source,
    /// Understands records.
    Decoder,
    /// Joins events into the views, and hands what changed to the store.
    Fold,
}

impl Stage {
    pub const ALL: [Stage; 5] = [Stage::Sync, Stage::Store, Stage::Source, Stage::Decoder, Stage::Fold];

    /// The stage's name in metrics and in texts.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The pulse of one projector, shared by its clones. A stage has one piece of work at a time.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<StageClocks>);

#[derive(Debug)]
struct StageClocks {
    base: Instant,
    /// The begin of each stage's piece of work, in nanoseconds since `base`, plus one. 0 means that the stage has none.
    begun: [AtomicU64; Stage::ALL.len()],
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse(Arc::new(StageClocks { base: Instant::now(), begun: Default::default() }))
    }
}

impl Pulse {
    /// Notes that a stage begins a piece of work. The piece ends when the beat is dropped, also by a panic.
    pub fn begin(&self, stage: Stage) -> Beat {
        self.begin_at(stage, Instant::now())
    }

    /// Notes that a stage began a piece of work at `now`.
    pub fn begin_at(&self, stage: Stage, now: Instant) -> Beat {
        let since_base = now.saturating_duration_since(self.0.base).as_nanos();
        let begun = u64::try_from(since_base).unwrap_or(u64::MAX - 1) + 1;
        self.0.begun[stage as usize].store(begun, Ordering::Relaxed);
        Beat { stages: self.0.clone(), stage }
    }

    /// The stages that have been at one piece of work for `limit` and longer, each with the instant at which that began. If one of
    /// them is the cause of the others' standstill, it is the first.
    pub fn stalled_stages(&self, now: Instant, limit: Duration) -> Vec<(Stage, Instant)> {
        let since = |stage: Stage| {
            let begun = self.0.begun[stage as usize].load(Ordering::Relaxed).checked_sub(1)?;
            Some((stage, self.0.base + Duration::from_nanos(begun)))
        };
        Stage::ALL
            .into_iter()
            .filter_map(since)
            .filter(|(_, since)| now.saturating_duration_since(*since) >= limit)
            .collect()
    }
}

/// A piece of work that goes on until this is dropped.
#[must_use = "the piece of work ends when this is dropped"]
#[derive(Debug)]
pub struct Beat {
    stages: Arc<StageClocks>,
    stage: Stage,
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.stages.begun[self.stage as usize].store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_stage_stands_still_once_one_piece_of_work_takes_too_long_and_no_longer_when_that_ends() {
        let (pulse, begin) = (Pulse::default(), Instant::now() + Duration::from_secs(1));
        let after = |seconds: u64| pulse.stalled_stages(begin + Duration::from_secs(seconds), LIMIT);
        assert_eq!(after(1_000), [], "a stage without work stands for nothing");
        let fold = pulse.begin_at(Stage::Fold, begin);
        let sync = pulse.begin_at(Stage::Sync, begin + Duration::from_secs(3));
        assert_eq!(after(9), []);
        assert_eq!(after(10), [(Stage::Fold, begin)]);
        let both = [(Stage::Sync, begin + Duration::from_secs(3)), (Stage::Fold, begin)];
        assert_eq!(after(13), both, "the cause comes first");
        drop(sync);
        assert_eq!(after(13), [(Stage::Fold, begin)]);
        drop(fold);
        assert_eq!(after(1_000), []);
    }

    #[test]
    fn many_short_pieces_of_work_are_no_standstill() {
        let (pulse, begin) = (Pulse::default(), Instant::now());
        for second in 0..100 {
            let now = begin + Duration::from_secs(second);
            let _beat = pulse.begin_at(Stage::Store, now);
            assert_eq!(pulse.stalled_stages(now + Duration::from_secs(9), LIMIT), []);
        }
    }
}
