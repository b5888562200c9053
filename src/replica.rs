//! A replica: a store that is made of a topic of views alone, and kept up to date from it. It reads no event and folds nothing: what it
//! shows is what the publisher of the topic put there, as old as the progress marks say.
//!
//! One thread reads (`follower.rs`), hands views to the store's writer, and notes how far it is. If the topic is not the one any more that
//! was read, or what was missed of it cannot be read again, the store is made anew beside the one that readers see (`keeper.rs`).

mod continuation;
mod follower;
mod inquiry;
mod intake;
mod keeper;
mod marks;
mod moment;
mod note;
mod noted_offsets;
mod pending_marks;
mod read_progress;
mod report;
mod settings;
mod step;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;

use crate::live_views::ReaderSource;
use crate::source::views_feed::ViewsFeed;
use crate::status::{State, Status};
use crate::store::{self, StoreError};
pub use keeper::Keeper;
pub use moment::ReplicaMoment;
pub use settings::ReplicaSettings;

/// A callback for a replica that ends although nobody stopped it.
pub type OnReplicaFailure = Box<dyn Fn() + Send>;

/// A data directory that is kept up to date from a topic of views.
pub struct Replica {
    /// The source of the readers that requests are answered with.
    pub reader: ReaderSource,
    /// The status of the generation that readers see.
    pub status: Status,
    settings: ReplicaSettings,
    on_failure: Mutex<Option<OnReplicaFailure>>,
    is_stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<anyhow::Result<()>>>>,
}

impl Replica {
    /// Makes a replica that has nothing open yet.
    pub fn new(settings: ReplicaSettings, on_failure: OnReplicaFailure) -> Arc<Replica> {
        Arc::new(Replica {
            reader: ReaderSource::default(),
            status: Status::of_replica(0),
            settings,
            on_failure: Mutex::new(Some(on_failure)),
            is_stopping: Arc::default(),
            thread: Mutex::default(),
        })
    }

    /// Returns the settings.
    pub fn settings(&self) -> &ReplicaSettings {
        &self.settings
    }

    /// Opens the store, or begins one, and keeps it up to date from the topic from now on, on a thread of its own.
    ///
    /// # Errors
    /// The store cannot be opened, is made of events, or of another topic.
    pub fn start(&self, feed: impl ViewsFeed + 'static) -> anyhow::Result<()> {
        // Whoever stops the replica meanwhile waits until it is open.
        let mut place = self.thread.lock();
        if self.is_stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut keeper = Keeper::open(&self.settings, feed, self.reader.clone(), self.status.clone())?;
        let (is_stopping, status) = (self.is_stopping.clone(), self.status.clone());
        let on_failure = self.on_failure.lock().take();
        let builder = std::thread::Builder::new().name("replica".to_owned());
        let thread = builder.spawn(move || {
            let caught = store::catch_sled_panic("store", "using it", || keeper.run(&is_stopping));
            let ended = caught.and_then(|()| keeper.finish());
            if let Err(error) = &ended {
                status.set_error(Some(error.to_string()));
                status.set_state(State::Stalled);
                keeper.condemn_if_damaged(error);
            }
            if !is_stopping.load(Ordering::Acquire)
                && let Some(on_failure) = on_failure
            {
                on_failure();
            }
            ended.with_context(|| format!("the store in {}", keeper.directory().display()))
        });
        *place = Some(thread.map_err(|error| StoreError::of_thread(&self.settings.data_dir, error))?);
        Ok(())
    }

    /// Writes all that was read, and closes the store.
    ///
    /// # Errors
    /// The store has failed.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.is_stopping.store(true, Ordering::Release);
        self.status.set_state(State::Stopping);
        match self.thread.lock().take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => bail!("the replica panicked; the log says where"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::disk::DiskReserve;

    #[test]
    fn a_replica_is_reported_as_one_before_its_store_is_open() {
        let settings = ReplicaSettings {
            topic: "views".to_owned(),
            data_dir: "not-opened".into(),
            store_cache_bytes: 1,
            sync_interval: Duration::from_secs(1),
            ask_interval: Duration::from_secs(1),
            disk_reserve: DiskReserve::default(),
        };
        let replica = Replica::new(settings, Box::new(|| ()));
        assert_eq!(replica.status.report().reads_from, "views");
    }
}
