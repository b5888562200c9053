//! THE loop: read a batch, decode it, load what it touches, fold, write what changed; on each sync interval, a
//! checkpoint. The same for live and for replay. Runs on its own thread. Never writes a checkpoint ahead of what it
//! covers, never skips a record, never reads a clock inside the fold.

mod cluster;
mod control;
mod counters;
mod dead_letters;
mod decoding;
mod findings;
mod folding;
mod health;
mod holding;
mod live;
mod log_throttle;
mod losers;
mod missing_history;
mod nulled_numbers;
mod orphans;
mod partitions;
mod presence;
mod reporting;
mod resting;
mod understanding;
mod writing;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::domain::{DeadLetter, WorkingSet};
use crate::pulse::{Pulse, Stage};
use crate::source::{Source, SourceEvent, TopicNames};
use crate::status::{State, Status};
use crate::store::{MissingHistoryLedger, StoreError, Writer};
pub use control::{Control, HoldError, Positions};
use counters::Counters;
use decoding::{Batch, Decoder, Told};
use findings::Visibility;
use health::Health;
use holding::Limits;
use losers::Losers;
use nulled_numbers::NulledNumberReports;
use orphans::OrphanCount;
use partitions::{Found, Partitions};
pub use presence::{Presence, StoreGone};
use reporting::Reporting;
use understanding::Understanding;
use writing::{Patience, Texts};

/// While live, changes are written at once, but for this long they are gathered: a burst on one optimization is one write.
const GATHER: Duration = Duration::from_millis(5);
/// How many events are worth a look ahead at what they touch.
const WORTH_WARMING: usize = 32;
/// How often the status is told anew.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// How the projector is to work.
#[derive(Clone, Debug)]
pub struct Settings {
    pub topics: TopicNames,
    /// How often a checkpoint is written while live, and while catching up.
    pub sync_interval: Duration,
    pub catch_up_sync_interval: Duration,
    /// How many bytes records in memory may take, about.
    pub memory_budget: u64,
    /// How long a job may wait for an optimization that links it before it is told of.
    pub orphan_retention: Duration,
    /// The store's directory, and how many bytes must stay free on its disk.
    pub store_path: PathBuf,
    pub min_free_disk: u64,
}

/// Why the projector ended.
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

/// Runs until told to stop, then writes all that was read and a last checkpoint.
pub fn run(
    source: &mut dyn Source,
    writer: Writer,
    settings: Settings,
    status: Status,
    control: &Control,
) -> Result<(), ProjectorError> {
    let mut projector = Projector::new(writer, settings, status, control)?;
    projector.look_at_disk();
    let mut presence = Presence::new(&projector.settings.store_path, projector.writer.file.clone());
    let rebuild = projector.rebuild_span();
    while !control.is_stopped() {
        let _of_rebuild = projector.is_quiet().then(|| rebuild.enter());
        presence.check(Instant::now())?;
        if !projector.hold(control, source)? {
            projector.turn(source)?;
        }
    }
    projector.finish(source)
}

struct Projector {
    working: WorkingSet,
    writer: Writer,
    pulse: Pulse,
    /// That the store is built from, once it is known.
    cluster: Option<String>,
    cluster_is_told: bool,
    missing_history: MissingHistoryLedger,
    partitions: Partitions,
    health: Health,
    reporting: Reporting,
    settings: Settings,
    status: Status,
    counters: Counters,
    losers: Losers,
    nulled_numbers: NulledNumberReports,
    understanding: Understanding,
    orphans: OrphanCount,
    visibility: Visibility,
    decoder: Decoder,
    limits: Limits,
    dead_letters: Vec<DeadLetter>,
    live: bool,
    /// The store knows that the generation has been live.
    live_is_noted: bool,
    /// The commit after which readers see all that there was at the start.
    live_after: Option<u64>,
    records_in_epoch: u64,
    texts: Texts,
    epoch: u32,
    patience: Patience,
    commits: u64,
    checkpoints: u64,
    last_commit: Instant,
    last_checkpoint: Instant,
    last_report: Instant,
    last_look_at_disk: Instant,
}

