//! The follower of a topic of views: it reads the topic by steps, hands the views to the store, and judges how current they are. It is
//! given the time, and decides when the store must be made anew, which its keeper does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::intake::{Intake, VersionDrop};
use super::note::ReplicaNote;
use super::report::Health;
use crate::domain::ReadPosition;
use crate::source::Watermarks;
use crate::source::views_feed::{FeedError, FeedItem, FoundViewsTopic, ViewsFeed};
use crate::status::Status;
use crate::store::{Reader, StoreError, Writer};

/// The time without an item of a partition that has more, after which the topic is read by a new client.
const DEAF_AFTER: Duration = Duration::from_secs(20);
/// The pause before the topic is read anew after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The interval of the reports.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// The time for which a topic keeps nulls, where this client may not see it: Kafka's default.
const RETENTION_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaMoment {
    /// The moment by the clock that never jumps.
    pub instant: Instant,
    /// The time by the wall clock, in milliseconds since 1970.
    pub millis: i64,
}

/// The settings of a follower.
#[derive(Clone, Debug)]
pub struct FollowerSettings {
    /// The name of the topic of views.
    pub topic: String,
    /// The time between two syncs of the store to disk.
    pub sync_interval: Duration,
    /// The longest time for which one step waits for a record.
    pub longest_wait: Duration,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerStep {
    /// The step has read so many records.
    Read(u64),
    /// The store cannot be continued from the topic: the reason, and the record that shows it, if one does.
    Anew(String, Option<VersionDrop>),
}

/// The reading of the topic, once it has begun.
struct Reading {
    /// The partitions that have not been read yet to the end that they had at the beginning, each with that.
    open: BTreeMap<i32, i64>,
    /// The partitions whose end has been reached, and nothing has come after it.
    ended: BTreeSet<i32>,
    /// The moment of the last item of each partition, or of the beginning.
    heard: BTreeMap<i32, Instant>,
    /// The moment at which the topic is to be read anew, after an error.
    again_at: Option<Instant>,
}

/// A follower of one topic, with the store that it writes.
pub struct Follower<F> {
    pub(super) feed: F,
    pub(super) writer: Writer,
    pub(super) settings: FollowerSettings,
    pub(super) note: ReplicaNote,
    pub(super) status: Status,
    pub(super) health: Health,
    reading: Option<Reading>,
    /// The bounds of the partitions, as they were found last.
    pub(super) bounds: BTreeMap<i32, Watermarks>,
    bound: ReadPosition,
    position: ReadPosition,
    /// A drop of versions that the topic is known to have, since the store has been made anew because of it.
    known_drop: Option<VersionDrop>,
    has_caught_up: bool,
    was_live: bool,
    /// True while something was read that no note covers.
    is_ahead_of_note: bool,
    pub(super) noted: Instant,
    reported: Option<Instant>,
    commits: u64,
    /// Number of notes handed to the writer.
    notes: u64,
}

impl<F: ViewsFeed> Follower<F> {
    /// Makes a follower that goes on where the store is. Nothing has been asked yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(
        feed: F,
        writer: Writer,
        settings: FollowerSettings,
        status: Status,
        known_drop: Option<VersionDrop>,
        now: ReplicaMoment,
    ) -> Result<Follower<F>, StoreError> {
        let reader = writer.reader();
        let note = reader.replica_note()?.as_deref().and_then(ReplicaNote::decode);
        let note = note.unwrap_or_else(|| ReplicaNote::new(&settings.topic));
        let was_live = reader.was_live()?;
        if was_live {
            status.set_was_live();
        }
        let mut follower = Follower {
            feed,
            writer,
            settings,
            health: Health::new(now),
            status,
            reading: None,
            bounds: BTreeMap::new(),
            bound: ReadPosition::of_text(&note.bound).unwrap_or_default(),
            position: ReadPosition::default(),
            note,
            known_drop,
            has_caught_up: false,
            was_live,
            is_ahead_of_note: false,
            noted: now.instant,
            reported: None,
            commits: 0,
            notes: 0,
        };
        follower.show_position()?;
        follower.report(now);
        Ok(follower)
    }

