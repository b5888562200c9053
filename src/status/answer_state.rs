//! The state that answers are marked with, in a form that thousands of requests a second can read without a lock. Every change
//! of the report updates it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::{ArcMutexGuard, RawMutex};

use super::report::Report;
use super::state::State;

/// The state that the answers of a generation are marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerState {
    /// The state of the generation, as of the moment of the look-up.
    pub state: State,
    /// True if the generation has been live before, in this process or in an earlier one: it was complete at some time.
    pub was_live: bool,
}

impl AnswerState {
    /// Returns true if an id that is not found does not exist. In other states, the record with that id may not have been read
    /// yet.
    pub fn is_current(self) -> bool {
        self.state == State::Live
    }
}

/// An answer state in one number, so that no reader sees half of a change: the state's index in [`State::ALL`] (7 bits), whether
/// the generation was live (1 bit), and the moment at which `live` becomes `stale` (microseconds after [`BEGIN`], plus one; 0 for
/// never).
pub(super) struct AnswerStateCell(AtomicU64);

const STATE: u64 = 0x7F;
const WAS_LIVE: u64 = 0x80;
const STALE_FROM_SHIFT: u32 = 8;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn micros(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*BEGIN).as_micros()).unwrap_or(u64::MAX)
}

impl AnswerStateCell {
    pub fn new(report: &Report) -> AnswerStateCell {
        let cell = AnswerStateCell(AtomicU64::new(0));
        cell.set(report);
        cell
    }

    /// Returns the answer state at a moment. `now` is called only if the moment matters.
    pub fn get(&self, now: impl FnOnce() -> Instant) -> AnswerState {
        let packed = self.0.load(Ordering::Acquire);
        let state = State::ALL[(packed & STATE) as usize];
        let stale_from = packed >> STALE_FROM_SHIFT;
        let is_stale = state == State::Live && stale_from != 0 && micros(now()) >= stale_from - 1;
        AnswerState { state: if is_stale { State::Stale } else { state }, was_live: packed & WAS_LIVE != 0 }
    }

    /// Notes that the generation has been live before. The caller holds the report's lock, as for every change.
    pub fn set_was_live(&self) {
        self.0.fetch_or(WAS_LIVE, Ordering::AcqRel);
    }

    fn set(&self, report: &Report) {
        let was_live =
            if report.state == State::Live { WAS_LIVE } else { self.0.load(Ordering::Acquire) & WAS_LIVE };
        let stale_from = report.stale_from.map_or(0, |from| micros(from) + 1);
        self.0.store(stale_from << STALE_FROM_SHIFT | was_live | report.state as u64, Ordering::Release);
    }
}

/// A lock on the report, for reading or changing it. When it is dropped, the answer state is set from the report.
pub(super) struct ReportGuard {
    pub report: ArcMutexGuard<RawMutex, Report>,
    pub answer_state: Arc<AnswerStateCell>,
}

impl Deref for ReportGuard {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl DerefMut for ReportGuard {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        // The report is still locked here, so that of two changes the later one's state stays.
        self.answer_state.set(&self.report);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{FrozenAt, Status};
    use super::*;

    #[test]
    fn every_state_is_read_back_as_it_was_set() {
        assert_eq!(State::ALL.map(|state| state as u8), [0, 1, 2, 3, 4, 5, 6]);
        let status = Status::new(1);
        assert_eq!(status.answer_state(), AnswerState { state: State::Starting, was_live: false });
        let mut was_live = false;
        for state in State::ALL {
            status.set_state(state);
            was_live |= state == State::Live;
            assert_eq!(status.answer_state(), AnswerState { state, was_live });
            assert_eq!(status.report().state, state);
        }
    }

    #[test]
    fn whatever_changes_the_report_leaves_the_answer_state_in_step() {
        let status = Status::new(1);
        status.set_was_live();
        status.set_progress(Vec::new(), 1, 0);
        assert_eq!(status.answer_state(), AnswerState { state: State::Stale, was_live: true });
        let other = Status::new(2);
        other.set_frozen(FrozenAt {
            format: 1,
            own_format: 2,
            closed_at: None,
            positions: Vec::new(),
            asked_at: None,
        });
        status.follow(&other);
        assert_eq!(status.answer_state(), AnswerState { state: State::Frozen, was_live: true });
        status.set_state(State::Stopping);
        other.set_state(State::Live);
        assert_eq!(status.answer_state().state, State::Stopping, "nothing comes after the end");
    }

    #[test]
    fn live_becomes_stale_though_nobody_writes() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut report = Report { state: State::Live, stale_from: Some(after(30)), ..Status::new(1).report() };
        let cell = AnswerStateCell::new(&report);
        for seconds in [0, 29, 30, 31, 86_400] {
            let state = cell.get(|| after(seconds)).state;
            assert_eq!(state, if seconds < 30 { State::Live } else { State::Stale }, "after {seconds} s");
            assert_eq!(state, report.state_at(after(seconds)), "as in the report");
        }
        report.stale_from = None;
        cell.set(&report);
        assert_eq!(cell.get(|| after(86_400)).state, State::Live);
        // No other state becomes stale by itself.
        report.state = State::Stalled;
        report.stale_from = Some(begin);
        cell.set(&report);
        assert_eq!(cell.get(|| after(60)), AnswerState { state: State::Stalled, was_live: true });
    }
}
