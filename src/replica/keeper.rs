//! The keeper of a replica's store: it has the topic followed, and if the store cannot be continued from it, makes another one beside
//! it. Readers see the old one, as one that is not current, until the new one has everything.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::follower::Follower;
use super::intake::VersionDrop;
use super::moment::ReplicaMoment;
use super::report;
use super::settings::ReplicaSettings;
use super::step::FollowerStep;
use crate::data_dir;
use crate::live_views::ReaderSource;
use crate::source::views_feed::ViewsFeed;
use crate::status::{State, Status};
use crate::store::{self, OpenError, OpenStore};

/// The longest time for which one step waits for a record. So long a stop may take to be noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// The interval at which it is looked how full the disk is.
const DISK_EVERY: Duration = Duration::from_secs(1);

/// The generation that readers see while another is made that takes its place.
struct ReplacedGeneration {
    generation: u64,
    /// True once the note is on its way to the disk with which the new generation is complete.
    is_noting: bool,
}

/// A keeper of the store of one data directory.
pub struct Keeper<F> {
    settings: ReplicaSettings,
    reader: ReaderSource,
    /// The status of the generation that readers see.
    shown: Status,
    /// `None` only while another one is made, and at the end.
    follower: Option<Follower<F>>,
    generation: u64,
    path: PathBuf,
    /// The status of the generation that is followed.
    status: Status,
    replaced: Option<ReplacedGeneration>,
    disk_looked: Option<Instant>,
}

impl<F: ViewsFeed> Keeper<F> {
    /// Opens the store, or begins one, and lets readers see it.
    ///
    /// # Errors
    /// The store cannot be opened, is made of events, or of another topic.
    pub fn open(
        settings: &ReplicaSettings,
        feed: F,
        reader: ReaderSource,
        shown: Status,
    ) -> anyhow::Result<Keeper<F>> {
        report::describe();
        let OpenStore { writer, generation, path, .. } =
            store::open_replica(&settings.data_dir, settings.store_cache_bytes)?;
        remove_unfinished(&settings.data_dir);
        let status = Status::of_replica(generation);
        let now = ReplicaMoment::now();
        let follower = Follower::new(feed, writer, settings.of_follower(LONGEST_WAIT), status.clone(), None, now)?;
        if follower.topic() != settings.topic {
            bail!(
                "the store in {} is made of the topic of views `{}`, and not of `{}`: give another --data-dir, or name that topic",
                settings.data_dir.display(),
                follower.topic(),
                settings.topic
            );
        }
        let keeper = Keeper {
            settings: settings.clone(),
            reader,
            shown,
            follower: Some(follower),
            generation,
            path,
            status,
            replaced: None,
            disk_looked: None,
        };
        keeper.show();
        tracing::info!(
            generation,
            views = keeper.follower.as_ref().map_or(0, |held| held.reader().views()),
            "the store is open"
        );
        Ok(keeper)
    }

    /// Returns the directory of the generation that is followed.
    pub fn directory(&self) -> &Path {
        &self.path
    }

    /// Follows the topic until it is told to end.
    ///
    /// # Errors
    /// The store has failed.
    pub fn run(&mut self, is_stopping: &AtomicBool) -> Result<(), OpenError> {
        while !is_stopping.load(Ordering::Acquire) {
            self.step(ReplicaMoment::now())?;
        }
        Ok(())
    }

    /// Does the next step. Returns the number of records that were read.
    ///
    /// # Errors
    /// The store has failed.
    pub fn step(&mut self, now: ReplicaMoment) -> Result<u64, OpenError> {
        if self.is_disk_full(now) {
            std::thread::sleep(LONGEST_WAIT);
            return Ok(0);
        }
        let Some(follower) = &mut self.follower else { return Ok(0) };
        match follower.step(now)? {
            FollowerStep::Read(records) => {
                self.switch_if_complete(now)?;
                Ok(records)
            }
            FollowerStep::Anew(why, known_drop) => {
                self.begin_anew(&why, known_drop, now)?;
                Ok(0)
            }
        }
    }

    /// Returns true once readers see everything that was read. While another generation is made, it is only written: then, once it is
    /// complete, also what says so is on the disk.
    ///
    /// # Errors
    /// The store has failed.
    pub fn is_visible(&self) -> Result<bool, OpenError> {
        let Some(follower) = &self.follower else { return Ok(true) };
        let is_noting = self.replaced.as_ref().is_some_and(|replaced| replaced.is_noting);
        Ok(follower.is_visible()? && (!is_noting || follower.is_noted()?))
    }

    /// Returns true while another generation is made than the one that readers see.
    pub fn is_making_anew(&self) -> bool {
        self.replaced.is_some()
    }

