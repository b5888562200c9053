//! The projector: the one loop that turns records into views. It reads a batch, decodes it, loads what the events touch, folds
//! them and writes what changed; on each sync interval it writes a checkpoint. Live, replay and rebuild use the same loop, each
//! on a thread of its own. It never writes a checkpoint ahead of the views that it covers, never skips a record, and is given
//! the time once a turn.

mod checkpoints;
mod cluster_guard;
mod control;
mod dead_letters;
mod decoder;
mod disk_guard;
mod event_fold;
mod findings;
mod health;
mod holding;
mod ineffective_events;
mod liveness;
mod log_throttle;
mod metrics;
mod moment;
mod nulled_numbers;
mod orphan_sweep;
mod partitions;
mod report;
mod store_file;
mod stream_quality;
mod troubles;
mod write_back;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Span;

use crate::domain::DeadLetter;
use crate::pulse::{Pulse, Stage};
use crate::source::{Polled, Source, TopicNames};
use crate::status::{State, Status};
use crate::store::{StoreError, Writer};
use checkpoints::Checkpoints;
use cluster_guard::ClusterGuard;
pub use control::{Control, HoldError, Positions};
use decoder::{Batch, DecodedEvent, Decoder};
use disk_guard::DiskGuard;
use findings::FindingsCollector;
use holding::Limits;
use liveness::Liveness;
pub use moment::Moment;
use orphan_sweep::OrphanSweep;
use partitions::{FoundPartition, Partitions};
use report::{ReportedParts, Reporter};
pub use store_file::{StoreFileGuard, StoreGone};
use write_back::WriteBack;

/// Below this number of events, a look ahead at the records that they touch takes longer than it saves.
const WARMED_EVENTS_MIN: usize = 32;
/// How often the status is written.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// The settings of one projector.
#[derive(Clone, Debug)]
pub struct Settings {
    pub topics: TopicNames,
    /// How often a checkpoint is written while live, and while catching up.
    pub sync_interval: Duration,
    pub catch_up_sync_interval: Duration,
    /// About how many bytes the records in memory may take.
    pub memory_budget: u64,
    /// How long a job may wait for an optimization that links it before it counts as an orphan.
    pub orphan_retention: Duration,
    /// The store's directory, and how many bytes must stay free on its disk.
    pub store_path: PathBuf,
    pub min_free_disk: u64,
}

/// The reason for which a projector ended.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "cannot start a thread: {0}; raise the limit of threads (ulimit -u, TasksMax=, the container's pids limit)"
    )]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Gone(#[from] StoreGone),
}

/// Runs a projector until it is told to stop, then writes all that was read and a last checkpoint.
pub fn run(
    source: &mut dyn Source,
    writer: Writer,
    settings: Settings,
    status: Status,
    control: &Control,
) -> Result<(), ProjectorError> {
    let mut projector = Projector::new(writer, settings, status, control, Moment::now())?;
    while !control.is_stopped() {
        projector.turn(Moment::now(), source)?;
    }
    projector.finish(Moment::now(), source)
}

/// A projector between two turns. It reads no clock: every turn is given the time.
pub struct Projector<'a> {
    control: &'a Control,
    settings: Settings,
    status: Status,
    pulse: Pulse,
    /// Marks the log lines of a generation that readers do not see.
    rebuild_span: Span,
    store_file: StoreFileGuard,
    limits: Limits,
    disk: DiskGuard,
    cluster: ClusterGuard,
    partitions: Partitions,
    decoder: Decoder,
    write_back: WriteBack,
    checkpoints: Checkpoints,
    liveness: Liveness,
    findings: FindingsCollector,
    orphans: OrphanSweep,
    reporter: Reporter,
}

