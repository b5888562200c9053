//! The projector: the one loop that turns records into views. It reads a batch, decodes it, loads what the events touch, folds
//! them and writes what changed; on each sync interval it writes a checkpoint. Live, replay and rebuild use the same loop, each
//! on a thread of its own. It never writes a checkpoint ahead of the views that it covers, never skips a record, and is given
//! the time once a turn.

mod checkpoints;
mod cluster_guard;
mod dead_letter_limit;
mod dead_letters;
mod decoder;
mod disk_guard;
mod event_fold;
mod finding_throttle;
mod findings;
mod gate;
mod health;
mod hold;
mod ineffective_events;
mod intake;
mod letter_backlog;
mod letter_desk;
mod letter_gate;
mod letter_requests;
mod liveness;
mod metrics;
mod moment;
mod nulled_numbers;
mod orphan_sweep;
mod partitions;
mod pause;
mod record_backlog;
mod report;
mod retry_pace;
mod settings;
mod store_file;
mod stream_quality;
mod troubles;
mod write_back;
mod write_delay;

use std::time::Duration;

use tracing::Span;

use crate::pulse::{Pulse, Stage};
use crate::source::Source;
use crate::status::{State, Status};
use crate::store::{StoreError, Writer};
use checkpoints::{Checkpoints, NextCheckpoint};
use cluster_guard::ClusterGuard;
use dead_letter_limit::DeadLetterLimit;
use decoder::Decoder;
use disk_guard::DiskGuard;
use findings::FindingsCollector;
use gate::ReadGate;
use letter_backlog::LetterBacklog;
pub use letter_desk::serve_letters_at_rest;
use letter_gate::LetterGate;
pub use letter_requests::{LetterOutcome, LetterTask};
use liveness::Liveness;
pub use moment::Moment;
use orphan_sweep::OrphanSweep;
use partitions::Partitions;
pub use pause::{PauseError, PauseHandle, Positions};
use record_backlog::RecordBacklog;
use report::{REPORT_EVERY, ReportedParts, Reporter};
use retry_pace::RetryPace;
pub use settings::Settings;
pub use store_file::{StoreFileGuard, StoreGone};
use write_back::WriteBack;

/// The reason for which a projector ended.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread of the projector cannot be started.
    #[error(
        "cannot start a thread: {0}; raise the limit of threads (ulimit -u, TasksMax=, the container's pids limit)"
    )]
    Thread(#[from] std::io::Error),
    /// The store no longer lies where it was opened.
    #[error(transparent)]
    Gone(#[from] StoreGone),
}

/// Runs a projector until its control stops it, then writes all that was read and a last checkpoint.
pub fn run(
    source: &mut dyn Source,
    writer: Writer,
    settings: Settings,
    status: Status,
    control: &PauseHandle,
) -> Result<(), ProjectorError> {
    let mut projector = Projector::new(writer, settings, status, control, Moment::now())?;
    while !control.is_stopped() {
        projector.turn(Moment::now(), source)?;
    }
    projector.finish(Moment::now(), source)
}

/// A projector between two turns. It reads no clock: every turn is given the time.
pub struct Projector<'a> {
    control: &'a PauseHandle,
    settings: Settings,
    status: Status,
    pulse: Pulse,
    /// Marks the log lines of a generation that readers do not see.
    rebuild_span: Span,
    store_file: StoreFileGuard,
    gate: ReadGate,
    disk: DiskGuard,
    cluster: ClusterGuard,
    partitions: Partitions,
    decoder: Decoder,
    record_backlog: RecordBacklog,
    write_back: WriteBack,
    checkpoints: Checkpoints,
    liveness: Liveness,
    findings: FindingsCollector,
    letter_limit: DeadLetterLimit,
    letters: LetterGate,
    backlog: LetterBacklog,
    pace: RetryPace,
    orphans: OrphanSweep,
    reporter: Reporter,
}

impl<'a> Projector<'a> {
    /// Makes a projector that goes on from the checkpoint of the writer's store.
    pub fn new(
        writer: Writer,
        settings: Settings,
        status: Status,
        control: &'a PauseHandle,
        now: Moment,
    ) -> Result<Projector<'a>, ProjectorError> {
        let topics = &settings.topics;
        writer.bound_dead_letters(settings.dead_letters_max)?;
        Ok(Projector {
            control,
            pulse: writer.pulse(),
            rebuild_span: tracing::error_span!("rebuild", store = %settings.store_path.display()),
            store_file: StoreFileGuard::new(&settings.store_path, writer.file.clone()),
            gate: ReadGate::default(),
            disk: DiskGuard::new(settings.store_path.clone(), settings.disk_reserve, now.instant),
            cluster: ClusterGuard::new(writer.reader().cluster()?),
            partitions: Partitions::new(topics.clone()),
            decoder: Decoder::start(writer.pulse(), settings.framing)?,
            record_backlog: RecordBacklog::default(),
            checkpoints: Checkpoints::new(
                writer.checkpoint_at_open().clone(),
                settings.sync_interval,
                settings.catch_up_sync_interval,
                now.instant,
            ),
            liveness: Liveness::new(writer.reader().was_live()?),
            letter_limit: DeadLetterLimit::new(&writer, topics.clone(), settings.dead_letter_limit)?,
            letters: LetterGate::new(topics.clone(), settings.dead_letter_outlet.clone()),
            backlog: LetterBacklog::new(writer.letter_topic_note())?,
            pace: RetryPace::default(),
            findings: FindingsCollector::new(
                &writer,
                topics.clone(),
                settings.framing,
                status.clone(),
                control.quiet(),
            )?,
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
            self.forget_backlog();
            return Ok(());
        }
        let _beat = self.pulse.begin(Stage::Fold);
        self.notice_switch();
        if self.disk.is_too_full(now.instant) {
            return self.rest(now, source);
        }
        self.do_what_is_due(now, source)?;
        self.read(now, source)?;
        self.pace_watchers();
        self.fold_decoded(now)?;
        self.note_position();
        self.stop_failed(source);
        Ok(())
    }

