//! What is different where the live generation is another version's, and so stands still: it cannot come to the new one's
//! positions, so the new one holds where that is, to be compared, and then has to have passed it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::building::{Builder, LOOK_EVERY, tell};
use super::conduct::compare;
use super::plan::{Plan, RebuildKind, RebuildOptions};
use super::{Comparison, Losses, Shared};
use crate::config::ProjectionConfig;
use crate::domain::Topic;
use crate::generation::runtime::{GenerationRuntime, positions};
use crate::projector::{PauseError, Positions};
use crate::store::{Checkpoint, FrozenMark, GenerationManifest, Reader};

/// For how long it may read nothing, though nothing is wrong, on its way there.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// How long its checkpoint may take to be on the disk.
const SYNC_AT_MOST: Duration = Duration::from_secs(60);

/// Where the live generation stands still.
pub struct StandsAt {
    checkpoint: Checkpoint,
    /// The same, of the topics that are read now.
    positions: Positions,
    /// Why its views may be others than those of its positions, where they may.
    unclear: Option<String>,
    /// Somebody asked for it to stand still.
    is_asked_for: bool,
}

impl StandsAt {
    /// `None`: it goes on.
    pub fn of(live: &GenerationRuntime, config: &ProjectionConfig) -> anyhow::Result<Option<StandsAt>> {
        if !live.reader.is_frozen() {
            return Ok(None);
        }
        let checkpoint = live.reader.checkpoint()?;
        let positions = positions(&checkpoint, &config.kafka.topics);
        let unclear = GenerationManifest::read(&live.path).closed.is_none().then(|| {
            "the version before was not ended as it should be, so that its views may be ahead of its positions"
                .to_owned()
        });
        let is_asked_for = FrozenMark::of_current(&config.data_dir)?.is_some();
        Ok(Some(StandsAt { checkpoint, positions, unclear, is_asked_for }))
    }

    /// Why there is nothing to compare it with, where there is not.
    pub fn not_compared(plan: &Plan) -> Option<String> {
        match (plan.kind, plan.options.accept_loss) {
            (RebuildKind::Rollback | RebuildKind::Discard, _) => {
                Some("what was built before is only gone back to".to_owned())
            }
            (RebuildKind::Build, true) => Some("what was lost could not be told from what differs".to_owned()),
            (RebuildKind::Build, false) | (RebuildKind::VerifyOnly, _) => None,
        }
    }

    /// What the frozen one has and the new one, which has read all by now, has not. Of another version's records only that a
    /// view is there can be held against it: what has come since may have changed all else.
    pub fn losses(live: &Reader, new: &Reader, shared: &Shared) -> anyhow::Result<Losses> {
        let compared = compare(shared, live, new)?.finish(0)?;
        let losses = compared.losses;
        Ok(match live.check_format() {
            Ok(()) => losses,
            Err(_) => Losses { gone_back: 0, records: 0, parked_jobs: 0, ..losses },
        })
    }

    /// Has the new one read as far as this, and no further, and compares what both have read, and what both show there. The
    /// error within: why the latter cannot be done.
    pub fn compare(
        &self,
        shared: &Shared,
        options: &RebuildOptions,
        live: &Reader,
        new: &GenerationRuntime,
        builder: &mut Builder<'_>,
    ) -> anyhow::Result<Result<Comparison, String>> {
        let reached = match self.hold(new, builder)? {
            Ok(reached) => reached,
            Err(why) => return Ok(Err(why)),
        };
        new.control.checkpoint_at(reached, SYNC_AT_MOST).context("the new generation cannot be written")?;
        self.refuse_other_records(&new.reader.checkpoint()?)?;
        let compared = match &self.unclear {
            Some(why) => Err(why.clone()),
            None => Ok(compare(shared, live, &new.reader)?.finish(options.examples)?),
        };
        new.control.resume();
        tell(shared, "building", 0, None, None);
        Ok(compared)
    }

    fn hold(
        &self,
        new: &GenerationRuntime,
        builder: &mut Builder<'_>,
    ) -> anyhow::Result<Result<Positions, String>> {
        let (mut read, mut since) = (0, Instant::now());
        let reached = loop {
            match new.control.pause_at(self.positions.clone(), LOOK_EVERY) {
                Err(PauseError::TooLong(_)) => {}
                reached => {
                    break reached.context("the new generation cannot be brought to where the live one is")?;
                }
            }
            let (done, _) = builder.look()?;
            if done != read || new.status.report().last_error.is_some() {
                (read, since) = (done, Instant::now());
            }
            if since.elapsed() > STANDS_STILL {
                break Positions::new();
            }
        };
        if self.positions.iter().all(|(partition, at)| reached.get(partition) == Some(at)) {
            return Ok(Ok(reached));
        }
        new.control.resume();
        Ok(Err("the new generation did not come to hold where the live one stands".to_owned()))
    }

    /// A topic that was made anew has other records where the live one has read.
    fn refuse_other_records(&self, read: &Checkpoint) -> anyhow::Result<()> {
        for (key, held) in &self.checkpoint {
            let (topic, partition) = key;
            let Some(found) = read.get(key) else { continue };
            if let (Some(was), Some(is)) = (held.topic_id, found.topic_id)
                && was != is
            {
                bail!(
                    "{topic}/{partition}: the topic was deleted and created again: its id was {was} when it was read, and is \
                     {is} now. `optview rebuild --accept-loss` builds from what it has"
                );
            }
            let Some(anchor) = held.anchor else { continue };
            if found.anchor != Some(anchor) {
                bail!(
                    "{topic}/{partition}: the record at {} is not the one that was read there before: the topic was \
                     created again. `optview rebuild --accept-loss` builds from what it has",
                    anchor.offset
                );
            }
        }
        Ok(())
    }

    /// No view may go back: what the live one has read, the new one must have read, too.
    pub fn refuse_less(&self, reached: &Positions, plan: &Plan) -> anyhow::Result<()> {
        // Whoever asked for the frozen one, and now for another that was live before, wants to see that one.
        if self.is_asked_for && plan.kind == RebuildKind::Rollback {
            return Ok(());
        }
        let is_less =
            |(partition, at): &(&(Topic, i32), &i64)| reached.get(*partition).is_none_or(|new| new < *at);
        match self.positions.iter().find(is_less) {
            Some((&(topic, partition), at)) if !plan.options.accept_loss => bail!(
                "the live generation has read {topic}/{partition} up to {at}, and the new one has not: the topic was \
                 truncated or created again"
            ),
            _ => Ok(()),
        }
    }
}