impl<'a> Projector<'a> {
    /// Makes a projector that goes on from the checkpoint of the writer's store.
    pub fn new(
        writer: Writer,
        settings: Settings,
        status: Status,
        control: &'a Control,
        now: Moment,
    ) -> Result<Projector<'a>, ProjectorError> {
        let topics = &settings.topics;
        Ok(Projector {
            control,
            pulse: writer.pulse(),
            rebuild_span: tracing::error_span!("rebuild", store = %settings.store_path.display()),
            store_file: StoreFileGuard::new(&settings.store_path, writer.file.clone()),
            limits: Limits::default(),
            disk: DiskGuard::new(&settings, now.instant),
            cluster: ClusterGuard::new(writer.reader().cluster()?),
            partitions: Partitions::new(topics.clone()),
            decoder: Decoder::start(writer.pulse())?,
            checkpoints: Checkpoints::new(
                writer.checkpoint_at_open().clone(),
                settings.sync_interval,
                settings.catch_up_sync_interval,
                now.instant,
            ),
            liveness: Liveness::new(writer.reader().was_live()?),
            findings: FindingsCollector::new(&writer, topics.clone(), status.clone(), control.quiet())?,
            orphans: OrphanSweep::new(settings.orphan_retention),
            reporter: Reporter::new(topics.clone(), status.clone(), writer.missing_history(), now.instant),
            write_back: WriteBack::new(writer, settings.memory_budget, now.instant),
            status,
            settings,
        })
    }

    /// Does what is due at `now`, then takes what the source has and folds what is decoded. Waits for records where nothing
    /// else is to be done.
    pub fn turn(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), ProjectorError> {
        let _span = self.findings.is_quiet().then(|| self.rebuild_span.clone().entered());
        self.store_file.check(now.instant)?;
        if self.hold(now, source)? {
            return Ok(());
        }
        let _beat = self.pulse.begin(Stage::Fold);
        self.notice_switch();
        if self.disk.is_too_full(now.instant) {
            return self.rest(now, source);
        }
        self.do_what_is_due(now, source)?;
        self.read(now, source)?;
        self.fold_decoded(now)?;
        for (topic, partition) in self.partitions.take_failed() {
            source.stop(topic, partition);
        }
        Ok(())
    }

    fn do_what_is_due(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), StoreError> {
        self.write_back.check()?;
        self.write_back.write_due(now.instant, self.liveness.is_live())?;
        if self.checkpoints.are_due(now.instant, self.liveness.is_live()) {
            self.checkpoint(now)?;
        }
        self.publish_checkpoint(source);
        self.sweep_orphans(now)?;
        self.become_live(now, source)?;
        if self.reporter.is_due(now.instant) {
            // The brokers' address may lead to another cluster by now.
            self.admits_cluster(source)?;
            self.report(now, source);
        }
        Ok(())
    }

    /// Reads nothing. What is in memory is written while live, when it is little; what a catch-up holds could fill the disk.
    fn rest(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), ProjectorError> {
        self.write_back.check()?;
        if self.liveness.is_live() {
            self.write_back.write_due(now.instant, true)?;
            if self.checkpoints.are_due(now.instant, true) {
                self.checkpoint(now)?;
            }
        }
        self.publish_checkpoint(source);
        if self.reporter.is_due(now.instant) {
            self.report(now, source);
        }
        source.rest(disk_guard::CHECK_EVERY);
        Ok(())
    }

    /// How long a poll may wait for records: until something is due.
    fn longest_wait(&self, now: Moment) -> Duration {
        if self.write_back.is_clean() {
            REPORT_EVERY.min(self.checkpoints.due_in(now.instant, self.liveness.is_live()))
        } else {
            write_back::GATHER
        }
    }

    /// Hands what the source has to the decoder, unless that has enough to do.
    fn read(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), StoreError> {
        if self.decoder.is_full() {
            return Ok(());
        }
        let wait = if self.decoder.is_idle() { self.longest_wait(now) } else { Duration::ZERO };
        let mut found = Vec::new();
        let beat = self.pulse.begin(Stage::Source);
        source.poll(wait, &mut |polled| match polled {
            Polled::Found { topic, partition, watermarks } => {
                found.push(FoundPartition { topic, partition, watermarks, topic_id: None });
            }
            Polled::Records(records) => self.decoder.decode(records),
            Polled::Ended { topic, partition, position } => {
                self.decoder.pass(DecodedEvent::Ended { topic, partition, position });
            }
            Polled::Failed { topic, partition, reason } => {
                self.decoder.pass(DecodedEvent::Failed { topic, partition, reason });
            }
        });
        drop(beat);
        if !found.is_empty() && self.admits_cluster(source)? {
            found.into_iter().try_for_each(|found| self.begin(found, source))?;
        }
        Ok(())
    }

    /// Begins to read a partition from its checkpoint, or from the oldest record.
    fn begin(&mut self, found: FoundPartition, source: &mut dyn Source) -> Result<(), StoreError> {
        let FoundPartition { topic, partition, .. } = found;
        let topic_id = source.observation(topic, partition).and_then(|observed| observed.topic_id);
        let name = self.settings.topics.get(topic).to_owned();
        let read_before = self.checkpoints.of(&name, partition);
        let Some(offset) = self.partitions.begin(FoundPartition { topic_id, ..found }, read_before) else {
            return Ok(());
        };
        if read_before.is_none() {
            self.write_back.writer().note_origin((name, partition), offset)?;
        }
        if let Err(reason) = source.assign(topic, partition, offset) {
            self.partitions.fail(topic, partition, reason);
        }
        Ok(())
    }

    /// Folds what is decoded; waits for the next batch where one is being decoded.
    fn fold_decoded(&mut self, now: Moment) -> Result<(), StoreError> {
        let mut wait = true;
        while let Some(event) = self.decoder.next(wait) {
            wait = false;
            self.take_in(now, event, 0)?;
        }
        Ok(())
    }

    /// Folds a batch's events from index `from` on, or takes note of a partition's end, as far as may be read now. The rest is
    /// put aside.
    fn take_in(&mut self, now: Moment, event: DecodedEvent, from: usize) -> Result<(), StoreError> {
        if self.limits.waits(&event) {
            self.limits.put_aside(event, from);
            return Ok(());
        }
        let limit = self.limits.of(&event);
        match event {
            DecodedEvent::Batch(batch) => {
                let until = limit.map_or(batch.events().len(), |limit| batch.index_of(limit));
                if from < until {
                    self.fold_events(now, &batch, from..until)?;
                }
                if until < batch.events().len() {
                    // All that lies before the limit has been read, whatever offset its last record has.
                    self.partitions.passed(batch.topic, batch.partition, limit.unwrap_or(i64::MIN));
                    self.limits.put_aside(DecodedEvent::Batch(batch), from.max(until));
                } else {
                    self.decoder.drop_later(batch);
                }
            }
            DecodedEvent::Ended { topic, partition, position } => match limit.filter(|limit| position > *limit) {
                Some(limit) => {
                    self.partitions.passed(topic, partition, limit);
                    self.limits.put_aside(DecodedEvent::Ended { topic, partition, position }, from);
                }
                None => self.partitions.ended(topic, partition, position),
            },
            DecodedEvent::Failed { topic, partition, reason } => self.partitions.fail(topic, partition, reason),
        }
        Ok(())
    }

    fn fold_events(&mut self, now: Moment, batch: &Batch, which: Range<usize>) -> Result<(), StoreError> {
        let Batch { topic, partition, .. } = *batch;
        if !self.partitions.accepts(topic, partition, batch.anchor(which.start)) {
            return Ok(());
        }
        let (last, time) = (batch.anchor(which.end - 1), batch.time(which.end - 1));
        let events = &batch.events()[which.clone()];
        if events.len() >= WARMED_EVENTS_MIN {
            self.write_back.warm(events.iter().flatten().map(|envelope| &envelope.event));
        }
        for event in events {
            match event {
                Ok(envelope) => {
                    let effects = self.write_back.fold(envelope)?;
                    self.findings.note_effects(envelope, effects, now.instant);
                }
                Err(dead_letter) => {
                    self.findings.log_dead_letter(dead_letter);
                    self.write_back.keep_dead_letter(DeadLetter::clone(dead_letter));
                }
            }
        }
        self.findings.count_records(topic, events);
        self.partitions.advance(topic, partition, last, time);
        self.write_back.note_read(batch, which);
        Ok(())
    }

    /// Hands everything read so far to the writer, then a checkpoint: the writer syncs between the two.
    fn checkpoint(&mut self, now: Moment) -> Result<(), StoreError> {
        let current = self.partitions.checkpoint_entries();
        let Some(checkpoint) = self.checkpoints.next(now.instant, current) else { return Ok(()) };
        self.write_back.write_all(now.instant)?;
        self.write_back.writer().checkpoint(checkpoint)
    }

    fn publish_checkpoint(&mut self, source: &mut dyn Source) {
        if self.checkpoints.note_written(self.write_back.writer().checkpoints_written()) {
            source.publish(&self.partitions.offsets_in(self.checkpoints.written()));
        }
    }

    /// Takes note if readers see another generation now than in the turn before.
    fn notice_switch(&mut self) {
        if self.findings.notice_switch(&self.write_back) {
            self.orphans.restart();
        }
    }

    /// Returns true if the source's cluster is the one that the store was built from. If it is another one, every partition
    /// stops.
    fn admits_cluster(&mut self, source: &dyn Source) -> Result<bool, StoreError> {
        let refusal = self.cluster.refuse(source, self.write_back.writer())?;
        if let Some(reason) = &refusal {
            self.partitions.stop_all(reason);
        }
        Ok(refusal.is_none())
    }

    /// Counts jobs that nothing links, a slice a turn. Only while live and with nothing stopped: a link may lie in what has not
    /// been read.
    fn sweep_orphans(&mut self, now: Moment) -> Result<(), StoreError> {
        if !self.liveness.is_live() || self.stop_text().is_some() {
            return Ok(());
        }
        let is_quiet = self.findings.is_quiet();
        if let Some(counted) = self.orphans.advance(now, self.write_back.writer(), is_quiet)? {
            self.findings.change(|findings| findings.orphan_jobs = Some(counted));
        }
        Ok(())
    }

    /// Becomes live once readers see all that the topics held at the start.
    fn become_live(&mut self, now: Moment, source: &dyn Source) -> Result<(), StoreError> {
        if self.liveness.is_catching_up() && source.is_complete() && self.partitions.are_caught_up() {
            self.checkpoint(now)?;
            self.liveness.wait_for_commit(self.write_back.commits());
        }
        if self.liveness.has_come(self.write_back.writer(), self.findings.is_quiet()) {
            self.report(now, source);
        }
        self.liveness.note(self.write_back.writer(), &self.status)
    }

    /// The reason for which something is not read, or nothing at all.
    fn stop_text(&self) -> Option<String> {
        let all = self.cluster.refusal().or(self.disk.reason()).map(str::to_owned);
        all.or_else(|| self.partitions.stop_text())
    }

    fn report(&mut self, now: Moment, source: &dyn Source) {
        self.partitions.compare(|topic, partition| source.observation(topic, partition), now.instant);
        self.notice_switch();
        self.findings.publish(&self.write_back);
        let parts = ReportedParts {
            stop_text: self.stop_text(),
            is_live: self.liveness.is_live(),
            cluster_id: self.cluster.id(),
            partitions: &mut self.partitions,
            checkpoints: &self.checkpoints,
            findings: &self.findings,
            write_back: &mut self.write_back,
        };
        self.reporter.report(now, source, parts);
    }

    /// Waits until the writer has written everything that was handed to it, checkpoints included.
    pub fn settle(&mut self, source: &mut dyn Source) -> Result<(), StoreError> {
        self.write_back.wait_until_written()?;
        self.publish_checkpoint(source);
        while self.checkpoints.are_awaited() {
            self.write_back.check()?;
            std::thread::sleep(Duration::from_millis(1));
            self.publish_checkpoint(source);
        }
        Ok(())
    }

    /// Writes what was read, and a last checkpoint.
    pub fn finish(mut self, now: Moment, source: &mut dyn Source) -> Result<(), ProjectorError> {
        self.status.set_state(State::Stopping);
        // Where the end takes too long, the process reports the positions of this report.
        self.report(now, source);
        self.checkpoint(now)?;
        let Projector { write_back, partitions, mut checkpoints, .. } = self;
        write_back.finish()?;
        // All is written. The group's offsets are for others' tools.
        checkpoints.note_all_written();
        source.publish(&partitions.offsets_in(checkpoints.written()));
        Ok(())
    }
}
