//! How far the new generation is, on its way to all that there is.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::{Progress, Shared};
use crate::engine::running::Running;
use crate::engine::{Engine, frozen};
use crate::status::{Report, State};

pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Until the new generation has read what there is. Gives how many records that were.
pub fn build(engine: &Engine, shared: &Shared, new: &Running) -> anyhow::Result<u64> {
    let mut builder = Builder::begin(engine, shared, new);
    loop {
        let (done, state) = builder.look()?;
        // One that has stopped, or is another version's, is as far as it will ever be.
        if state == State::Live && matches!(engine.status.state(), State::Live | State::Stalled | State::Frozen) {
            return Ok(done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks how far the new generation is.
pub struct Builder<'a> {
    engine: &'a Engine,
    shared: &'a Shared,
    new: &'a Running,
    begin: Instant,
    done_at_first: Option<u64>,
}

impl<'a> Builder<'a> {
    pub fn begin(engine: &'a Engine, shared: &'a Shared, new: &'a Running) -> Builder<'a> {
        Builder { engine, shared, new, begin: Instant::now(), done_at_first: None }
    }

    /// Tells it. Gives how many records have been read, and its state.
    pub fn look(&mut self) -> anyhow::Result<(u64, State)> {
        let Builder { engine, shared, new, begin, .. } = *self;
        let report = new.status.report();
        let (done, total) = progress(&report);
        let done_at_first = *self.done_at_first.get_or_insert(done);
        let rate = done.saturating_sub(done_at_first) as f64 / begin.elapsed().as_secs_f64().max(0.001);
        tell(shared, "building", done, total, Some(rate));
        if engine.status.state() == State::Frozen {
            frozen::follow(&engine.status, &report);
        }
        if shared.is_told_to_end() {
            bail!("it was told to end");
        }
        if new.has_ended() || report.state == State::Stalled {
            let why = report.last_error.unwrap_or_else(|| "its projector has ended; the log says why".to_owned());
            bail!("the new generation cannot be built: {why}");
        }
        if engine.with_live(Running::has_ended)? {
            bail!("the live generation's projector has ended; the log says why");
        }
        Ok((done, report.state))
    }
}

/// How many records have been read, and how many there are.
fn progress(report: &Report) -> (u64, Option<u64>) {
    let mut done = 0;
    let mut total = Some(0);
    for partition in &report.partitions {
        let low = partition.low.unwrap_or(0);
        done += u64::try_from(partition.position - low).unwrap_or(0);
        let there = partition.high.map(|high| u64::try_from(high - low).unwrap_or(0));
        total = total.zip(there).map(|(total, there)| total + there);
    }
    (done, total.filter(|_| !report.partitions.is_empty()))
}

pub fn tell(shared: &Shared, phase: &str, done: u64, total: Option<u64>, rate: Option<f64>) {
    let left = total.map(|total| total.saturating_sub(done) as f64);
    let eta_seconds = left.zip(rate.filter(|rate| *rate > 0.0)).map(|(left, rate)| left / rate);
    shared.tell(Progress {
        phase: phase.to_owned(),
        records_done: done,
        records_total: total,
        records_per_second: rate,
        eta_seconds,
    });
}