    /// Returns a reader of the store.
    pub fn reader(&self) -> Reader {
        self.writer.reader()
    }

    /// Returns the name of the topic that the store is made of.
    pub fn topic(&self) -> &str {
        &self.note.topic
    }

    /// Returns true once everything has been read that the topic held at the beginning, with a mark of each partition.
    pub fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Returns true if the store has been live, now or before.
    pub fn was_live(&self) -> bool {
        self.was_live
    }

    /// Returns true once nothing can be read on, since the topic goes back in itself.
    pub fn is_stalled(&self) -> bool {
        self.health.stall.is_some()
    }

    /// Does the next step.
    ///
    /// # Errors
    /// The store's. Nothing can be written after it.
    pub fn step(&mut self, now: ReplicaMoment) -> Result<FollowerStep, StoreError> {
        self.writer.check()?;
        match self.feed.find() {
            Some(Ok(found)) => {
                if let Some(why) = self.take_found(found, now) {
                    return Ok(FollowerStep::Anew(why, None));
                }
            }
            Some(Err(error)) => self.health.set_cluster_error(&error.to_string(), now),
            None => {}
        }
        let read = self.read(now)?;
        if let FollowerStep::Read(_) = &read {
            self.note_if_caught_up(now)?;
            if self.is_ahead_of_note && now.instant.duration_since(self.noted) >= self.settings.sync_interval {
                self.write_note(now)?;
            }
        }
        if self.reported.is_none_or(|reported| now.instant.duration_since(reported) >= REPORT_EVERY) {
            self.report(now);
        }
        Ok(read)
    }

    /// Takes in how the cluster describes the topic. Returns the reason for which the store must be made anew, if there is one.
    fn take_found(&mut self, found: FoundViewsTopic, now: ReplicaMoment) -> Option<String> {
        self.health.set_cluster_answered(now);
        if let Some(why) = self.obstacle(&found, now) {
            return Some(why);
        }
        self.note.topic_id = found.id.or(self.note.topic_id);
        self.note.partitions = found.partitions();
        self.bounds = found.bounds;
        match &mut self.reading {
            None => self.begin(now),
            Some(reading) => {
                let is_deaf = |partition: &i32, bounds: &Watermarks| {
                    let next = self.note.next.get(partition).copied().unwrap_or(bounds.low);
                    let heard = reading.heard.get(partition).copied().unwrap_or(now.instant);
                    next < bounds.high
                        && !reading.ended.contains(partition)
                        && now.instant.duration_since(heard) > DEAF_AFTER
                };
                if self.bounds.iter().any(|(partition, bounds)| is_deaf(partition, bounds)) {
                    tracing::warn!("nothing comes of the topic of views though it has more: it is read by a new client");
                    reading.again_at = Some(now.instant);
                }
            }
        }
        None
    }

    /// Returns the reason for which what was read is not the beginning of what the topic has now, or for which something of it was missed.
    fn obstacle(&self, found: &FoundViewsTopic, now: ReplicaMoment) -> Option<String> {
        if self.note.next.is_empty() {
            return None;
        }
        if let (Some(read), Some(found)) = (self.note.topic_id, found.id)
            && read != found
        {
            return Some(format!("the topic was created again: its id was {read}, and is {found}"));
        }
        if found.partitions() != self.note.partitions {
            let (had, has) = (self.note.partitions, found.partitions());
            return Some(format!("the topic had {had} partitions and has {has}, so that ids have moved to others"));
        }
        for (partition, next) in &self.note.next {
            let Some(Watermarks { low, high }) = found.bounds.get(partition).copied() else { continue };
            if *next < low {
                return Some(format!("the records of partition {partition} from {next} to {low} are gone unread"));
            }
            if *next > high {
                return Some(format!("partition {partition} was read up to {next}, and ends at {high}"));
            }
        }
        let retention = found.delete_retention.unwrap_or(RETENTION_DEFAULT);
        let away = now.millis.saturating_sub(self.note.ended_at_millis?);
        (away > i64::try_from(retention.as_millis()).unwrap_or(i64::MAX)).then(|| {
            format!(
                "the topic was last read to its end {} s ago, and keeps the nulls of views that are gone for {} s only \
                 (delete.retention.ms): some may have gone unread",
                away / 1_000,
                retention.as_secs()
            )
        })
    }

