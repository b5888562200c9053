//! A live generation that another version has folded, or that somebody asked to see as it was left. It is shown as it is, and
//! never called current. What is to take the place of another version's is begun without anybody asking, and tried again where
//! the world fails. Never writes to the generation, and never ends the process because nothing can take its place.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Engine;
use super::life::Plan;
use super::life::retry::{RebuildSight, Retry, RetryAction};
use super::plan_file;
use super::runtime::{GenerationRuntime, OnFailure, condemn_damaged};
use crate::projector::{PauseHandle, StoreFileGuard};
use crate::status::{
    FrozenAt, PartitionFreshness, PartitionInstants, PartitionReport, PartitionState, Report, ReportedPosition,
    State, Status,
};
use crate::store::{
    CloseRecord, FORMAT, FrozenMark, GenerationManifest, PartitionPosition, ReadOnlyStore, Reader,
};

/// Time between two looks at the generation and at what is to take its place.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Begins to show it, and, where `by_itself`, to make what takes its place.
pub(super) fn start(
    engine: &Arc<Engine>,
    existing: ReadOnlyStore,
    by_itself: bool,
) -> anyhow::Result<GenerationRuntime> {
    let ReadOnlyStore { reader, generation, path, asked, file } = existing;
    let status = Status::new(generation);
    let about = GenerationManifest::read(&path);
    let positions = PartitionPosition::all(&reader.checkpoint()?);
    status.set_progress(positions.iter().map(at_rest).collect(), reader.views(), reader.count_dead_letters()?);
    status.set_frozen(FrozenAt {
        format: reader.frozen_format().unwrap_or(FORMAT),
        own_format: FORMAT,
        closed_at: about.closed.as_ref().and_then(|closed| closed.at.clone()),
        positions: positions.into_iter().map(shown).collect(),
        asked_at: asked.as_ref().map(|mark| mark.asked_at.clone()),
    });
    let asked = asked.as_ref().map(|mark| as_asked(mark, about.closed.as_ref()));
    status.set_error(asked.clone());
    let mut keeper = FrozenKeeper {
        engine: Arc::downgrade(engine),
        reader: reader.clone(),
        status: status.clone(),
        path: path.clone(),
        presence: StoreFileGuard::new(&path, file),
        asked,
        on_failure: engine.on_failure.clone(),
        begin: Instant::now(),
        retry: Retry::new(by_itself, Duration::ZERO),
        logged: None,
    };
    GenerationRuntime::frozen(generation, path, reader, status, move |control| keeper.run(control))
}

/// Takes over from the one that is being built how far the topics go, and what is wrong with them.
pub(super) fn follow(status: &Status, built: &Report) {
    let mut report = status.report();
    for held in &mut report.partitions {
        let is_same = |other: &&PartitionReport| (&other.topic, other.partition) == (&held.topic, held.partition);
        let Some(other) = built.partitions.iter().find(is_same) else { continue };
        (held.low, held.high) = (other.low, other.high);
        // What the other one has read and confirmed proves nothing of this one's views.
        let instants = PartitionInstants { confirmed: None, oldest_unread: None, ..other.freshness.instants };
        held.freshness = PartitionFreshness { confirmed_at: None, instants, ..other.freshness.clone() };
        held.lag_records = other.freshness.last_stable.map(|end| (end - held.position).max(0));
    }
    status.set_kafka(built.kafka.clone());
    status.set_progress(report.partitions, report.views, report.dead_letters);
    if report.frozen_at.is_none_or(|at| at.asked_at.is_none()) {
        status.set_error(built.last_error.clone());
    }
}

fn at_rest(at: &PartitionPosition) -> PartitionReport {
    PartitionReport {
        topic: at.topic.clone(),
        partition: at.partition,
        position: at.next_offset,
        checkpoint: Some(at.next_offset),
        low: None,
        high: None,
        lag_records: None,
        lag_seconds: None,
        state: PartitionState::Frozen,
        freshness: PartitionFreshness::default(),
    }
}

fn shown(at: PartitionPosition) -> ReportedPosition {
    ReportedPosition { topic: at.topic, partition: at.partition, next_offset: at.next_offset }
}