impl Projector {
    fn new(
        writer: Writer,
        settings: Settings,
        status: Status,
        control: &Control,
    ) -> Result<Projector, ProjectorError> {
        let partitions = Partitions::new(writer.checkpoint_at_open().clone(), settings.topics.clone());
        let now = Instant::now();
        Ok(Projector {
            working: WorkingSet::default(),
            decoder: Decoder::start(writer.pulse())?,
            pulse: writer.pulse(),
            cluster: writer.reader().cluster()?,
            cluster_is_told: false,
            counters: Counters::new(),
            losers: Losers::new(settings.topics.clone()),
            nulled_numbers: NulledNumberReports::new(settings.topics.clone()),
            understanding: {
                let (reader, topics) = (writer.reader(), settings.topics.clone());
                Understanding::new(&reader, writer.checkpoint_at_open(), topics)?
            },
            orphans: OrphanCount::default(),
            visibility: Visibility::new(control.quiet()),
            missing_history: writer.missing_history(),
            live_is_noted: writer.reader().was_live()?,
            writer,
            partitions,
            health: Health::new(now),
            reporting: Reporting::default(),
            settings,
            status,
            limits: Limits::default(),
            dead_letters: Vec::new(),
            live: false,
            live_after: None,
            records_in_epoch: 0,
            texts: Texts::default(),
            epoch: 0,
            patience: Patience::new(),
            commits: 0,
            checkpoints: 0,
            last_commit: now,
            last_checkpoint: now,
            last_report: now,
            last_look_at_disk: now,
        })
    }

    fn turn(&mut self, source: &mut dyn Source) -> Result<(), ProjectorError> {
        let _beat = self.pulse.begin(Stage::Fold);
        self.notice_switch();
        if self.must_rest() {
            return self.rest(source);
        }
        self.read(source)?;
        self.fold_decoded()?;
        self.writer.check()?;
        for (topic, partition) in self.partitions.take_failed() {
            source.stop(topic, partition);
        }
        self.write_changes(false)?;
        if self.last_checkpoint.elapsed() >= self.sync_interval() {
            self.checkpoint()?;
        }
        self.count_orphans()?;
        self.publish_checkpoint(source);
        self.become_live(source)?;
        self.note_live()?;
        if self.last_report.elapsed() >= REPORT_EVERY {
            // An address may lead to another one meanwhile.
            self.is_of_our_cluster(source)?;
            self.report(source);
        }
        Ok(())
    }

    /// Until something is due.
    fn wait(&self) -> Duration {
        if self.working.is_clean() && self.dead_letters.is_empty() {
            REPORT_EVERY.min(self.sync_interval().saturating_sub(self.last_checkpoint.elapsed()))
        } else {
            GATHER
        }
    }

    fn sync_interval(&self) -> Duration {
        if self.live { self.settings.sync_interval } else { self.settings.catch_up_sync_interval }
    }

    /// Hands what there is to the decoder, if that has too little to do.
    fn read(&mut self, source: &mut dyn Source) -> Result<(), StoreError> {
        if self.decoder.is_full() {
            return Ok(());
        }
        let wait = if self.decoder.is_idle() { self.wait() } else { Duration::ZERO };
        let mut found = Vec::new();
        let beat = self.pulse.begin(Stage::Source);
        source.poll(wait, &mut |polled| match polled {
            SourceEvent::Found { topic, partition, watermarks } => {
                found.push(Found { topic, partition, watermarks, topic_id: None });
            }
            SourceEvent::Records(records) => self.decoder.decode(records),
            SourceEvent::Ended { topic, partition, position } => {
                self.decoder.pass(Told::Ended { topic, partition, position });
            }
            SourceEvent::Failed { topic, partition, reason } => {
                self.decoder.pass(Told::Failed { topic, partition, reason });
            }
        });
        drop(beat);
        if !found.is_empty() && !self.is_of_our_cluster(source)? {
            found.clear();
        }
        for mut found in found {
            let observed = source.observation(found.topic, found.partition);
            found.topic_id = observed.and_then(|observed| observed.topic_id);
            let is_new = self.partitions.is_new(found.topic, found.partition);
            let Some(offset) = self.partitions.begin(found) else { continue };
            if is_new {
                let topic = self.settings.topics.get(found.topic).to_owned();
                self.writer.note_origin((topic, found.partition), offset)?;
            }
            if let Err(reason) = source.assign(found.topic, found.partition, offset) {
                self.partitions.fail(found.topic, found.partition, reason);
            }
        }
        Ok(())
    }