    fn begin(&mut self, now: ReplicaMoment) {
        for (partition, bounds) in &self.bounds {
            self.note.next.entry(*partition).or_insert(bounds.low);
        }
        let ends = self.bounds.iter().map(|(partition, bounds)| (*partition, bounds.high));
        let is_open = |(partition, end): &(i32, i64)| self.note.next.get(partition).is_some_and(|next| next < end);
        let open = ends.filter(is_open).collect();
        let again_at = self.feed.begin(&self.note.next).err().map(|error| self.put_off(&error, now));
        self.reading = Some(Reading {
            open,
            ended: BTreeSet::new(),
            heard: self.bounds.keys().map(|partition| (*partition, now.instant)).collect(),
            again_at,
        });
    }

    fn put_off(&mut self, error: &FeedError, now: ReplicaMoment) -> Instant {
        self.health.set_read_error(&error.to_string(), now);
        now.instant + AFTER_ERROR
    }

    /// Reads the next records, and hands them to the store.
    fn read(&mut self, now: ReplicaMoment) -> Result<FollowerStep, StoreError> {
        let Some(reading) = &mut self.reading else {
            std::thread::sleep(self.settings.longest_wait);
            return Ok(FollowerStep::Read(0));
        };
        if self.health.stall.is_some() || reading.again_at.is_some_and(|at| now.instant < at) {
            std::thread::sleep(self.settings.longest_wait);
            return Ok(FollowerStep::Read(0));
        }
        if reading.again_at.take().is_some() {
            reading.ended.clear();
            reading.heard.values_mut().for_each(|heard| *heard = now.instant);
            if let Err(error) = self.feed.begin(&self.note.next) {
                let again_at = Some(self.put_off(&error, now));
                self.reading.iter_mut().for_each(|reading| reading.again_at = again_at);
                return Ok(FollowerStep::Read(0));
            }
        }
        let mut intake = Intake::default();
        let read = self.read_items(&mut intake, now);
        self.hand_over(&mut intake)?;
        if let Err(error) = read {
            let again_at = Some(self.put_off(&error, now));
            self.reading.iter_mut().for_each(|reading| reading.again_at = again_at);
        } else if intake.records > 0 {
            self.health.clear_read_error();
        }
        Ok(match intake.dropped {
            Some(drop) if self.known_drop != Some(drop) => FollowerStep::Anew(text_of(drop), Some(drop)),
            Some(drop) => {
                self.health.stall = Some(format!(
                    "{}, also as it is read from its beginning: it is not the topic of one line of publishers. Remove it, have the views \
                     published anew, and restart this instance",
                    text_of(drop)
                ));
                FollowerStep::Read(intake.records)
            }
            None => FollowerStep::Read(intake.records),
        })
    }

