//! The live generation of a data directory: the only one that readers see, and whose status is the process's.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use parking_lot::{Mutex, MutexGuard};

use super::runtime::{GenerationRuntime, OnFailure, Throttle};
use crate::config::ProjectionConfig;
use crate::data_dir::{IoError, MissingHistory};
use crate::live_views::ReaderSource;
use crate::publication::Publication;
use crate::pulse::Pulse;
use crate::source::archive::ArchiveSource;
use crate::status::{State, Status};
use crate::store::{self, Reader};

/// The place of the live generation, which another one may take at any time.
pub struct LiveSlot {
    pub config: ProjectionConfig,
    pub reader: ReaderSource,
    /// The status of the live generation.
    pub status: Status,
    /// The pulse of the live generation's projector.
    pub pulse: Mutex<Pulse>,
    pub on_failure: OnFailure,
    /// The publishing of what readers see, if there is any.
    publication: Option<Publication>,
    /// `None` before it is open, and once it is closed.
    runtime: Mutex<Option<GenerationRuntime>>,
    is_stopping: AtomicBool,
}

impl LiveSlot {
    pub fn new(config: ProjectionConfig, on_failure: OnFailure, publication: Option<Publication>) -> LiveSlot {
        LiveSlot {
            config,
            reader: ReaderSource::default(),
            status: Status::new(0),
            pulse: Mutex::default(),
            on_failure,
            publication,
            runtime: Mutex::new(None),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Locks the place. Whoever takes or replaces the generation meanwhile waits.
    pub fn lock(&self) -> MutexGuard<'_, Option<GenerationRuntime>> {
        self.runtime.lock()
    }

    /// Returns true once the process is about to end.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Notes that the process is about to end.
    pub fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.status.set_state(State::Stopping);
    }

    /// Begins to keep a generation up to date that is not live yet.
    ///
    /// # Errors
    /// The generation cannot be read, or no thread can be started.
    pub fn run(
        &self,
        opened: store::OpenStore,
        throttle: Throttle,
        archive: Option<ArchiveSource>,
    ) -> anyhow::Result<GenerationRuntime> {
        GenerationRuntime::start(&self.config, opened, throttle, archive, self.on_failure.clone())
    }

    /// Has what readers see published from this generation from now on. One that is opened must be there before anything is written.
    ///
    /// # Errors
    /// The note that a generation is published cannot be read or removed.
    pub fn publish(&self, reader: &Reader, path: &Path) -> Result<(), IoError> {
        self.publication.as_ref().map_or(Ok(()), |publication| publication.attach(reader, path))
    }

    /// Lets readers see a generation from now on.
    pub fn show(&self, running: &GenerationRuntime) {
        running.set_live(true);
        if let Err(error) = self.publish(&running.reader, &running.path) {
            // The one before goes on to be published, whose checkpoints wait; nothing is noted that is not so.
            tracing::error!("the generation cannot be published: {error}");
        }
        // What was found goes on to be counted in the new one's status, before anybody is answered by it.
        self.status.follow(&running.status);
        self.reader.set(running.reader.clone(), running.status.supervised_as(&self.status));
        self.pulse.lock().clone_from(&running.pulse);
        // Whoever stops the engine marks the one before, or finds this one in its place.
        if self.is_stopping() {
            self.status.set_state(State::Stopping);
        }
    }

    /// Lets readers see another generation from now on. Returns the one that they saw until now, which goes on.
    pub fn switch_to(&self, running: GenerationRuntime) -> Option<GenerationRuntime> {
        self.show(&running);
        let before = self.runtime.lock().replace(running);
        if let Some(before) = &before {
            before.set_live(false);
        }
        before
    }

    /// Calls `with` with the live generation.
    ///
    /// # Errors
    /// There is none: the process is about to end.
    pub fn with_live<T>(&self, with: impl FnOnce(&GenerationRuntime) -> T) -> anyhow::Result<T> {
        self.runtime.lock().as_ref().map(with).context("the store is not open, or about to be closed")
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
}

/// Closes a generation that readers do not see any more. A failure is only logged.
pub fn stop(running: GenerationRuntime) {
    let generation = running.generation;
    if let Err(error) = running.stop() {
        tracing::error!(generation, "a generation did not end as it should: {error:#}");
    }
}