    /// Folds what is decoded, at least something where anything is being decoded.
    fn fold_decoded(&mut self) -> Result<(), StoreError> {
        let mut wait = true;
        while let Some(told) = self.decoder.next(wait) {
            wait = false;
            self.take_in(told, 0)?;
        }
        Ok(())
    }

    /// Folds what is told, a batch's events `from` there on, as far as may be read now.
    fn take_in(&mut self, told: Told, from: usize) -> Result<(), StoreError> {
        if self.limits.waits(&told) {
            self.limits.put_aside(told, from);
            return Ok(());
        }
        let limit = self.limits.of(&told);
        match told {
            Told::Batch(batch) => {
                let until = limit.map_or(batch.events().len(), |limit| batch.place_of(limit));
                if from < until {
                    self.fold_events(&batch, from..until)?;
                }
                if until < batch.events().len() {
                    // What lies before the limit has been read, whatever offset the last record of it has.
                    self.partitions.passed(batch.topic, batch.partition, limit.unwrap_or(i64::MIN));
                    self.limits.put_aside(Told::Batch(batch), from.max(until));
                } else {
                    self.decoder.drop_later(batch);
                }
            }
            Told::Ended { topic, partition, position } => match limit.filter(|limit| position > *limit) {
                Some(limit) => {
                    self.partitions.passed(topic, partition, limit);
                    self.limits.put_aside(Told::Ended { topic, partition, position }, from);
                }
                None => self.partitions.ended(topic, partition, position),
            },
            Told::Failed { topic, partition, reason } => self.partitions.fail(topic, partition, reason),
        }
        Ok(())
    }

    fn fold_events(&mut self, batch: &Batch, which: Range<usize>) -> Result<(), StoreError> {
        let Batch { topic, partition, .. } = *batch;
        if !self.partitions.accepts(topic, partition, batch.anchor(which.start)) {
            return Ok(());
        }
        let (last, time) = (batch.anchor(which.end - 1), batch.time(which.end - 1));
        let events = &batch.events()[which.clone()];
        // Of a few it would take longer than it saves.
        if events.len() >= WORTH_WARMING {
            self.working.warm(events.iter().flatten().map(|envelope| &envelope.event));
        }
        let mut understood = 0;
        for event in events {
            match event {
                Ok(envelope) => {
                    self.fold_and_count(envelope)?;
                    understood += 1;
                }
                Err(dead_letter) => self.keep(dead_letter),
            }
        }
        if !self.is_quiet() {
            self.counters.count_records(topic, understood, events.len() as u64 - understood);
        }
        let not_understood = events.iter().filter_map(|event| event.as_ref().err());
        self.understanding.count(topic, understood, not_understood.map(|dead_letter| &**dead_letter));
        self.partitions.advance(topic, partition, last, time);
        self.records_in_epoch += events.len() as u64;
        self.texts.read(batch, which.start);
        Ok(())
    }

    /// Everything read so far is handed over, then the checkpoint: the writer syncs between the two.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.last_checkpoint = Instant::now();
        let Some(checkpoint) = self.partitions.take_checkpoint() else { return Ok(()) };
        self.write_changes(true)?;
        self.writer.checkpoint(checkpoint)
    }

    fn publish_checkpoint(&mut self, source: &mut dyn Source) {
        let written = self.writer.checkpoints_written();
        if written > self.checkpoints {
            source.publish(&self.partitions.checkpoints_written(written - self.checkpoints));
            self.checkpoints = written;
        }
    }

    /// Writes what was read, and a last checkpoint.
    fn finish(mut self, source: &mut dyn Source) -> Result<(), ProjectorError> {
        self.status.set_state(State::Stopping);
        // What the process says of its end, where that takes too long, is what was reported last.
        self.report(source);
        self.checkpoint()?;
        let Projector { writer, mut partitions, .. } = self;
        writer.finish()?;
        // All is written; the group's offsets are for others.
        source.publish(&partitions.checkpoints_written(u64::MAX));
        Ok(())
    }
}
