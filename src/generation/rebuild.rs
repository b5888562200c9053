//! Makes a generation that is to take the live one's place: from the beginning of the topics, or of an archive of them, or
//! one that was live before.
//! Readers see the live one all the while, and then the other, which never is behind it.

mod archive_check;
mod building;
mod conduct;
mod diff;
mod frozen;
mod losses;
mod meeting;
pub(super) mod metrics;
mod missing_records;
mod obstacle;
mod plan;
mod preflight;
mod retention;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::generation::Engine;
use crate::progress::Progress;
pub use crate::status::RebuildCounts;
use crate::status::{RebuildReport, Status};
pub use losses::Losses;
pub use plan::{Plan, RebuildKind, RebuildOptions, show_frozen};
pub use preflight::{refuse_other_cluster, refuse_to_return};

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebuildOutcome {
    /// `done`.
    pub phase: String,
    pub generation: String,
    /// That were read to build it.
    pub records: u64,
    /// The views that the new generation has, and what was found in the records that it was built from. The live generation's own counts
    /// leave all of these out.
    #[serde(default)]
    pub found: RebuildCounts,
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Whether readers see the new generation now.
    pub cut_over: bool,
    /// Why it was not cut over to, where it was not.
    pub kept_because: Option<String>,
    /// Why the views were not compared, where they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// Set if readers see the generation as it was left, and nothing keeps it up to date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// The generations that stay beyond `--keep`, as they have more than what took their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
}

/// Views of the live generation and the new one, at the same positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub same: u64,
    pub differing: u64,
    pub only_old: u64,
    pub only_new: u64,
    /// Records of which what readers see is the same, and what is stored beside it is not.
    #[serde(default)]
    pub unseen: u64,
    /// The first of those that are not the same.
    pub examples: Vec<Example>,
    /// What the new one lacks of the old one.
    #[serde(default, skip_serializing_if = "Losses::is_none")]
    pub losses: Losses,
}

impl Comparison {
    pub fn found_differences(&self) -> bool {
        self.differing + self.only_old + self.only_new > 0
    }
}

/// A view that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    pub id: String,
    /// `differing`, `only_old`, `only_new` or `unseen`.
    pub how: String,
    /// Where it differs: fields of the view, or registers of what is unseen.
    pub fields: Vec<String>,
}

/// One that is under way, or has ended.
pub struct Rebuild {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// For whoever wants to know how far it is, or to end it.
#[derive(Clone)]
pub struct Ticket(Arc<Shared>);

/// Between the thread that makes it and those who ask.
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
    ended: Option<Result<RebuildOutcome, String>>,
}

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
        let (engine, told) = (engine.clone(), shared.clone());
        let conduct = move || {
            // sled tells of damage by a panic as often as by an error.
            let ended = catch_unwind(AssertUnwindSafe(|| conduct::conduct(&engine, &plan, &told)));
            let ended = ended.unwrap_or_else(|_| Err(anyhow!("it panicked; the log says where")));
            match &ended {
                Ok(finished) => tracing::info!(
                    generation = finished.generation,
                    records = finished.records,
                    dead_letters = finished.found.dead_letters,
                    outranked_events = finished.found.outranked_events,
                    deletions_without_effect = finished.found.deletions_without_effect,
                    cut_over = finished.cut_over,
                    "the rebuild has ended"
                ),
                Err(error) => tracing::error!("the rebuild has ended: {error:#}"),
            }
            metrics::record(None);
            told.shown.set_rebuild(None);
            told.state.lock().ended = Some(ended.map_err(|error| format!("{error:#}")));
            told.ended.notify_all();
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

    /// Ends it so that it can be gone on with.
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

    /// How far it is, and how it ended, where it has.
    pub fn look(&self) -> (Progress, Option<Result<RebuildOutcome, String>>) {
        let told = self.0.state.lock();
        (told.progress.clone(), told.ended.clone())
    }

    /// What the new generation has come to by now.
    pub fn counts(&self) -> RebuildCounts {
        self.0.counts()
    }

    /// Looks again after some time, or at its end.
    pub fn wait(&self, at_most: Duration) -> (Progress, Option<Result<RebuildOutcome, String>>) {
        let mut told = self.0.state.lock();
        self.0.ended.wait_while_for(&mut told, |told| told.ended.is_none(), at_most);
        (told.progress.clone(), told.ended.clone())
    }

    /// Whether somebody has ended it.
    pub fn is_aborted(&self) -> bool {
        self.0.abort.load(Ordering::Acquire)
    }

    /// Ends it, and removes what it has made. Where it is too late for that, it ends as it would have.
    pub fn abort(&self) {
        self.0.abort.store(true, Ordering::Release);
    }
}

impl Shared {
    fn is_told_to_end(&self) -> bool {
        self.abort.load(Ordering::Acquire) || self.interrupt.load(Ordering::Acquire)
    }

    fn tell(&self, progress: Progress) {
        let mut told = self.state.lock();
        if told.progress.phase != progress.phase {
            self.log_phase(&progress.phase);
        }
        if let (None, Some(why)) = (&told.progress.waiting_for, &progress.waiting_for) {
            tracing::warn!(generation = self.plan.generation, "the rebuild waits: {why}");
        }
        self.show(&progress);
        told.progress = progress;
    }

    /// Shows how far it is in the metrics and in the status.
    fn show(&self, progress: &Progress) {
        metrics::record(Some(progress));
        let Progress { phase, records_done, records_total, waiting_for, .. } = progress.clone();
        let (generation, counts) = (self.plan.generation, self.counts());
        let report = RebuildReport { generation, phase, records_done, records_total, waiting_for, counts };
        self.shown.set_rebuild(Some(report));
    }

    /// What the new generation has come to.
    fn counts(&self) -> RebuildCounts {
        self.new.lock().as_ref().map_or_else(RebuildCounts::default, |new| RebuildCounts::of(&new.report()))
    }

    /// Says what keeps the rebuild from going on, if anything does.
    fn wait_for(&self, why: Option<String>) {
        let progress = Progress { waiting_for: why, ..self.state.lock().progress.clone() };
        self.tell(progress);
    }

    fn log_phase(&self, phase: &str) {
        tracing::info!(generation = self.plan.generation, "rebuilding: {phase}");
    }
}
