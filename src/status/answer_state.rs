//! The state that answers are marked with, in a form that thousands of requests a second can read without a lock. Every change
//! of the report updates it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{ArcMutexGuard, RawMutex};

use super::kafka::{KNOWN_FOR, PartitionInstants};
use super::report::{PartitionReport, PartitionState, Report};
use super::state::State;

/// The state that the answers of a generation are marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerState {
    /// The state of the generation, as of the moment of the look-up.
    pub state: State,
    /// True if the generation has been live before, in this process or in an earlier one: it was complete at some time.
    pub was_live: bool,
    /// The greatest possible age of a record that has not been read, in microseconds; 0 if there is none, as far as the cluster has
    /// answered lately. `None` if it is not known.
    pub lag_micros: Option<u64>,
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
pub(super) struct AnswerStateCell {
    packed: AtomicU64,
    lag: ArcSwap<LagSource>,
}

const STATE: u64 = 0x7F;
const WAS_LIVE: u64 = 0x80;
const STALE_FROM_SHIFT: u32 = 8;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn micros(at: Instant) -> u64 {
    micros_between(*BEGIN, at)
}

fn micros_between(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

impl AnswerStateCell {
    pub fn new(report: &Report) -> AnswerStateCell {
        let cell = AnswerStateCell { packed: AtomicU64::new(0), lag: ArcSwap::default() };
        cell.set(report);
        cell
    }

    /// Returns the answer state at a moment.
    pub fn get(&self, now: Instant) -> AnswerState {
        let packed = self.packed.load(Ordering::Acquire);
        AnswerState {
            state: state_of(packed, now),
            was_live: packed & WAS_LIVE != 0,
            lag_micros: self.lag.load().at(now),
        }
    }

    /// Returns the state at a moment, without the rest of the answer state.
    pub fn state(&self, now: Instant) -> State {
        state_of(self.packed.load(Ordering::Acquire), now)
    }

    /// Notes that the generation has been live before. The caller holds the report's lock, as for every change.
    pub fn set_was_live(&self) {
        self.packed.fetch_or(WAS_LIVE, Ordering::AcqRel);
    }

    fn set(&self, report: &Report) {
        let was_live =
            if report.state == State::Live { WAS_LIVE } else { self.packed.load(Ordering::Acquire) & WAS_LIVE };
        let stale_from = report.stale_from.map_or(0, |from| micros(from) + 1);
        self.lag.store(Arc::new(LagSource::of_report(report)));
        self.packed.store(stale_from << STALE_FROM_SHIFT | was_live | report.state as u64, Ordering::Release);
    }
}

/// Returns the state that is packed with others, at a moment.
fn state_of(packed: u64, now: Instant) -> State {
    let state = State::ALL[(packed & STATE) as usize];
    let stale_from = packed >> STALE_FROM_SHIFT;
    let is_stale = state == State::Live && stale_from != 0 && micros(now) >= stale_from - 1;
    if is_stale { State::Stale } else { state }
}

/// The moments that the lag of all partitions is computed from, as [`Report::at`] computes it of each. It is the same, but where the
/// cluster has answered about some partitions later than about others: then it is the greater of the two that it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LagSource {
    /// The moment since which the oldest record is unread, among the partitions of which something is; with `None` inside if it is not
    /// known. `None` if there are no such partitions.
    behind: Option<Option<Instant>>,
    /// The same among the partitions of which the cluster has answered that nothing is unread, for when that answer is too old.
    read_whole: Option<Option<Instant>>,
    /// The moment at which the first of those answers is too old.
    known_until: Option<Instant>,
}

impl LagSource {
    fn of_report(report: &Report) -> LagSource {
        match &report.replica {
            Some(replica) => LagSource { behind: Some(replica.as_of_instant), ..LagSource::default() },
            None => LagSource::of(&report.partitions),
        }
    }

    fn of(partitions: &[PartitionReport]) -> LagSource {
        let mut lag = LagSource::default();
        for PartitionReport { lag_records, state, freshness, .. } in partitions {
            let PartitionInstants { asked, oldest_unread, .. } = freshness.instants;
            let answered = asked.filter(|_| *lag_records == Some(0) && *state != PartitionState::Frozen);
            let since = if let Some(asked) = answered {
                let until = asked + KNOWN_FOR;
                lag.known_until = Some(lag.known_until.map_or(until, |earlier| earlier.min(until)));
                &mut lag.read_whole
            } else {
                &mut lag.behind
            };
            *since = Some(since.map_or(oldest_unread, |earlier| Some(earlier?.min(oldest_unread?))));
        }
        lag
    }