    /// Takes note of the end of the recovery: all that a process before may have read beyond the checkpoint has been read again.
    fn note_recovery(&mut self, source: &dyn Source) -> Result<(), StoreError> {
        if !self.write_back.is_recovering() || !source.is_complete() {
            return Ok(());
        }
        self.write_back.note_all_found();
        if self.partitions.have_passed_start() { self.write_back.end_recovery() } else { Ok(()) }
    }

    fn do_what_is_due(&mut self, now: Moment, source: &mut dyn Source) -> Result<(), StoreError> {
        self.write_back.check()?;
        self.write_back.write_due(now.instant, self.liveness.is_live(), self.record_backlog.is_there())?;
        self.note_recovery(source)?;
        self.checkpoint_if_due(now)?;
        self.publish_checkpoint(source);
        self.write_letter_backlog()?;
        self.serve_letter_requests(now, source)?;
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
        self.forget_backlog();
        self.write_back.check()?;
        if self.liveness.is_live() {
            self.write_back.write_due(now.instant, true, false)?;
            self.checkpoint_if_due(now)?;
        }
        self.publish_checkpoint(source);
        self.report_if_due(now, source);
        source.rest(disk_guard::CHECK_EVERY);
        Ok(())
    }

    /// The longest time for which a poll may wait for records: until something is due. Nothing ends a poll when the writer has written,
    /// so it is short as long as something is awaited from it.
    fn longest_wait(&self, now: Moment) -> Duration {
        let is_written =
            self.write_back.is_clean() && !self.checkpoints.are_awaited() && !self.liveness.awaits_commit();
        if is_written && self.control.letters.is_empty() && !self.backlog.is_sending() {
            REPORT_EVERY.min(self.checkpoints.due_in(now.instant, self.liveness.is_live()))
        } else {
            write_back::GATHER
        }
    }

    /// Hands the checkpoint to the writer that waited for dead letters, once those are acknowledged, and the next if it is due, unless
    /// many wait for the topic of views already.
    fn checkpoint_if_due(&mut self, now: Moment) -> Result<(), StoreError> {
        if let Some(checkpoint) = self.checkpoints.release(self.letters.numbers()) {
            self.write_back.writer().checkpoint(checkpoint)?;
        }
        match self.checkpoints.are_due(now.instant, self.liveness.is_live()) {
            true if self.checkpoints.are_many_awaited() => self.checkpoints.postpone(now.instant),
            true => self.checkpoint(now)?,
            false => {}
        }
        Ok(())
    }

    /// Hands everything read so far to the writer, then a checkpoint: the writer syncs between the two. The checkpoint waits if
    /// dead letters do.
    fn checkpoint(&mut self, now: Moment) -> Result<(), StoreError> {
        let current = self.partitions.checkpoint_entries();
        match self.checkpoints.next(now.instant, current, self.letters.numbers()) {
            NextCheckpoint::Unchanged => Ok(()),
            NextCheckpoint::HeldBack => self.write_back.write_all(now.instant),
            NextCheckpoint::Due(checkpoint) => {
                self.write_back.write_all(now.instant)?;
                self.write_back.writer().checkpoint(checkpoint)
            }
        }
    }

    fn publish_checkpoint(&mut self, source: &mut dyn Source) {
        if self.checkpoints.note_written(self.write_back.writer().checkpoints_written()) {
            let records_written = self.write_back.writer().records_written();
            tracing::debug!(
                awaited = self.checkpoints.are_awaited(),
                records_written,
                "a checkpoint is on the disk"
            );
            source.publish(&self.partitions.offsets_in(self.checkpoints.written()));
        }
    }

    /// Takes note if readers see another generation now than in the turn before.
    fn notice_switch(&mut self) {
        if self.findings.notice_switch(&self.write_back) {
            self.orphans.restart();
            self.letter_limit.count_anew();
            self.backlog.restart();
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
            tracing::debug!(unwritten = self.write_back.unwritten(), "all that the topics held has been folded");
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

    fn report_if_due(&mut self, now: Moment, source: &dyn Source) {
        if self.reporter.is_due(now.instant) {
            self.report(now, source);
        }
    }

    fn report(&mut self, now: Moment, source: &dyn Source) {
        self.partitions.compare(|partition| source.observation(partition), now.instant);
        self.notice_switch();
        self.findings.publish(&self.write_back);
        let parts = ReportedParts {
            stop_text: self.stop_text(),
            is_live: self.liveness.is_live(),
            cluster_id: self.cluster.id(),
            partitions: &mut self.partitions,
            checkpoints: &self.checkpoints,
            findings: &self.findings,
            letters: &self.letters,
            letters_only_counted: self.backlog.only_counted(),
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
        self.letters.wait_at_end();
        self.write_letter_backlog()?;
        self.checkpoint(now)?;
        let Projector { write_back, partitions, mut checkpoints, .. } = self;
        // All is written, but perhaps not the checkpoint. The group's offsets are for others' tools.
        checkpoints.note_written(write_back.finish()?);
        source.publish(&partitions.offsets_in(checkpoints.written()));
        Ok(())
    }
}
