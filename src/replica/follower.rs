//! The follower of a topic of views: it reads the topic by steps, hands the views to the store, and judges how current they are. It is
//! given the time, and decides when the store must be made anew, which its keeper does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::continuation::{missed_nulls, obstacle};
use super::inquiry::Inquiry;
use super::intake::{Intake, VersionDrop};
use super::moment::ReplicaMoment;
use super::note::ReplicaNote;
use super::noted_offsets::NotedOffsets;
use super::pending_marks::PendingMarks;
use super::read_progress::ReadProgress;
use super::report::{Health, ReportedReplica};
use super::settings::FollowerSettings;
use super::step::FollowerStep;
use crate::domain::ReadPosition;
use crate::source::Watermarks;
use crate::source::views_feed::{FeedError, FeedItem, FoundViewsTopic, ViewsFeed};
use crate::status::Status;
use crate::store::{Reader, StoreError, Writer};

/// The pause before the topic is read anew after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The interval at which it is noted that nothing has come.
const NOTE_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// The interval of the reports.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// A follower of one topic, with the store that it writes.
pub struct Follower<F> {
    pub(super) feed: F,
    pub(super) writer: Writer,
    pub(super) settings: FollowerSettings,
    pub(super) note: ReplicaNote,
    pub(super) status: Status,
    pub(super) health: Health,
    reading: Option<ReadProgress>,
    inquiry: Inquiry,
    pending: PendingMarks,
    /// The time for which the topic keeps nulls, if it is known.
    retention: Option<Duration>,
    /// The bounds of the partitions, as they were found last.
    pub(super) bounds: BTreeMap<i32, Watermarks>,
    bound: ReadPosition,
    position: ReadPosition,
    /// A drop of versions that the topic is known to have, since the store has been made anew because of it.
    known_drop: Option<VersionDrop>,
    /// True once everything has been read that the topic held at the beginning, with a mark of each partition.
    pub(super) has_caught_up: bool,
    /// True if the store has been live, now or before.
    pub(super) was_live: bool,
    /// The time as of which readers see the views, in milliseconds since 1970; `None` if it is not known.
    shown_as_of: Option<i64>,
    /// True while something was read that no note covers.
    is_ahead_of_note: bool,
    pub(super) noted: Instant,
    reported: Option<Instant>,
    commits: u64,
    noted_offsets: NotedOffsets,
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
        let as_of = note.marks.as_of_millis(note.partitions);
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
            inquiry: Inquiry::default(),
            pending: PendingMarks::default(),
            retention: None,
            bounds: BTreeMap::new(),
            bound: ReadPosition::of_text(&note.bound).unwrap_or_default(),
            position: ReadPosition::default(),
            noted_offsets: NotedOffsets::new(&note.next),
            note,
            known_drop,
            has_caught_up: false,
            was_live,
            shown_as_of: as_of,
            is_ahead_of_note: false,
            noted: now.instant,
            reported: None,
            commits: 0,
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

    /// Does the next step.
    ///
    /// # Errors
    /// The store's. Nothing can be written after it.
    pub fn step(&mut self, now: ReplicaMoment) -> Result<FollowerStep, StoreError> {
        self.writer.check()?;
        if self.inquiry.is_due(now, self.settings.ask_interval) {
            self.inquiry.begin(&self.note.next, now);
            self.feed.ask();
        }
        match self.feed.find().inspect(|_| self.inquiry.end(now)) {
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
            if let Some(why) = self.note_if_caught_up(now)? {
                return Ok(FollowerStep::Anew(why, None));
            }
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
        if let Some(why) = obstacle(&self.note, &self.inquiry.next_when_asked, &found, now) {
            return Some(why);
        }
        self.note.topic_id = found.id.or(self.note.topic_id);
        self.note.partitions = found.partitions();
        self.note.cluster_id = found.cluster_id.or(self.note.cluster_id.take());
        self.retention = found.delete_retention;
        let before = std::mem::replace(&mut self.bounds, found.bounds);
        match &mut self.reading {
            None => self.begin(now),
            Some(reading) => {
                reading.take_bounds(&before, &self.bounds, self.inquiry.asked(now), &self.note.next, now);
                if reading.is_deaf(&self.note.next, &self.bounds, now) {
                    reading.again_at = Some(now.instant);
                    self.health.count_renewal(now);
                }
            }
        }
        None
    }

    fn begin(&mut self, now: ReplicaMoment) {
        for (partition, bounds) in &self.bounds {
            self.note.next.entry(*partition).or_insert(bounds.low);
        }
        self.reading = Some(ReadProgress::new(&self.note.next, &self.bounds, now));
        self.begin_feed(now);
    }

    fn begin_feed(&mut self, now: ReplicaMoment) {
        if let Err(error) = self.feed.begin(&self.note.next) {
            self.put_off(&error, now);
        }
    }

    /// Has the topic read anew in a moment.
    fn put_off(&mut self, error: &FeedError, now: ReplicaMoment) {
        self.health.set_read_error(&error.to_string(), now);
        self.reading.iter_mut().for_each(|reading| reading.again_at = Some(now.instant + AFTER_ERROR));
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
            reading.begin_again(now);
            self.begin_feed(now);
        }
        let mut intake = Intake::new(std::mem::take(&mut self.pending));
        let read = self.read_items(&mut intake, now);
        self.hand_over(&mut intake)?;
        self.pending = std::mem::take(&mut intake.pending);
        if let Err(error) = read {
            self.put_off(&error, now);
        } else if intake.records > 0 {
            self.health.clear_read_error();
        }
        Ok(match intake.dropped {
            Some(found) if self.known_drop != Some(found) => FollowerStep::Anew(found.to_string(), Some(found)),
            Some(found) => {
                self.health.stall = Some(found.stall_text());
                FollowerStep::Read(intake.records)
            }
            None => FollowerStep::Read(intake.records),
        })
    }

