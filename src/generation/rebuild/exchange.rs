//! The part of a rebuild that its thread shares with those who ask: the progress one way, orders the other.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use super::metrics;
use super::outcome::RebuildEnd;
use crate::generation::life::Plan;
use crate::generation::life::action::Order;
use crate::generation::live::LiveSlot;
use crate::generation::runtime::GenerationRuntime;
use crate::progress::Progress;
use crate::status::{RebuildCounts, RebuildReport, Status};

/// The part of a rebuild that its thread shares with those who ask.
pub struct RebuildExchange {
    pub plan: Plan,
    /// The status of the process, which shows how far it is.
    pub shown: Status,
    /// The status of the new generation, once there is one.
    pub new: Mutex<Option<Status>>,
    pub state: Mutex<RebuildState>,
    pub ended: Condvar,
    pub abort: AtomicBool,
    pub interrupt: AtomicBool,
}

pub struct RebuildState {
    pub progress: Progress,
    pub ended: Option<RebuildEnd>,
}

impl RebuildExchange {
    pub fn is_told_to_end(&self) -> bool {
        self.abort.load(Ordering::Acquire) || self.interrupt.load(Ordering::Acquire)
    }

    /// Returns what is ordered. The process is about to end as well if the live generation's projector has ended.
    pub fn order(&self, live_slot: &LiveSlot) -> Order {
        if self.abort.load(Ordering::Acquire) {
            Order::Abort
        } else if self.interrupt.load(Ordering::Acquire) {
            Order::Interrupt
        } else if live_slot.with_live(GenerationRuntime::has_ended).unwrap_or(true) {
            Order::LiveEnded
        } else {
            Order::GoOn
        }
    }

    pub fn set_new(&self, status: &Status) {
        *self.new.lock() = Some(status.clone());
    }

    pub fn show_phase(&self, phase: &str, done: u64, total: Option<u64>) {
        self.show_progress(Progress::new(phase, done, total));
    }

    pub fn show_rate(&self, phase: &str, done: u64, total: u64, rate: f64) {
        self.show_progress(Progress::new(phase, done, Some(total)).with_rate(rate));
    }

    pub fn show_progress(&self, progress: Progress) {
        let mut state = self.state.lock();
        if state.progress.phase != progress.phase {
            self.log_phase(&progress.phase);
        }
        if let (None, Some(why)) = (&state.progress.waiting_for, &progress.waiting_for) {
            tracing::warn!(generation = self.plan.generation, "the rebuild waits: {why}");
        }
        self.show(&progress);
        state.progress = progress;
    }

    /// Shows the progress in the metrics and in the status.
    pub fn show(&self, progress: &Progress) {
        metrics::record(Some(progress));
        let Progress { phase, records_done, records_total, waiting_for, .. } = progress.clone();
        let (generation, counts) = (self.plan.generation, self.counts());
        let report = RebuildReport { generation, phase, records_done, records_total, waiting_for, counts };
        self.shown.set_rebuild(Some(report));
    }

    /// Returns what the new generation has come to.
    pub fn counts(&self) -> RebuildCounts {
        self.new.lock().as_ref().map_or_else(RebuildCounts::default, |new| new.report().rebuild_counts())
    }

    /// Shows what keeps the rebuild from going on, if anything does.
    pub fn wait_for(&self, why: Option<String>) {
        let progress = Progress { waiting_for: why, ..self.state.lock().progress.clone() };
        self.show_progress(progress);
    }

    pub fn log_phase(&self, phase: &str) {
        tracing::info!(generation = self.plan.generation, "rebuilding: {phase}");
    }
}
