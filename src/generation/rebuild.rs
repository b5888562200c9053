//! A rebuild or a rollback on its thread, and what others may ask of it. Readers see the live generation all the while, and then
//! the other one, which never is behind it.

mod archive_check;
mod at_frozen;
mod building;
mod conductor;
mod diff;
pub(super) mod metrics;
mod missing_records;
mod pair;
mod preflight;
pub(super) mod survey;
mod switching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::runtime::GenerationRuntime;
use crate::generation::Engine;
pub use crate::generation::choice::show_frozen;
use crate::generation::life::action::Order;
pub use crate::generation::life::comparison::{Comparison, Example};
pub use crate::generation::life::ending::Failure;
pub use crate::generation::life::losses::Losses;
pub use crate::generation::life::{Plan, RebuildKind, RebuildOptions};
use crate::progress::Progress;
pub use crate::status::RebuildCounts;
use crate::status::{RebuildReport, Status};
pub use preflight::{refuse_other_cluster, refuse_to_return};

/// The result of a rebuild or a rollback that did not fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebuildOutcome {
    /// `done`.
    pub phase: String,
    pub generation: String,
    /// Number of records that the generation was built from.
    pub records: u64,
    /// The views that the new generation has, and what was found in the records that it was built from. The live generation's own counts
    /// leave all of these out.
    #[serde(default)]
    pub found: RebuildCounts,
    #[serde(flatten)]
    pub comparison: Comparison,
    /// True if readers see the new generation now.
    pub cut_over: bool,
    /// The reason why readers do not see it, if they do not.
    pub kept_because: Option<String>,
    /// The reason why the views were not compared, if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// Set if readers see the generation as it was left, and nothing keeps it up to date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// The generations that stay beyond `--keep`, as they have more than what took their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
}

/// A rebuild that is under way, or has ended.
pub struct Rebuild {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// A handle of a rebuild, for those who want to know how far it is, or to end it.
#[derive(Clone)]
pub struct Ticket(Arc<Shared>);

/// The part of a rebuild that its thread shares with those who ask.
struct Shared {
    plan: Plan,
    /// The status of the process, which shows how far it is.
    shown: Status,
    /// The status of the new generation, once there is one.
    new: Mutex<Option<Status>>,
    state: Mutex<RebuildState>,
    ended: Condvar,
    abort: AtomicBool,
    interrupt: AtomicBool,
}

struct RebuildState {
    progress: Progress,
    ended: Option<RebuildEnd>,
}

/// The end of a rebuild.
pub type RebuildEnd = Result<RebuildOutcome, Failure>;

impl Rebuild {
    pub(crate) fn begin(engine: &Arc<Engine>, plan: Plan) -> anyhow::Result<Rebuild> {
        let progress = Progress::new("building", 0, None);
        let shared = Arc::new(Shared {
            plan: plan.clone(),
            shown: engine.status.clone(),
            new: Mutex::new(None),
            state: Mutex::new(RebuildState { progress, ended: None }),
            ended: Condvar::new(),
            abort: AtomicBool::new(false),
            interrupt: AtomicBool::new(false),
        });
        shared.log_phase("building");
        shared.show(&shared.state.lock().progress);
        let conduct = {
            let (engine, shared) = (engine.clone(), shared.clone());
            move || {
                let ended = conductor::conduct(&engine, &plan, &shared);
                log_end(&ended);
                metrics::record(None);
                shared.shown.set_rebuild(None);
                shared.state.lock().ended = Some(ended);
                shared.ended.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("rebuild".to_owned()).spawn(conduct)?;
        Ok(Rebuild { shared, thread })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.state.lock().ended.is_some()
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.shared.clone())
    }

    /// Orders its end, so that the next start resumes it.
    pub(crate) fn interrupt(&self) {
        self.shared.interrupt.store(true, Ordering::Release);
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the rebuild's thread panicked; the log says where");
        }
    }
}

impl Ticket {
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Returns how far it is, and its end if it has ended.
    pub fn look(&self) -> (Progress, Option<RebuildEnd>) {
        let state = self.0.state.lock();
        (state.progress.clone(), state.ended.clone())
    }

    /// Returns what the new generation has come to by now.
    pub fn counts(&self) -> RebuildCounts {
        self.0.counts()
    }

    /// Waits for its end, but no longer than this. Returns the same as `look`.
    pub fn wait(&self, at_most: Duration) -> (Progress, Option<RebuildEnd>) {
        let mut state = self.0.state.lock();
        self.0.ended.wait_while_for(&mut state, |state| state.ended.is_none(), at_most);
        (state.progress.clone(), state.ended.clone())
    }

    /// Returns true if somebody has ordered its end.
    pub fn is_aborted(&self) -> bool {
        self.0.abort.load(Ordering::Acquire)
    }

    /// Orders its end and the removal of what it has made. If it is too late for that, it ends as it would have.
    pub fn abort(&self) {
        self.0.abort.store(true, Ordering::Release);
    }
}

impl Shared {
    fn is_told_to_end(&self) -> bool {
        self.abort.load(Ordering::Acquire) || self.interrupt.load(Ordering::Acquire)
    }

    /// Returns what is ordered. The process is about to end as well if the live generation's projector has ended.
    fn order(&self, engine: &Engine) -> Order {
        if self.abort.load(Ordering::Acquire) {
            Order::Abort
        } else if self.interrupt.load(Ordering::Acquire) {
            Order::Interrupt
        } else if engine.with_live(GenerationRuntime::has_ended).unwrap_or(true) {
            Order::LiveEnded
        } else {
            Order::GoOn
        }
    }

    fn set_new(&self, status: &Status) {
        *self.new.lock() = Some(status.clone());
    }

    fn show_phase(&self, phase: &str, done: u64, total: Option<u64>) {
        self.show_progress(Progress::new(phase, done, total));
    }

    fn show_rate(&self, phase: &str, done: u64, total: u64, rate: f64) {
        self.show_progress(Progress::new(phase, done, Some(total)).at(rate));
    }

    fn show_progress(&self, progress: Progress) {
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
    fn show(&self, progress: &Progress) {
        metrics::record(Some(progress));
        let Progress { phase, records_done, records_total, waiting_for, .. } = progress.clone();
        let (generation, counts) = (self.plan.generation, self.counts());
        let report = RebuildReport { generation, phase, records_done, records_total, waiting_for, counts };
        self.shown.set_rebuild(Some(report));
    }

    /// Returns what the new generation has come to.
    fn counts(&self) -> RebuildCounts {
        self.new.lock().as_ref().map_or_else(RebuildCounts::default, |new| RebuildCounts::of(&new.report()))
    }

    /// Shows what keeps the rebuild from going on, if anything does.
    fn wait_for(&self, why: Option<String>) {
        let progress = Progress { waiting_for: why, ..self.state.lock().progress.clone() };
        self.show_progress(progress);
    }

    fn log_phase(&self, phase: &str) {
        tracing::info!(generation = self.plan.generation, "rebuilding: {phase}");
    }
}

fn log_end(ended: &RebuildEnd) {
    match ended {
        Ok(outcome) => tracing::info!(
            generation = outcome.generation,
            records = outcome.records,
            dead_letters = outcome.found.dead_letters,
            outranked_events = outcome.found.outranked_events,
            deletions_without_effect = outcome.found.deletions_without_effect,
            cut_over = outcome.cut_over,
            "the rebuild has ended"
        ),
        Err(failure) => tracing::error!("the rebuild has ended: {failure}"),
    }
}