    fn read_items(&mut self, intake: &mut Intake, now: ReplicaMoment) -> Result<(), FeedError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let note = &mut self.note;
        self.feed.read(self.settings.longest_wait, &mut |item| match item {
            // What follows a drop of versions is not read.
            _ if intake.dropped.is_some() => {}
            FeedItem::Record(record) => {
                intake.take(record, note, now.instant);
                if intake.dropped.is_none()
                    && let Some(asked) = reading.take_record(record.partition, &note.next, now)
                {
                    intake.count_marks_before(record.partition, asked);
                }
            }
            FeedItem::End(partition) => {
                intake.count_marks_at_end(*partition);
                reading.take_end(*partition, now);
            }
        })
    }

    /// Hands what was read to the store's writer: the bound first, then the views, and the position that they have come to last.
    fn hand_over(&mut self, intake: &mut Intake) -> Result<(), StoreError> {
        if intake.records == 0 && intake.marks.is_empty() {
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

    /// Notes that everything has been read that there was at the beginning, and each time at which all of the topic has been read. Returns
    /// the reason for which the store must be made anew, if there is one.
    fn note_if_caught_up(&mut self, now: ReplicaMoment) -> Result<Option<String>, StoreError> {
        let Some(reading) = &self.reading else { return Ok(None) };
        let has_all_marks = self.note.marks.missing(self.note.partitions).is_empty();
        if !self.has_caught_up && reading.has_caught_up() && has_all_marks {
            self.has_caught_up = true;
            self.writer.note_caught_up();
            self.writer.note_all_found();
            self.is_ahead_of_note = true;
        }
        let Some(complete) = reading.complete_as_of().filter(|_| self.has_caught_up) else { return Ok(None) };
        let ago = i64::try_from(now.instant.duration_since(complete).as_millis()).unwrap_or(i64::MAX);
        let complete_at = now.millis.saturating_sub(ago);
        if let Some(why) = missed_nulls(&self.note, complete_at, self.retention) {
            return Ok(Some(why));
        }
        self.note.complete_at_millis = self.note.complete_at_millis.max(Some(complete_at));
        // Nothing else changes while nothing comes.
        self.is_ahead_of_note |= now.instant.duration_since(self.noted) >= NOTE_AT_LEAST_EVERY;
        Ok(None)
    }

    /// Hands over the note of how far the replica is, which is written once everything before it is on the disk.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn write_note(&mut self, now: ReplicaMoment) -> Result<(), StoreError> {
        self.writer.note_replica(self.note.encode())?;
        (self.is_ahead_of_note, self.noted) = (false, now.instant);
        self.noted_offsets.hand_over(&self.note.next);
        Ok(())
    }

    /// Returns true once the last note that was handed over is on the disk, and with it everything before it.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn is_noted(&self) -> Result<bool, StoreError> {
        self.writer.check()?;
        Ok(self.noted_offsets.are_on_disk(self.writer.checkpoints_written()))
    }

    /// Returns true once readers see everything that was read.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn is_visible(&self) -> Result<bool, StoreError> {
        self.writer.check()?;
        Ok(self.writer.commits_written() >= self.commits
            && *self.reader().visible_position().as_ref() == self.position)
    }

    /// Writes the status as of now.
    pub fn report(&mut self, now: ReplicaMoment) {
        self.reported = Some(now.instant);
        let has_begun = self.reading.is_some();
        // What waits to be written makes nothing younger that readers see.
        if self.is_visible().unwrap_or(false) {
            self.shown_as_of = self.note.marks.as_of_millis(self.note.partitions);
        }
        let (ended, confirmed) = self
            .reading
            .as_ref()
            .map(|reading| (reading.ended.keys().copied().collect(), reading.confirmed.clone()))
            .unwrap_or_default();
        let is_live = self.health.report(
            now,
            &self.status,
            ReportedReplica {
                note: &self.note,
                as_of_millis: self.shown_as_of,
                complete_as_of: self.reading.as_ref().and_then(ReadProgress::complete_as_of),
                bounds: &self.bounds,
                ended: &ended,
                confirmed: &confirmed,
                on_disk: self.noted_offsets.on_disk(self.writer.checkpoints_written()),
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
