//! A data directory at work: the live generation, which readers see, and at most one more that is to take its place. The
//! same for `serve` and for a tool that finds nobody there. Decides nothing about when that happens, but where another
//! version has folded the live one.

mod choice;
#[cfg(test)]
mod crash_tests;
mod files;
mod frozen_keeper;
mod frozen_rollback;
pub mod life;
mod opening;
pub mod plan_file;
pub mod rebuild;
mod retention;
mod runtime;
mod supervisor;
pub mod topic_watch;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use parking_lot::Mutex;

use crate::config::{OnFormatChange, ProjectionConfig};
use crate::http::ReaderSource;
use crate::pulse::Pulse;
use crate::source::archive::ArchiveSource;
use crate::status::{State, Status};
use crate::store::{self, FrozenMark, MissingHistory};
pub use frozen_rollback::roll_back_frozen_unserved;
use life::Plan;
use opening::OpenLive;
use rebuild::{Rebuild, Ticket};
pub use runtime::OnFailure;
use runtime::{GenerationRuntime, Throttle};
pub use topics::refuse_others as refuse_other_topics;

pub struct Engine {
    pub config: ProjectionConfig,
    pub reader: ReaderSource,
    /// The status of the live generation.
    pub status: Status,
    /// The pulse of the live generation's projector.
    pulse: Mutex<Pulse>,
    on_failure: OnFailure,
    live: Mutex<Option<GenerationRuntime>>,
    rebuild: Mutex<Option<Rebuild>>,
    stopping: AtomicBool,
}

impl Engine {
    /// Nothing is open yet.
    pub fn new(config: ProjectionConfig, on_failure: OnFailure) -> Arc<Engine> {
        rebuild::metrics::begin();
        Arc::new(Engine {
            config,
            reader: ReaderSource::default(),
            status: Status::new(0),
            pulse: Mutex::default(),
            on_failure,
            live: Mutex::new(None),
            rebuild: Mutex::new(None),
            stopping: AtomicBool::new(false),
        })
    }

