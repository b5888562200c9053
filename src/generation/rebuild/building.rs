//! How far the new generation is, on its way to all that there is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Shared;
use crate::generation::runtime::GenerationRuntime;
use crate::generation::{Engine, frozen_keeper};
use crate::progress::Progress;
use crate::status::{Report, State};

pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Until the new generation has read what there is. Gives how many records that were.
pub fn build(engine: &Engine, shared: &Shared, new: &GenerationRuntime) -> anyhow::Result<u64> {
    let mut builder = Builder::begin(engine, shared, new);
    loop {
        let (done, state) = builder.look()?;
        // One that has stopped, or is another version's, is as far as it will ever be.
        let live = engine.status.state();
        if state.has_caught_up() && (live.has_caught_up() || matches!(live, State::Stalled | State::Frozen)) {
            return Ok(done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks how far the new generation is.
pub struct Builder<'a> {
    engine: &'a Engine,
    shared: &'a Shared,
    new: &'a GenerationRuntime,
    begin: Instant,
    done_at_first: Option<u64>,
}

impl<'a> Builder<'a> {
    pub fn begin(engine: &'a Engine, shared: &'a Shared, new: &'a GenerationRuntime) -> Builder<'a> {
        Builder { engine, shared, new, begin: Instant::now(), done_at_first: None }
    }

    /// Tells it. Gives how many records have been read, and its state.
    pub fn look(&mut self) -> anyhow::Result<(u64, State)> {
        let Builder { engine, shared, new, begin, .. } = *self;
        let report = new.status.report();
        let (done, total) = progress(&report, &new.reader.origins()?);
        let done_at_first = *self.done_at_first.get_or_insert(done);
        let rate = done.saturating_sub(done_at_first) as f64 / begin.elapsed().as_secs_f64().max(0.001);
        let progress = Progress::new("building", done, total).with_rate(rate);
        shared.tell(Progress { waiting_for: waiting_for(&report, &engine.status.report()), ..progress });
        if engine.status.state() == State::Frozen {
            frozen_keeper::follow(&engine.status, &report);
        }
        if shared.is_told_to_end() {
            bail!("it was told to end");
        }
        if new.has_ended() || report.state == State::Stalled {
            let why = report.last_error.unwrap_or_else(|| "its projector has ended; the log says why".to_owned());
            bail!("the new generation cannot be built: {why}");
        }
        if engine.with_live(GenerationRuntime::has_ended)? {
            bail!("the live generation's projector has ended; the log says why");
        }
        Ok((done, report.state))
    }
}

/// What keeps the new generation from being built, or the live one from where the two are compared.
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

/// How many records have been read since the beginnings, and how many there are: the topics' own beginnings move with
/// retention, and an archive's lie before them.
fn progress(report: &Report, origins: &BTreeMap<(String, i32), i64>) -> (u64, Option<u64>) {
    let mut done = 0;
    let mut total = Some(0);
    for partition in &report.partitions {
        let origin = origins.get(&(partition.topic.clone(), partition.partition)).copied();
        let begin = origin.or(partition.low).unwrap_or(0);
        done += u64::try_from(partition.position - begin).unwrap_or(0);
        // What an open transaction hides is not to be read yet.
        let end = partition.freshness.last_stable.or(partition.high);
        let there = end.map(|end| u64::try_from(end - begin).unwrap_or(0));
        total = total.zip(there).map(|(total, there)| total + there);
    }
    (done, total.filter(|_| !report.partitions.is_empty()))
}

pub fn tell(shared: &Shared, phase: &str, done: u64, total: Option<u64>, rate: Option<f64>) {
    let progress = Progress::new(phase, done, total);
    shared.tell(match rate {
        Some(rate) => progress.with_rate(rate),
        None => progress,
    });
}