    /// Returns the lag at a moment, in microseconds; `None` if it is not known.
    fn at(&self, now: Instant) -> Option<u64> {
        let age = |since: Option<Instant>| Some(micros_between(since?, now));
        let is_known = self.known_until.is_some_and(|until| now <= until);
        let whole = self.read_whole.map(|since| if is_known { Some(0) } else { age(since) });
        match (self.behind.map(age), whole) {
            (Some(behind), Some(whole)) => Some(behind?.max(whole?)),
            (one, other) => one.or(other)?,
        }
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

    use proptest::prelude::*;

    use super::super::{FrozenAt, PartitionFreshness, Status};
    use super::*;

    fn of(state: State, was_live: bool) -> AnswerState {
        AnswerState { state, was_live, lag_micros: None }
    }

    #[test]
    fn every_state_is_read_back_as_it_was_set() {
        assert_eq!(State::ALL.map(|state| state as u8), [0, 1, 2, 3, 4, 5, 6]);
        let status = Status::new(1);
        assert_eq!(status.answer_state(), of(State::Starting, false));
        let mut was_live = false;
        for state in State::ALL {
            status.set_state(state);
            was_live |= state == State::Live;
            assert_eq!(status.answer_state(), of(state, was_live));
            assert_eq!(status.report().state, state);
        }
    }

    #[test]
    fn whatever_changes_the_report_leaves_the_answer_state_in_step() {
        let status = Status::new(1);
        status.set_was_live();
        status.set_progress(Vec::new(), 1, 0);
        assert_eq!(status.answer_state(), of(State::Stale, true));
        let other = Status::new(2);
        other.set_frozen(FrozenAt { format: 1, own_format: 2, ..FrozenAt::default() });
        status.follow(&other);
        assert_eq!(status.answer_state(), of(State::Frozen, true));
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
            let state = cell.get(after(seconds)).state;
            assert_eq!(state, if seconds < 30 { State::Live } else { State::Stale }, "after {seconds} s");
            assert_eq!(state, report.state_at(after(seconds)), "as in the report");
        }
        report.stale_from = None;
        cell.set(&report);
        assert_eq!(cell.get(after(86_400)).state, State::Live);
        // No other state becomes stale by itself.
        report.state = State::Stalled;
        report.stale_from = Some(begin);
        cell.set(&report);
        assert_eq!(cell.get(after(60)), of(State::Stalled, true));
    }

    /// The lag of a partition, the ages in seconds of the answer and of the oldest unread record, and true if it is frozen.
    type Ages = (Option<i64>, Option<u64>, Option<u64>, bool);

    fn partitions() -> impl Strategy<Value = Vec<Ages>> {
        let seconds = || proptest::option::weighted(0.9, 0..40_u64);
        let lag = proptest::option::weighted(0.9, prop_oneof![Just(0_i64), 1..9_i64]);
        proptest::collection::vec((lag, seconds(), seconds(), any::<bool>()), 0..4)
    }

    proptest! {
        #[test]
        fn the_lag_is_that_of_the_report_or_greater_where_answers_differ_in_age(partitions in partitions(), later in 0..30_u64) {
            let begin = Instant::now();
            let base = begin + Duration::from_secs(100);
            let mut report = Status::new(1).report();
            let ago = |seconds: Option<u64>| seconds.map(|seconds| base - Duration::from_secs(seconds));
            for (lag_records, asked, oldest_unread, is_frozen) in &partitions {
                let instants = PartitionInstants {
                    asked: ago(*asked), oldest_unread: ago(*oldest_unread), ..PartitionInstants::default()
                };
                report.partitions.push(PartitionReport {
                    topic: "jobs".to_owned(),
                    partition: 0,
                    position: 0,
                    checkpoint: None,
                    low: None,
                    high: None,
                    lag_records: *lag_records,
                    lag_seconds: None,
                    state: if *is_frozen { PartitionState::Frozen } else { PartitionState::Live },
                    freshness: PartitionFreshness { instants, ..PartitionFreshness::default() },
                });
            }
            let now = base + Duration::from_secs(later);
            let lag = AnswerStateCell::new(&report).get(now).lag_micros.map(|micros| micros as f64 / 1e6);
            let answers: std::collections::HashSet<_> = partitions.iter().map(|(_, asked, ..)| asked).collect();
            let reported = report.at(now).lag_seconds;
            if answers.len() <= 1 {
                prop_assert_eq!(lag, reported);
            } else if let (Some(lag), Some(reported)) = (lag, reported) {
                prop_assert!(lag >= reported, "{} < {}", lag, reported);
            } else {
                prop_assert!(lag.is_none(), "{:?} where the report has {:?}", lag, reported);
            }
        }
    }
}
