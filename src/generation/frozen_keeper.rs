//! A live generation that another version has folded, or that somebody asked to see as it was left. It is shown as it is, and
//! never called current. What is to take the place of another version's is begun without anybody asking, and tried again where
//! the world fails. Never writes to the generation, and never ends the process because nothing can take its place.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::left_plan;
use super::life::Plan;
use super::life::retry::{RebuildSight, Retry, RetryAction};
use super::rebuild_slot::RebuildSlot;
use super::runtime::{GenerationRuntime, OnFailure, condemn_damaged};
use crate::data_dir::{CloseRecord, FrozenMark, GenerationManifest, PartitionPosition};
use crate::projector::{PauseHandle, StoreFileGuard};
use crate::status::{
    FrozenAt, PartitionFreshness, PartitionReport, PartitionState, ReportedPosition, State, Status,
};
use crate::store::{self, FORMAT, ReadOnlyStore, Reader};

/// Time between two looks at the generation and at what is to take its place.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Begins to show it, and, where `by_itself`, to make what takes its place.
pub(super) fn start(
    rebuilds: &Arc<RebuildSlot>,
    existing: ReadOnlyStore,
    by_itself: bool,
) -> anyhow::Result<GenerationRuntime> {
    let ReadOnlyStore { reader, generation, path, asked, file } = existing;
    let status = Status::new(generation);
    let about = GenerationManifest::read(&path);
    let positions = store::positions(&reader.checkpoint()?);
    status.set_progress(positions.iter().map(at_rest).collect(), reader.views(), reader.count_dead_letters()?);
    status.set_replaced_dead_letters(reader.replaced_letters()?.counts.iter().sum());
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
        rebuilds: Arc::downgrade(rebuilds),
        reader: reader.clone(),
        status: status.clone(),
        path: path.clone(),
        presence: StoreFileGuard::new(&path, file),
        asked,
        on_failure: rebuilds.live.on_failure.clone(),
        begin: Instant::now(),
        retry: Retry::new(by_itself, Duration::ZERO),
        logged: None,
    };
    GenerationRuntime::frozen(generation, path, reader, status, move |control| keeper.run(control))
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
    rebuilds: Weak<RebuildSlot>,
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
            let Some(rebuilds) = self.rebuilds.upgrade() else { return Ok(()) };
            self.look(&rebuilds, control);
            drop(rebuilds);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn look(&mut self, rebuilds: &RebuildSlot, control: &PauseHandle) {
        if rebuilds.live.is_stopping() {
            return;
        }
        for action in self.retry.look(sight(rebuilds), self.begin.elapsed()) {
            match action {
                RetryAction::Begin { may_return } => self.begin(rebuilds, control, may_return),
                RetryAction::Report { why } => self.report(why),
            }
        }
    }

    fn begin(&mut self, rebuilds: &RebuildSlot, control: &PauseHandle, may_return: bool) {
        let data_dir = &rebuilds.live.config.data_dir;
        let plan = left_plan::resume_or_clear(data_dir).and_then(|left| match left {
            Some(plan) => Ok(plan),
            None => Plan::of_this_format(data_dir, may_return),
        });
        // Readers may have been shown another one meanwhile, as somebody asked for.
        match plan.and_then(|plan| rebuilds.begin_unless(plan, || control.is_stopped())) {
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
fn sight(rebuilds: &RebuildSlot) -> RebuildSight {
    let Some(ticket) = rebuilds.ticket() else { return RebuildSight::None };
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