    /// Opens the live generation, and begins to keep it up to date. Goes on with a rebuild that was under way.
    /// `on_format_change` is what to do if another version has folded it; `None`: the caller sees to that.
    pub fn start(self: &Arc<Engine>, on_format_change: Option<OnFormatChange>) -> anyhow::Result<()> {
        supervisor::start(self)?;
        // Whoever stops the engine meanwhile waits until it is open.
        let mut live = self.live.lock();
        if self.stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        let running = self.open_live(on_format_change)?;
        if running.reader.was_live()? {
            // Until the broker answers, readers get what was there. One that is to take its place, as at a rollback, must have
            // caught up first, whatever it was.
            running.status.set_was_live();
        }
        tracing::info!(generation = running.generation, views = running.reader.views(), "the store is open");
        self.show(&running);
        // What begins it is what looks after the frozen one, where nobody asked for that to be so.
        let is_asked_for = FrozenMark::of_current(&self.config.data_dir)?.is_some();
        let goes_on_by_itself = running.reader.is_frozen() && !is_asked_for && on_format_change.is_some();
        *live = Some(running);
        drop(live);
        if goes_on_by_itself {
            return Ok(());
        }
        match plan_file::resume_or_clear(&self.config.data_dir) {
            Ok(Some(plan)) if !self.stopping.load(Ordering::Acquire) => {
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

    fn open_live(
        self: &Arc<Engine>,
        on_format_change: Option<OnFormatChange>,
    ) -> anyhow::Result<GenerationRuntime> {
        let ProjectionConfig { data_dir, store_cache_bytes, kafka, .. } = &self.config;
        let refuses_other_format = on_format_change == Some(OnFormatChange::Refuse);
        match opening::open_live(data_dir, *store_cache_bytes, &kafka.topics, refuses_other_format)? {
            OpenLive::Following(opened) => self.run(opened, Throttle::default(), None),
            OpenLive::FrozenAsAsked(store) => frozen_keeper::start(self, store, false),
            OpenLive::FrozenByFormat(store) => {
                tracing::warn!(
                    generation = store.generation,
                    format = store.reader.frozen_format().unwrap_or_default(),
                    own_format = store::FORMAT,
                    "another version has folded the live generation: it is shown as it was left, until one of this version's \
                     takes its place"
                );
                frozen_keeper::start(self, store, on_format_change.is_some())
            }
        }
    }

    /// Begins to keep a generation up to date that is not live yet.
    fn run(
        &self,
        opened: store::OpenStore,
        restraint: Throttle,
        archive: Option<ArchiveSource>,
    ) -> anyhow::Result<GenerationRuntime> {
        GenerationRuntime::start(&self.config, opened, restraint, archive, self.on_failure.clone())
    }

    fn show(&self, running: &GenerationRuntime) {
        running.set_live(true);
        // What was found goes on to be counted in the new one's status, before anybody is answered by it.
        self.status.follow(&running.status);
        self.reader.set(running.reader.clone(), running.status.supervised_as(&self.status));
        self.pulse.lock().clone_from(&running.pulse);
        // Whoever stops the engine marks the one before, or finds this one in its place.
        if self.stopping.load(Ordering::Acquire) {
            self.status.set_state(State::Stopping);
        }
    }

    /// Lets readers see another generation from now on. Gives the one that they saw until now, which goes on.
    fn switch_to(&self, running: GenerationRuntime) -> Option<GenerationRuntime> {
        self.show(&running);
        let before = self.live.lock().replace(running);
        if let Some(before) = &before {
            before.set_live(false);
        }
        before
    }

    /// Calls `with` with the live generation.
    ///
    /// # Errors
    /// Where there is none: it is about to end.
    fn with_live<T>(&self, with: impl FnOnce(&GenerationRuntime) -> T) -> anyhow::Result<T> {
        self.live.lock().as_ref().map(with).context("the store is not open, or about to be closed")
    }

    /// Accepts all that the live generation is built without. Returns its number, and what nobody had accepted before.
    ///
    /// # Errors
    /// The live generation is frozen, or cannot be written.
    pub fn accept_missing_history(&self) -> anyhow::Result<(u64, Vec<MissingHistory>)> {
        self.with_live(|live| {
            let Some(ledger) = &live.missing_history else {
                bail!(
                    "generation {:06} is shown as it was left: nothing is written to it. What the one that takes its place is \
                     built without can be accepted once that is live",
                    live.generation
                );
            };
            let accepted = ledger.accept().context("that could not be written")?;
            live.status.set_missing_history(Vec::new());
            Ok((live.generation, accepted))
        })?
    }

    /// Begins what is planned, on a thread of its own.
    ///
    /// # Errors
    /// Where one is under way already.
    pub fn begin(self: &Arc<Engine>, plan: Plan) -> anyhow::Result<Ticket> {
        self.begin_unless(plan, || false)
    }

    /// The same, unless it `is_over` by the time at which nobody else can begin one.
    fn begin_unless(self: &Arc<Engine>, plan: Plan, is_over: impl FnOnce() -> bool) -> anyhow::Result<Ticket> {
        let mut rebuild = self.rebuild.lock();
        if self.stopping.load(Ordering::Acquire) || is_over() {
            bail!("it is about to end");
        }
        if let Some(held) = &*rebuild
            && !held.has_ended()
        {
            bail!(is_being_made(held.ticket().plan().generation));
        }
        let begun = Rebuild::begin(self, plan)?;
        let ticket = begun.ticket();
        *rebuild = Some(begun);
        Ok(ticket)
    }

    /// The rebuild that is under way, or that ended last.
    pub fn rebuild(&self) -> Option<Ticket> {
        self.rebuild.lock().as_ref().map(Rebuild::ticket)
    }

    /// Returns true if a rebuild is under way or about to begin. Never waits.
    fn is_rebuilding(&self) -> bool {
        self.rebuild.try_lock().is_none_or(|held| held.as_ref().is_some_and(|rebuild| !rebuild.has_ended()))
    }

    /// Writes all that was read, and closes what is open. A rebuild that is under way goes on at the next start.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.status.set_state(State::Stopping);
        // First, so that it does not take the end of the live one for a failure.
        let rebuild = self.rebuild.lock().take();
        if let Some(rebuild) = &rebuild {
            rebuild.interrupt();
        }
        let running = self.live.lock().take();
        if let Some(rebuild) = rebuild {
            rebuild.join();
        }
        // Where it was past that already, another is live now.
        let switched_to = self.live.lock().take();
        let ended: Vec<_> = running.into_iter().chain(switched_to).map(GenerationRuntime::stop).collect();
        ended.into_iter().collect()
    }
}

fn is_being_made(generation: u64) -> String {
    format!(
        "generation {generation:06} is being made already: `optview rebuild --status` shows it, `--abort` ends it"
    )
}

/// Ends a generation that readers do not see any more.
fn stop(running: GenerationRuntime) {
    let generation = running.generation;
    if let Err(error) = running.stop() {
        tracing::error!(generation, "a generation did not end as it should: {error:#}");
    }
}