    /// Looks how full the disk is, if a look is due. While it is too full, nothing is read.
    fn is_disk_full(&mut self, now: ReplicaMoment) -> bool {
        let Some(follower) = &mut self.follower else { return false };
        if self.disk_looked.is_none_or(|looked| now.instant.duration_since(looked) >= DISK_EVERY) {
            self.disk_looked = Some(now.instant);
            let shortage = self.settings.disk_reserve.shortage(&self.path, 0).ok().flatten();
            follower.health.rest = shortage.map(|free| {
                format!("only {free} bytes are free on the disk of the store: nothing is read until there is room (--min-free-disk)")
            });
            if follower.health.rest.is_some() {
                follower.report(now);
            }
        }
        follower.health.rest.is_some()
    }

    /// Begins another generation, which takes the place of this one once it has everything.
    fn begin_anew(
        &mut self,
        why: &str,
        known_drop: Option<VersionDrop>,
        now: ReplicaMoment,
    ) -> Result<(), OpenError> {
        let Some(follower) = self.follower.take() else { return Ok(()) };
        tracing::error!(
            generation = self.generation,
            "the store cannot be continued from the topic of views, and is made anew from its beginning; readers see the old views \
             meanwhile, marked as such: {why}"
        );
        if self.replaced.is_none() {
            let state = if follower.was_live { State::Stale } else { State::CatchingUp };
            self.status
                .set_error(Some(format!("the views are made anew from their topic, and these are old: {why}")));
            self.status.set_state(state);
        }
        let feed = follower.finish(now)?;
        let data_dir = &self.settings.data_dir;
        match &mut self.replaced {
            None => self.replaced = Some(ReplacedGeneration { generation: self.generation, is_noting: false }),
            // It was not complete yet, so that nobody has seen it.
            Some(replaced) => {
                replaced.is_noting = false;
                data_dir::remove(data_dir, self.generation)?;
            }
        }
        let next = data_dir::next_number(data_dir)?;
        let OpenStore { writer, generation, path, .. } =
            store::begin_replica_beside(data_dir, next, self.settings.store_cache_bytes)?;
        (self.generation, self.path, self.status) = (generation, path, Status::of_replica(generation));
        let settings = self.settings.of_follower(LONGEST_WAIT);
        self.follower = Some(Follower::new(feed, writer, settings, self.status.clone(), known_drop, now)?);
        Ok(())
    }

    /// Lets readers see the new generation once it has everything, and all of that is on the disk.
    fn switch_if_complete(&mut self, now: ReplicaMoment) -> Result<(), OpenError> {
        let (Some(replaced), Some(follower)) = (&mut self.replaced, &mut self.follower) else { return Ok(()) };
        if !follower.has_caught_up {
            return Ok(());
        }
        if !replaced.is_noting {
            follower.write_note(now)?;
            follower.report(now);
            replaced.is_noting = true;
        }
        if !follower.is_noted()? || !follower.is_visible()? {
            return Ok(());
        }
        let before = replaced.generation;
        data_dir::make_current(&self.settings.data_dir, self.generation)?;
        self.show();
        self.replaced = None;
        tracing::info!(generation = self.generation, "readers see the views that were made anew");
        let data_dir = self.settings.data_dir.clone();
        let removal = std::thread::Builder::new().name("replica-removal".to_owned());
        drop(removal.spawn(move || remove_replaced(&data_dir, before)));
        Ok(())
    }

    fn show(&self) {
        let Some(follower) = &self.follower else { return };
        self.shown.follow(&self.status);
        self.reader.set(follower.reader(), self.status.supervised_as(&self.shown));
    }

    /// Writes what was read, and closes the store.
    ///
    /// # Errors
    /// The store has failed.
    pub fn finish(&mut self) -> Result<(), OpenError> {
        match self.follower.take() {
            Some(follower) => Ok(follower.finish(ReplicaMoment::now()).map(drop)?),
            None => Ok(()),
        }
    }

    /// Marks the generation as damaged if an error proves that, so that the next start makes another one.
    pub fn condemn_if_damaged(&self, error: &OpenError) {
        if error.is_damage()
            && let Err(error) = data_dir::condemn(&self.path, &error.to_string())
        {
            tracing::error!("the damage of the store could not be noted: {error}");
        }
    }
}

/// Removes a generation that readers do not see any more. Requests under way may have it a moment longer.
fn remove_replaced(data_dir: &Path, generation: u64) {
    if let Err(error) = data_dir::remove(data_dir, generation) {
        tracing::warn!("{error}: the old generation is removed at the next start");
    }
}

/// Removes what an end left of a generation that was to take the place of the live one.
fn remove_unfinished(data_dir: &Path) {
    let removed = data_dir::usable(data_dir).and_then(|generations| {
        let live = data_dir::current(data_dir)?;
        generations
            .into_iter()
            .filter(|generation| live.is_some_and(|live| live != *generation))
            .try_for_each(|generation| data_dir::remove(data_dir, generation))
    });
    if let Err(error) = removed {
        tracing::warn!("{error}: what is left of a generation that was being made stays there");
    }
}
