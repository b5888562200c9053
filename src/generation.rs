//! A data directory at work: the live generation, which readers see, and at most one more that is to take its place. The
//! same for `serve` and for a tool that finds nobody there. Decides nothing about when that happens, but where another
//! version has folded the live one.

mod choice;
#[cfg(test)]
mod crash_tests;
pub mod dead_letters;
mod files;
mod frozen_keeper;
mod frozen_rollback;
mod frozen_status;
pub mod left_plan;
pub mod life;
mod live;
mod open_live;
pub mod plan_file;
pub mod rebuild;
mod rebuild_slot;
mod retention;
mod runtime;
mod supervisor;
pub mod topic_watch;
mod topics;

use std::sync::Arc;

use crate::config::{OnFormatChange, ProjectionConfig};
use crate::data_dir::{FrozenMark, MissingHistory};
use crate::live_views::ReaderSource;
use crate::projector::{LetterOutcome, LetterTask};
use crate::publication::Publication;
use crate::status::Status;
use crate::store;
pub use frozen_rollback::roll_back_frozen_unserved;
use life::Plan;
use life::start::FrozenReason;
use live::LiveSlot;
use open_live::OpenLive;
use rebuild::{RebuildOutcome, Ticket};
use rebuild_slot::RebuildSlot;
pub use runtime::OnFailure;
use runtime::{GenerationRuntime, Throttle};

/// A data directory at work, for those who compose the process of it.
pub struct Engine {
    pub config: ProjectionConfig,
    pub reader: ReaderSource,
    /// The status of the live generation.
    pub status: Status,
    rebuilds: Arc<RebuildSlot>,
}

impl Engine {
    /// Returns an engine that has nothing open yet, and publishes nothing.
    pub fn new(config: ProjectionConfig, on_failure: OnFailure) -> Arc<Engine> {
        Engine::publishing(config, on_failure, None)
    }

    /// Returns an engine that has nothing open yet. What readers see is published, if there is a publication.
    pub fn publishing(
        config: ProjectionConfig,
        on_failure: OnFailure,
        publication: Option<Publication>,
    ) -> Arc<Engine> {
        rebuild::metrics::begin();
        let live = LiveSlot::new(config.clone(), on_failure, publication);
        let (reader, status) = (live.reader.clone(), live.status.clone());
        Arc::new(Engine { config, reader, status, rebuilds: Arc::new(RebuildSlot::new(live)) })
    }

    /// Opens the live generation, and begins to keep it up to date. Goes on with a rebuild that was under way.
    /// `on_format_change` is what to do if another version has folded it; `None`: the caller sees to that.
    pub fn start(&self, on_format_change: Option<OnFormatChange>) -> anyhow::Result<()> {
        supervisor::start(&self.rebuilds)?;
        // Whoever stops the engine meanwhile waits until it is open.
        let live = &self.rebuilds.live;
        let mut place = live.lock();
        if live.is_stopping() {
            return Ok(());
        }
        let running = self.open_live(on_format_change)?;
        if running.reader.was_live()? {
            // Until the broker answers, readers get what was there. One that is to take its place, as at a rollback, must have
            // caught up first, whatever it was.
            running.status.set_was_live();
        }
        tracing::info!(generation = running.generation, views = running.reader.views(), "the store is open");
        live.show(&running);
        // What begins it is what looks after the frozen one, where nobody asked for that to be so.
        let is_asked_for = FrozenMark::of_current(&self.config.data_dir)?.is_some();
        let goes_on_by_itself = running.reader.is_frozen() && !is_asked_for && on_format_change.is_some();
        *place = Some(running);
        drop(place);
        if goes_on_by_itself {
            return Ok(());
        }
        match left_plan::resume_or_clear(&self.config.data_dir) {
            Ok(Some(plan)) if !live.is_stopping() => {
                tracing::info!(generation = plan.generation, "going on with the rebuild that was under way");
                self.begin(plan).map(drop)
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!("the rebuild that was under way cannot be gone on with: {error:#}");
                Ok(())
            }
        }
    }

    fn open_live(&self, on_format_change: Option<OnFormatChange>) -> anyhow::Result<GenerationRuntime> {
        let ProjectionConfig { data_dir, store_cache_bytes, kafka, .. } = &self.config;
        let refuses_other_format = on_format_change == Some(OnFormatChange::Refuse);
        match open_live::open_live(data_dir, *store_cache_bytes, &kafka.topics, refuses_other_format)? {
            OpenLive::Following(opened) => {
                let live = &self.rebuilds.live;
                live.publish(&opened.writer.reader(), &opened.path)?;
                live.run(opened, Throttle::default(), None)
            }
            OpenLive::Frozen(store, FrozenReason::Asked) => frozen_keeper::start(&self.rebuilds, store, false),
            OpenLive::Frozen(store, FrozenReason::OtherFormat) => {
                tracing::warn!(
                    generation = store.generation,
                    format = store.reader.frozen_format().unwrap_or_default(),
                    own_format = store::FORMAT,
                    "another version has folded the live generation: it is shown as it was left, until one of this version's \
                     takes its place"
                );
                frozen_keeper::start(&self.rebuilds, store, on_format_change.is_some())
            }
        }
    }

    /// Accepts all that the live generation is built without. Returns its number, and what nobody had accepted before.
    ///
    /// # Errors
    /// The live generation is frozen, or cannot be written.
    pub fn accept_missing_history(&self) -> anyhow::Result<(u64, Vec<MissingHistory>)> {
        self.rebuilds.live.accept_missing_history()
    }

    /// Has the projector of the live generation do something about dead letters.
    ///
    /// # Errors
    /// The live generation is frozen, or its projector does not come to it.
    pub fn about_dead_letters(&self, task: LetterTask) -> anyhow::Result<LetterOutcome> {
        dead_letters::in_live(&self.rebuilds.live, task)
    }

    /// Begins to carry out a plan, on a thread of its own.
    ///
    /// # Errors
    /// One is under way already, or the process is about to end.
    pub fn begin(&self, plan: Plan) -> anyhow::Result<Ticket> {
        self.rebuilds.begin_unless(plan, || false)
    }

    /// Lets readers see an earlier generation as it was left, from now on and after a restart: `to`, or the last one but the live one.
    ///
    /// # Errors
    /// There is none, it cannot be read, or another one is being made.
    pub fn roll_back_frozen(&self, to: Option<u64>) -> anyhow::Result<RebuildOutcome> {
        frozen_rollback::roll_back_frozen(&self.rebuilds, to)
    }

    /// Returns the rebuild that is under way, or that ended last.
    pub fn rebuild(&self) -> Option<Ticket> {
        self.rebuilds.ticket()
    }

    /// Writes all that was read, and closes what is open. The next start resumes a rebuild that is under way.
    pub fn stop(&self) -> anyhow::Result<()> {
        let live = &self.rebuilds.live;
        live.set_stopping();
        // First, so that it does not take the end of the live one for a failure.
        let rebuild = self.rebuilds.take();
        if let Some(rebuild) = &rebuild {
            rebuild.interrupt();
        }
        let running = live.lock().take();
        if let Some(rebuild) = rebuild {
            rebuild.join();
        }
        // If it was past that already, another one is live now.
        let switched_to = live.lock().take();
        let ended: Vec<_> = running.into_iter().chain(switched_to).map(GenerationRuntime::stop).collect();
        ended.into_iter().collect()
    }
}
