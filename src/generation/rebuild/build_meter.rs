//! The progress of the new generation on its way to all that there is.

use std::collections::BTreeMap;
use std::time::Instant;

use super::exchange::RebuildExchange;
use crate::domain::NamedPartition;
use crate::generation::frozen_status;
use crate::generation::life::action::{BuildProgress, LiveProgress, NewProgress};
use crate::generation::live::LiveSlot;
use crate::generation::runtime::GenerationRuntime;
use crate::progress::Progress;
use crate::status::{Report, State};

/// Measures a build, and shows how far it is.
pub struct BuildMeter {
    begin: Instant,
    records_at_first: Option<u64>,
}

impl BuildMeter {
    pub fn new() -> BuildMeter {
        BuildMeter { begin: Instant::now(), records_at_first: None }
    }

    /// Shows how far the new generation is, and returns how far both are.
    ///
    /// # Errors
    /// The new generation cannot be read, or there is no live one any more.
    pub fn look(
        &mut self,
        live_slot: &LiveSlot,
        shared: &RebuildExchange,
        new: &GenerationRuntime,
    ) -> anyhow::Result<BuildProgress> {
        let (report, live) = (new.status.report(), live_slot.status.report());
        let (records, total) = records(&report, &new.reader.origins()?);
        let at_first = *self.records_at_first.get_or_insert(records);
        let rate = records.saturating_sub(at_first) as f64 / self.begin.elapsed().as_secs_f64().max(0.001);
        let progress = Progress::new("building", records, total).with_rate(rate);
        shared.show_progress(Progress { waiting_for: waiting_for(&report, &live), ..progress });
        if live.state == State::Frozen {
            frozen_status::follow(&live_slot.status, &report);
        }
        let has_trouble = report.last_error.is_some();
        let new = match report.state {
            state if new.has_ended() || state == State::Stalled => NewProgress::Ended(
                report.last_error.unwrap_or_else(|| "its projector has ended; the log says why".to_owned()),
            ),
            state if state.has_caught_up() => NewProgress::CaughtUp,
            _ => NewProgress::Behind,
        };
        let live = match live_slot.status.state() {
            _ if live_slot.with_live(GenerationRuntime::has_ended)? => LiveProgress::Ended,
            state if state.has_caught_up() => LiveProgress::CaughtUp,
            State::Stalled | State::Frozen => LiveProgress::Still,
            _ => LiveProgress::Behind,
        };
        Ok(BuildProgress { records, new, live, has_trouble })
    }
}

/// Returns what keeps the new generation from being built, or the live one from where the two are compared.
fn waiting_for(new: &Report, live: &Report) -> Option<String> {
    if let Some(why) = &new.last_error {
        return Some(format!("the new generation reads nothing, or not all: {why}"));
    }
    let is_behind = matches!(live.state, State::Starting | State::CatchingUp);
    (new.state.has_caught_up() && is_behind).then(|| {
        let why = live.last_error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("the new generation has read all, and the live one has not caught up yet{why}")
    })
}

/// Returns the number of records that have been read since the beginnings, and of those that there are. The topics' own beginnings
/// move with retention, and an archive's lie before them.
fn records(report: &Report, origins: &BTreeMap<NamedPartition, i64>) -> (u64, Option<u64>) {
    let mut done = 0;
    let mut total = Some(0);
    for partition in &report.partitions {
        let origin = origins.get(&NamedPartition::new(partition.topic.clone(), partition.partition)).copied();
        let begin = origin.or(partition.low).unwrap_or(0);
        done += u64::try_from(partition.position - begin).unwrap_or(0);
        // What an open transaction hides is not to be read yet.
        let end = partition.freshness.last_stable.or(partition.high);
        let there = end.map(|end| u64::try_from(end - begin).unwrap_or(0));
        total = total.zip(there).map(|(total, there)| total + there);
    }
    (done, total.filter(|_| !report.partitions.is_empty()))
}