    fn read_items(&mut self, intake: &mut Intake, now: ReplicaMoment) -> Result<(), FeedError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let note = &mut self.note;
        self.feed.read(self.settings.longest_wait, &mut |item| match item {
            FeedItem::Record(record) => {
                let partition = record.partition;
                intake.take(record, note);
                reading.heard.insert(partition, now.instant);
                reading.ended.remove(&partition);
                if reading.open.get(&partition).is_some_and(|end| note.next.get(&partition) >= Some(end)) {
                    reading.open.remove(&partition);
                }
            }
            // What lies before the end may be markers of transactions.
            FeedItem::End(partition) => {
                reading.heard.insert(*partition, now.instant);
                reading.ended.insert(*partition);
                reading.open.remove(partition);
            }
        })
    }

    /// Hands what was read to the store's writer: the bound first, then the views, and the position that they have come to last.
    fn hand_over(&mut self, intake: &mut Intake) -> Result<(), StoreError> {
        if intake.records == 0 {
            return Ok(());
        }
        self.is_ahead_of_note = true;
        self.health.count(intake);
        if let Some(bound) = intake.bound(&self.bound) {
            self.set_bound(bound);
        }
        let views = std::mem::take(&mut intake.views);
        if !views.is_empty() {
            self.commits += 1;
            self.writer.put_views(views, self.commits)?;
        }
        if !intake.marks.is_empty() {
            intake.marks.drain(..).for_each(|(partition, mark)| self.note.marks.take(partition, mark));
            self.show_position()?;
        }
        Ok(())
    }

    fn set_bound(&mut self, bound: ReadPosition) {
        self.note.bound = bound.text().to_owned();
        self.bound = bound.clone();
        self.writer.note_bound(Arc::new(bound));
    }

    /// Has readers see the position that the marks cover, once all before them is written.
    fn show_position(&mut self) -> Result<(), StoreError> {
        let position = self.note.marks.position(self.note.partitions);
        if !self.bound.includes(&position) {
            self.set_bound(self.bound.joined(&position));
        }
        if position != self.position {
            self.position = position.clone();
            self.writer.note_position(Arc::new(position))?;
        }
        Ok(())
    }

    /// Notes that everything has been read that there was at the beginning, and each time at which all of the topic has been read.
    fn note_if_caught_up(&mut self, now: ReplicaMoment) -> Result<(), StoreError> {
        let Some(reading) = &self.reading else { return Ok(()) };
        let has_all_marks = self.note.marks.missing(self.note.partitions).is_empty();
        if !self.has_caught_up && reading.open.is_empty() && has_all_marks {
            self.has_caught_up = true;
            self.writer.note_caught_up();
            self.writer.note_all_found();
            // What was read until now counts as read to the end.
            self.note.ended_at_millis = Some(now.millis);
            self.is_ahead_of_note = true;
        }
        if reading.open.is_empty() && self.bounds.keys().all(|partition| reading.ended.contains(partition)) {
            self.note.ended_at_millis = Some(now.millis);
        }
        Ok(())
    }

    /// Hands over the note of how far the replica is, which is written once everything before it is on the disk.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn write_note(&mut self, now: ReplicaMoment) -> Result<(), StoreError> {
        self.writer.note_replica(self.note.encode())?;
        (self.is_ahead_of_note, self.noted) = (false, now.instant);
        self.notes += 1;
        Ok(())
    }

    /// Returns true once the last note that was handed over is on the disk, and with it everything before it.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn is_noted(&self) -> Result<bool, StoreError> {
        self.writer.check()?;
        Ok(self.writer.checkpoints_written() >= self.notes)
    }

    /// Returns true once readers see everything that was read.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn is_visible(&self) -> Result<bool, StoreError> {
        self.writer.check()?;
        Ok(self.writer.commits_written() >= self.commits && *self.reader().visible_position().as_ref() == self.position)
    }

    /// Writes the status as of now.
    pub fn report(&mut self, now: ReplicaMoment) {
        self.reported = Some(now.instant);
        let has_begun = self.reading.is_some();
        let is_live = self.health.report(
            now,
            &self.status,
            super::report::ReportedReplica {
                note: &self.note,
                bounds: &self.bounds,
                views: self.writer.views(),
                has_begun,
                has_caught_up: self.has_caught_up,
                was_live: self.was_live,
            },
        );
        if is_live && !self.was_live {
            self.was_live = true;
            // A writer that has failed is found by the next step.
            drop(self.writer.note_live());
        }
    }

    /// Writes what was read, closes the store, and gives the feed back.
    ///
    /// # Errors
    /// The store has failed.
    pub fn finish(mut self, now: ReplicaMoment) -> Result<F, StoreError> {
        self.write_note(now)?;
        self.writer.finish()?;
        Ok(self.feed)
    }
}

fn text_of(drop: VersionDrop) -> String {
    let VersionDrop { partition, offset, version, before } = drop;
    format!("the record of partition {partition} at {offset} has version {version}, and one before it {before}")
}