/// Looks after it, on a thread of its own.
struct FrozenKeeper {
    engine: Weak<Engine>,
    reader: Reader,
    status: Status,
    path: PathBuf,
    presence: StoreFileGuard,
    /// The text of its status, if somebody asked for it to be shown as it was left.
    asked: Option<String>,
    on_failure: OnFailure,
    /// The moment from which `retry` counts the time.
    begin: Instant,
    retry: Retry,
    /// The reason why nothing takes its place yet, as it was logged last.
    logged: Option<String>,
}

impl FrozenKeeper {
    fn run(&mut self, control: &PauseHandle) -> anyhow::Result<()> {
        while !control.is_stopped() {
            if let Err(error) = self.reader.check() {
                self.status.set_error(Some(error.to_string()));
                condemn_damaged(&self.path, &error);
                (self.on_failure)();
                return Err(error.into());
            }
            if let Err(error) = self.presence.check(Instant::now()) {
                tracing::error!("{error}");
                self.status.set_error(Some(error.to_string()));
                self.status.set_state(State::Stalled);
                (self.on_failure)();
                return Err(error.into());
            }
            let Some(engine) = self.engine.upgrade() else { return Ok(()) };
            self.look(&engine, control);
            drop(engine);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn look(&mut self, engine: &Arc<Engine>, control: &PauseHandle) {
        if engine.stopping.load(Ordering::Acquire) {
            return;
        }
        for action in self.retry.look(sight(engine), self.begin.elapsed()) {
            match action {
                RetryAction::Begin { may_return } => self.begin(engine, control, may_return),
                RetryAction::Report { why } => self.report(why),
            }
        }
    }

    fn begin(&mut self, engine: &Arc<Engine>, control: &PauseHandle, may_return: bool) {
        let data_dir = &engine.config.data_dir;
        let plan = plan_file::resume_or_clear(data_dir).and_then(|left| match left {
            Some(plan) => Ok(plan),
            None => Plan::of_this_format(data_dir, may_return),
        });
        // Readers may have been shown another one meanwhile, as somebody asked for.
        match plan.and_then(|plan| engine.begin_unless(plan, || control.is_stopped())) {
            Ok(_) => self.retry.begun(),
            Err(error) => self.report(format!("{error:#}")),
        }
    }

    fn report(&mut self, why: String) {
        if let Some(asked) = &self.asked {
            // Whoever asked for the rebuild knows why it failed.
            return self.status.set_error(Some(asked.clone()));
        }
        let generation = self.status.report().generation;
        let format = self.reader.frozen_format().unwrap_or(FORMAT);
        let again = match self.retry.is_tried_again() {
            true => "it is tried again",
            false => "`optview rebuild`, or a restart, begins again",
        };
        let text = format!(
            "generation {generation:06} has the fold format {format}, and is shown as it was left; none of this \
             version's format {FORMAT} can take its place yet: {why}; {again}"
        );
        if self.logged.as_ref() != Some(&text) {
            tracing::error!("{text}");
        }
        self.status.set_error(Some(text.clone()));
        self.logged = Some(text);
    }
}

/// Returns how the rebuild is that is under way, or that ended last.
fn sight(engine: &Engine) -> RebuildSight {
    let Some(ticket) = engine.rebuild() else { return RebuildSight::None };
    match ticket.look().1 {
        None => RebuildSight::UnderWay,
        Some(Ok(_)) => RebuildSight::Ended,
        Some(Err(why)) => RebuildSight::Failed { why: why.to_string(), is_aborted: ticket.is_aborted() },
    }
}

fn as_asked(mark: &FrozenMark, closed: Option<&CloseRecord>) -> String {
    let FrozenMark { generation, asked_at, .. } = mark;
    let since = closed.and_then(|closed| closed.at.as_deref()).map_or_else(String::new, |at| format!(" at {at}"));
    format!(
        "generation {generation:06} is shown as it was left{since}, and is not kept up to date: `optview rollback --frozen` \
         asked for that at {asked_at}. `optview rebuild` builds the views anew from the topics, and `optview rollback` brings \
         another generation up to date, and readers see that one then"
    )
}

/// Returns the error for a generation of another format that is not to be shown.
pub(super) fn refusal(generation: u64, format: u8) -> anyhow::Error {
    anyhow::anyhow!(
        "generation {generation:06} has the fold format {format}, and this version's is {FORMAT}; with \
         --on-format-change refuse it is not served. `optview rebuild` builds one of this version's format and makes it \
         the live one; --on-format-change rebuild serves the views as they are and does so by itself; or start the \
         version that wrote it"
    )
}
