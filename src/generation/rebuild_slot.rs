//! The rebuild of a data directory: at most one is under way at a time.

use std::sync::Arc;

use anyhow::bail;
use parking_lot::{Mutex, MutexGuard};

use super::left_plan;
use super::life::Plan;
use super::live::LiveSlot;
use super::rebuild::{Rebuild, Ticket};

/// The place of the rebuild that is under way, or that ended last, beside the live generation.
pub struct RebuildSlot {
    pub live: Arc<LiveSlot>,
    rebuild: Mutex<Option<Rebuild>>,
}

impl RebuildSlot {
    pub fn new(live: LiveSlot) -> RebuildSlot {
        RebuildSlot { live: Arc::new(live), rebuild: Mutex::new(None) }
    }

    /// Begins to carry out a plan, on a thread of its own, unless it `is_over` by the time at which nobody else can begin one.
    ///
    /// # Errors
    /// One is under way already, the process is about to end, or what an earlier plan has left cannot be cleared.
    pub fn begin_unless(&self, plan: Plan, is_over: impl FnOnce() -> bool) -> anyhow::Result<Ticket> {
        let mut rebuild = self.rebuild.lock();
        if self.live.is_stopping() || is_over() {
            bail!("it is about to end");
        }
        refuse_second(rebuild.as_ref())?;
        // Another plan would take the place of one whose generation could not be removed, and leave that for good.
        left_plan::resume_or_clear(&self.live.config.data_dir)?;
        let begun = Rebuild::begin(&self.live, plan)?;
        let ticket = begun.ticket();
        *rebuild = Some(begun);
        Ok(ticket)
    }

    /// Locks the place while no rebuild is under way, so that none can be begun.
    ///
    /// # Errors
    /// One is under way.
    pub fn lock_idle(&self) -> anyhow::Result<MutexGuard<'_, Option<Rebuild>>> {
        let rebuild = self.rebuild.lock();
        refuse_second(rebuild.as_ref())?;
        Ok(rebuild)
    }

    /// Returns the rebuild that is under way, or that ended last.
    pub fn ticket(&self) -> Option<Ticket> {
        self.rebuild.lock().as_ref().map(Rebuild::ticket)
    }

    /// Takes the rebuild out of its place, to end it.
    pub fn take(&self) -> Option<Rebuild> {
        self.rebuild.lock().take()
    }

    /// Returns true if a rebuild is under way or about to begin. Never waits.
    pub fn is_rebuilding(&self) -> bool {
        self.rebuild.try_lock().is_none_or(|held| held.as_ref().is_some_and(|rebuild| !rebuild.has_ended()))
    }
}

fn refuse_second(rebuild: Option<&Rebuild>) -> anyhow::Result<()> {
    match rebuild {
        Some(held) if !held.has_ended() => bail!(is_being_made(held.ticket().plan().generation)),
        _ => Ok(()),
    }
}

/// Returns why no second generation can be made, in words.
pub fn is_being_made(generation: u64) -> String {
    format!(
        "generation {generation:06} is being made already: `optview rebuild --status` shows it, `--abort` ends it"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::life::{RebuildKind, RebuildOptions};
    use super::super::plan_file;
    use super::*;
    use crate::config::ProjectionConfig;
    use crate::data_dir;
    use crate::disk::DiskReserve;
    use crate::source::TopicNames;
    use crate::source::kafka::KafkaSettings;
    use crate::store;

    /// Returns the slot of a data directory of which nothing is open.
    fn slot(data_dir: &Path) -> RebuildSlot {
        let brokers = "localhost:9".to_owned();
        let config = ProjectionConfig {
            kafka: KafkaSettings { brokers, topics: TopicNames::default(), properties: Vec::new() },
            data_dir: data_dir.to_owned(),
            framing: Default::default(),
            group_id: "optview".to_owned(),
            sync_interval: Duration::from_secs(1),
            catch_up_sync_interval: Duration::from_secs(1),
            memory_budget_bytes: 1 << 20,
            store_cache_bytes: 1 << 20,
            orphan_retention: Duration::from_secs(1),
            dead_letter_limit: 10_000,
            dead_letters_max: 100_000,
            dead_letters_max_bytes: 64 << 20,
            dead_letter_topic: None,
            disk_reserve: DiskReserve::default(),
        };
        RebuildSlot::new(LiveSlot::new(config, Arc::new(|| {}), None))
    }

    #[test]
    fn a_plan_that_could_not_be_undone_is_cleared_before_another_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        drop(store::open(data_dir, 1 << 20).unwrap());
        drop(store::begin_beside(data_dir, 2, 1 << 20).unwrap());
        let plan = |generation| Plan::new(generation, RebuildKind::Build, RebuildOptions::default());
        plan_file::write(data_dir, &plan(2).to_discard()).unwrap();
        let slot = slot(data_dir);
        assert!(slot.begin_unless(plan(3), || true).is_err());
        assert_eq!(data_dir::usable(data_dir).unwrap(), [1, 2], "what is not begun clears nothing");
        let ticket = slot.begin_unless(plan(3), || false).unwrap();
        assert_eq!(data_dir::usable(data_dir).unwrap(), [1]);
        let (_, ended) = ticket.wait(Duration::from_secs(60));
        assert!(matches!(ended, Some(Err(_))), "no generation is open that it could be compared with");
        assert_eq!(plan_file::read(data_dir).unwrap(), None);
    }
}
