//! A rebuild or a rollback on its thread, and what others may ask of it. Readers see the live generation all the while, and then
//! the other one, which never is behind it.

mod archive_check;
mod at_frozen;
mod build_meter;
mod conductor;
mod diff;
mod exchange;
mod handover;
pub(super) mod metrics;
mod missing_records;
mod outcome;
mod pair;
mod preflight;
mod survey;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use crate::generation::choice::show_frozen;
pub use crate::generation::life::comparison::{Comparison, Example};
pub use crate::generation::life::ending::Failure;
use crate::generation::life::ending::Reason;
pub use crate::generation::life::{Plan, RebuildKind, RebuildOptions};
use crate::generation::live::LiveSlot;
use crate::progress::Progress;
pub use crate::status::RebuildCounts;
use conductor::PANICKED;
use exchange::{RebuildExchange, RebuildState};
pub use outcome::{RebuildEnd, RebuildOutcome};
pub use preflight::{refuse_other_cluster, refuse_to_return};

/// A rebuild that is under way, or has ended.
pub struct Rebuild {
    shared: Arc<RebuildExchange>,
    thread: JoinHandle<()>,
}

/// A handle of a rebuild, for those who want to know how far it is, or to end it.
#[derive(Clone)]
pub struct Ticket(Arc<RebuildExchange>);

impl Rebuild {
    pub(super) fn begin(live_slot: &Arc<LiveSlot>, plan: Plan) -> anyhow::Result<Rebuild> {
        let progress = Progress::new("building", 0, None);
        let shared = Arc::new(RebuildExchange {
            plan: plan.clone(),
            shown: live_slot.status.clone(),
            new: Mutex::new(None),
            state: Mutex::new(RebuildState { progress, ended: None }),
            ended: Condvar::new(),
            abort: AtomicBool::new(false),
            interrupt: AtomicBool::new(false),
        });
        shared.log_phase("building");
        shared.show(&shared.state.lock().progress);
        let conduct = {
            let (live_slot, shared) = (live_slot.clone(), shared.clone());
            move || {
                // Whatever ends it, it has ended: nobody may wait for it, or be refused because of it, for ever.
                let conduct = || conductor::conduct(&live_slot, &plan, &shared);
                let ended = catch_unwind(AssertUnwindSafe(conduct))
                    .unwrap_or_else(|_| Err(Failure::GivenUp(Reason::Action(PANICKED.to_owned()))));
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
