//! The parts of the status that other threads than the projector's write: the standstill, the topics' settings and the rebuild.
//! They are kept apart from the projector's own report, so that they can be written while that thread is stuck, and stay when
//! another generation becomes the live one.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::{RebuildReport, Report, State};

/// A stage of the projector that has been at one piece of work for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageStall {
    /// The stage's name.
    pub stage: &'static str,
    /// The time at which the piece of work began, RFC 3339.
    pub since: String,
}

/// A standstill of the projector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// The stages that stand still, at least one. The first is the cause, as far as one is.
    pub stages: Vec<StageStall>,
    /// The description for people.
    pub text: String,
}

/// The time up to which a topic keeps its oldest record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryExpiry {
    /// The cluster has not answered, or cannot be asked.
    #[default]
    Unknown,
    /// The topic's settings remove nothing by age.
    ForEver,
    /// Kafka may remove the record from this moment on, in milliseconds since 1970.
    Until(i64),
    /// Kafka removes records as newer ones of the same key come.
    Compacted,
}

impl HistoryExpiry {
    /// Returns the seconds until the oldest record may be removed: 0 if it may be gone already, NaN if that is not known.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers; exact up to 2^53")]
    pub fn seconds(self, now_millis: i64) -> f64 {
        match self {
            HistoryExpiry::Unknown => f64::NAN,
            HistoryExpiry::ForEver => f64::INFINITY,
            HistoryExpiry::Until(millis) => millis.saturating_sub(now_millis).max(0) as f64 / 1000.0,
            HistoryExpiry::Compacted => 0.0,
        }
    }
}

/// The settings of a topic about the time for which its records stay, as `/status` shows them. They are `null` until the cluster
/// has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    /// The topic's name in the cluster.
    pub topic: String,
    /// The policy as the cluster writes it: `delete`, `compact`, or both.
    pub cleanup_policy: Option<String>,
    /// The milliseconds for which records stay; -1 if they stay for ever.
    pub retention_ms: Option<i64>,
    /// Number of bytes that each partition keeps at most; -1 without a limit.
    pub retention_bytes: Option<i64>,
    /// The time at which the oldest record was written that the topic still has, RFC 3339; only known if it will be removed.
    pub oldest_record_at: Option<String>,
    /// The time from which Kafka may remove that record, RFC 3339.
    pub oldest_record_goes_at: Option<String>,
    /// The reason for which a rebuild may one day miss records of this topic, or for which that is not known.
    pub warning: Option<String>,
    /// The time up to which the topic keeps its oldest record, for the metrics.
    #[serde(skip)]
    pub expiry: HistoryExpiry,
    /// The rules by which the topic removes records, for the metrics.
    #[serde(skip)]
    pub limits: HistoryLimits,
}

/// The rules by which a topic removes records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryLimits {
    /// True if records are removed as they grow old.
    pub age: bool,
    /// True if the oldest records are removed as a partition grows.
    pub size: bool,
    /// True if records are removed as newer ones of the same key come.
    pub compaction: bool,
}

/// The parts of the status beside the projector's own report.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    stands_still: AtomicBool,
    standstill: Mutex<Option<Standstill>>,
    topics: Mutex<Vec<TopicReport>>,
    rebuild: Mutex<Option<RebuildReport>>,
}

impl Supervision {
    pub(super) fn set_standstill(&self, standstill: Option<Standstill>) {
        let mut guard = self.standstill.lock();
        self.stands_still.store(standstill.is_some(), Ordering::Release);
        *guard = standstill;
    }

    pub(super) fn set_topics(&self, topics: Vec<TopicReport>) {
        *self.topics.lock() = topics;
    }

    pub(super) fn set_rebuild(&self, rebuild: Option<RebuildReport>) {
        *self.rebuild.lock() = rebuild;
    }

    /// Returns the state of a projector whose own report has `state`.
    pub(super) fn state(&self, state: State) -> State {
        let stands_still = self.stands_still.load(Ordering::Acquire);
        if stands_still && state != State::Stopping { State::Stalled } else { state }
    }

    /// Adds these parts to the projector's own report.
    pub(super) fn complete(&self, report: &mut Report) {
        report.topics.clone_from(&self.topics.lock());
        report.rebuild.clone_from(&self.rebuild.lock());
        let guard = self.standstill.lock();
        let Some(standstill) = &*guard else { return };
        if report.state != State::Stopping {
            report.state = State::Stalled;
        }
        report.stalled_stages.clone_from(&standstill.stages);
        let since = standstill.stages.first().map(|stall| stall.since.clone());
        // All times have one form, so that the earlier one is the lesser text.
        report.last_error_since = report.last_error_since.take().into_iter().chain(since).min();
        report.last_error = Some(match report.last_error.take() {
            Some(error) => format!("{}; besides: {error}", standstill.text),
            None => standstill.text.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    const SINCE: &str = "2026-01-01T00:00:00.000Z";

    fn standstill() -> Standstill {
        let stages = vec![StageStall { stage: "sync", since: SINCE.to_owned() }];
        Standstill { stages, text: "it stands still".to_owned() }
    }

    fn live() -> Status {
        let status = Status::new(1);
        status.set_state(State::Live);
        status
    }

    #[test]
    fn a_projector_that_stands_still_is_stalled_whatever_its_own_report_states() {
        let status = live();
        status.set_standstill(Some(standstill()));
        status.set_state(State::Live);
        status.set_error(Some("the broker is away".to_owned()));
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Stalled, State::Stalled));
        assert_eq!(report.last_error.as_deref(), Some("it stands still; besides: the broker is away"));
        assert_eq!(report.stalled_stages, standstill().stages);
        assert_eq!(report.last_error_since.as_deref(), Some(SINCE), "the earlier of the two");
        status.set_standstill(None);
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Live, State::Live));
        assert_eq!(report.last_error.as_deref(), Some("the broker is away"));
        assert_eq!(report.stalled_stages.len(), 0);
    }

    #[test]
    fn one_that_is_about_to_end_stays_that_and_still_names_the_stage() {
        let status = live();
        status.set_state(State::Stopping);
        status.set_standstill(Some(standstill()));
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Stopping, State::Stopping));
        assert_eq!(report.stalled_stages.len(), 1);
    }

    #[test]
    fn reports_of_topics_and_stages_stay_when_another_generation_is_followed() {
        let (shown, next) = (live(), live());
        shown.set_standstill(Some(standstill()));
        shown.set_topics(vec![TopicReport { topic: "jobs".to_owned(), ..TopicReport::default() }]);
        shown.follow(&next);
        let report = shown.report();
        assert_eq!((report.state, report.topics.len()), (State::Stalled, 1));
        assert_eq!((next.report().state, next.report().topics.len()), (State::Live, 0));
    }

    #[test]
    fn what_is_left_of_a_history_is_never_less_than_nothing() {
        for (left, seconds) in [
            (HistoryExpiry::ForEver, f64::INFINITY),
            (HistoryExpiry::Until(12_500), 2.5),
            (HistoryExpiry::Until(1), 0.0),
            (HistoryExpiry::Compacted, 0.0),
        ] {
            assert_eq!(left.seconds(10_000).to_bits(), seconds.to_bits(), "{left:?}");
        }
        assert!(HistoryExpiry::Unknown.seconds(10_000).is_nan());
    }
}
