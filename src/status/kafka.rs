//! The freshness of each partition, and the cluster's answers. Ages are computed from instants at each report, so that
//! they grow also while nothing is written here. Values that are not known are `null`, never 0.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{PartitionReport, PartitionState, Report, State, Status};

/// The time for which an answer of the cluster counts as current. It is asked once a second.
pub const KNOWN_FOR: Duration = Duration::from_secs(10);

/// The time without a confirmation, or with a standing error, after which the views count as stale.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// The freshness of a partition, as `/status` shows it. All times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartitionFreshness {
    /// One past the newest offset that a reader of committed records may pass; `null` until the broker has answered.
    pub last_stable: Option<i64>,
    /// Number of offsets behind a transaction that is still open: readers of committed records do not get them yet.
    pub hidden_records: Option<i64>,
    /// The time since which the same transaction hides them; `null` if nothing is hidden.
    pub hidden_since: Option<String>,
    /// The time of the last question that the cluster answered with an end that had been reached.
    pub confirmed_at: Option<String>,
    /// The age of `confirmed_at` in seconds; `null` if there was no such question.
    pub confirmed_seconds_ago: Option<f64>,
    /// The error that keeps the partition from being read.
    pub error: Option<String>,
    /// The error's code: `Stopped`, or librdkafka's name of the error.
    pub error_code: Option<String>,
    /// The time since which the error stands; `null` while there is none.
    pub error_since: Option<String>,
    /// The code of the reason for which the partition has stopped, by which the run book can be looked up; `null` while it is read.
    pub stop_code: Option<&'static str>,
    /// The id of the topic that the cluster has now.
    #[serde(skip)]
    pub topic_id: Option<String>,
    /// The moments that the ages are counted from at each report.
    #[serde(skip)]
    pub instants: PartitionInstants,
}

/// The moments that a partition's ages are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionInstants {
    /// The moment at which the partition was found.
    pub found: Option<Instant>,
    /// The moment of the last question that the cluster has answered.
    pub asked: Option<Instant>,
    /// The moment of `confirmed_at`.
    pub confirmed: Option<Instant>,
    /// The moment than which no unread record is older.
    pub oldest_unread: Option<Instant>,
    /// The moment of `hidden_since`.
    pub hidden: Option<Instant>,
}

/// The moment of the last question about a partition that the cluster has answered, if any: later answers are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastAnswer(Option<Instant>);

impl PartitionInstants {
    /// Returns the moment of the last question that the cluster has answered.
    pub fn last_answer(&self) -> LastAnswer {
        LastAnswer(self.asked)
    }

    /// Returns the moments of a partition about which the cluster has answered just now, and nothing else.
    #[cfg(test)]
    pub fn asked_now() -> PartitionInstants {
        PartitionInstants { asked: Some(Instant::now()), ..PartitionInstants::default() }
    }
}

impl PartitionFreshness {
    /// Returns the seconds since the partition was last confirmed, or since it was found if it never was.
    pub fn seconds_unconfirmed(&self, now: Instant) -> Option<f64> {
        self.instants.confirmed.or(self.instants.found).map(|since| seconds(now, since))
    }

    /// Returns the seconds for which the same transaction has hidden records; 0 if none does.
    pub fn seconds_hidden(&self, now: Instant) -> f64 {
        self.instants.hidden.map_or(0.0, |since| seconds(now, since))
    }
}

/// The state of the cluster, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KafkaReport {
    /// True if the cluster has answered within [`KNOWN_FOR`].
    pub up: bool,
    /// The id of the cluster that the views are built from; `null` until the cluster has given it.
    pub cluster_id: Option<String>,
    /// The seconds since the cluster last answered; `null` if it never has.
    pub last_answer_seconds_ago: Option<f64>,
    /// The error that keeps the cluster from answering; `null` while there is none.
    pub error: Option<String>,
    /// librdkafka's name of that error.
    pub error_code: Option<String>,
    /// The time since which that error stands, RFC 3339.
    pub error_since: Option<String>,
    /// Number of times that the reading client was replaced because it heard nothing any more.
    pub renewals: u64,
    /// The time of the last such replacement, RFC 3339; `null` if there was none.
    pub last_renewal_at: Option<String>,
    /// The moment of the last answer; `None` if there was none.
    #[serde(skip)]
    pub last_answer: Option<Instant>,
    /// The moment at which the cluster was first asked.
    #[serde(skip)]
    pub asked_since: Instant,
}

impl KafkaReport {
    /// Returns the seconds since the last answer, or since the cluster was first asked if it never answered.
    pub fn seconds_unanswered(&self, now: Instant) -> f64 {
        seconds(now, self.last_answer.unwrap_or(self.asked_since))
    }

    fn count_ages(&mut self, now: Instant) {
        self.up = self.last_answer.is_some_and(|at| now.saturating_duration_since(at) <= KNOWN_FOR);
        self.last_answer_seconds_ago = self.last_answer.map(|at| seconds(now, at));
    }
}

/// The projector's judgement of its whole state. It is set in one step, so that no reader sees a state without its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The state of the whole.
    pub state: State,
    /// All errors that stand, and the time since when any has, RFC 3339.
    pub error: Option<(String, String)>,
    /// Facts that an operator should look into, though the views are right.
    pub warnings: Vec<String>,
    /// The cluster's answers.
    pub kafka: KafkaReport,
    /// The moment at which `live` becomes `stale` unless every partition is confirmed before.
    pub stale_from: Option<Instant>,
}

impl Status {
    /// Sets the projector's judgement.
    pub fn judge(&self, judgement: Judgement) {
        let Judgement { state, error, warnings, kafka, stale_from } = judgement;
        let mut report = self.lock();
        (report.last_error, report.last_error_since) = error.unzip();
        (report.warnings, report.kafka, report.stale_from) = (warnings, Some(kafka), stale_from);
        if report.state != State::Stopping {
            report.state = state;
        }
    }

    /// Sets the cluster's state from another report.
    pub fn set_kafka(&self, kafka: Option<KafkaReport>) {
        self.lock().kafka = kafka;
    }
}

impl Report {
    /// Computes the ages, and the state that follows from them, as of `now`.
    pub fn at(mut self, now: Instant) -> Report {
        self.partitions.iter_mut().for_each(|partition| partition.count_ages(now));
        if let Some(kafka) = &mut self.kafka {
            kafka.count_ages(now);
        }
        let is_any = !self.partitions.is_empty();
        self.lag_records =
            self.partitions.iter().map(|partition| partition.lag_records).sum::<Option<i64>>().filter(|_| is_any);
        self.lag_seconds = (self.partitions.iter())
            .try_fold(0.0, |lag: f64, partition| Some(lag.max(partition.lag_seconds?)))
            .filter(|_| is_any);
        let state = self.state_at(now);
        if state != self.state && self.last_error.is_none() {
            self.last_error = Some(format!(
                "for {} s the projector has not confirmed that a partition is read to its end, so the views may be old: see \
                 `confirmed_at` of the partitions",
                STALE_AFTER.as_secs()
            ));
        }
        self.state = state;
        self
    }

    pub(super) fn state_at(&self, now: Instant) -> State {
        let is_stale = self.state == State::Live && self.stale_from.is_some_and(|from| now >= from);
        if is_stale { State::Stale } else { self.state }
    }
}

impl PartitionReport {
    fn count_ages(&mut self, now: Instant) {
        let PartitionInstants { asked, confirmed, oldest_unread, .. } = self.freshness.instants;
        if asked.is_none_or(|at| now.saturating_duration_since(at) > KNOWN_FOR) {
            self.lag_records = None;
        }
        self.freshness.confirmed_seconds_ago = confirmed.map(|at| seconds(now, at));
        self.lag_seconds = match self.lag_records {
            Some(0) if self.state != PartitionState::Frozen => Some(0.0),
            _ => oldest_unread.map(|since| seconds(now, since)),
        };
    }
}

fn seconds(now: Instant, since: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    fn partition(position: i64, instants: PartitionInstants) -> PartitionReport {
        PartitionReport {
            topic: "jobs".to_owned(),
            partition: 0,
            position,
            checkpoint: None,
            low: Some(0),
            high: Some(9),
            lag_records: Some(9 - position),
            lag_seconds: None,
            state: PartitionState::Live,
            freshness: PartitionFreshness { last_stable: Some(9), instants, ..PartitionFreshness::default() },
        }
    }

    #[test]
    fn ages_grow_while_nobody_writes_and_what_is_not_known_is_null() {
        let begin = Instant::now();
        let instants = PartitionInstants {
            found: Some(begin),
            asked: Some(begin),
            confirmed: Some(begin),
            oldest_unread: Some(begin),
            hidden: None,
        };
        let status = Status::new(1);
        status.set_progress(vec![partition(9, instants)], 0, 0);
        status.set_state(State::Live);
        status.lock().stale_from = Some(begin + STALE_AFTER);
        let at = |seconds| status.report().at(after(begin, seconds));
        let fresh = status.lock().clone().at(after(begin, 10));
        assert_eq!((fresh.lag_records, fresh.lag_seconds, fresh.state), (Some(0), Some(0.0), State::Live));
        let old = at(11);
        assert_eq!((old.lag_records, old.lag_seconds, old.state), (None, Some(11.0), State::Live));
        assert_eq!(old.partitions[0].freshness.confirmed_seconds_ago, Some(11.0));
        assert_eq!((at(29).state, at(29).last_error), (State::Live, None));
        assert_eq!(at(30).state, State::Stale);
        assert!(at(30).last_error.is_some_and(|error| error.contains("for 30 s")));
        let day = at(86_400);
        assert_eq!((day.lag_records, day.lag_seconds), (None, Some(86_400.0)));
    }

    #[test]
    fn the_sum_is_unknown_where_a_part_is() {
        let begin = Instant::now();
        let known = PartitionInstants { asked: Some(begin), ..PartitionInstants::default() };
        let mut report = Status::new(1).report();
        report.partitions = vec![partition(9, known), partition(9, PartitionInstants::default())];
        let report = report.at(begin);
        assert_eq!((report.partitions[0].lag_records, report.partitions[1].lag_records), (Some(0), None));
        assert_eq!((report.lag_records, report.lag_seconds), (None, None));
    }

    #[test]
    fn a_cluster_that_never_answered_is_not_up() {
        let begin = Instant::now();
        let mut kafka = KafkaReport {
            cluster_id: None,
            up: true,
            last_answer_seconds_ago: None,
            error: None,
            error_code: None,
            error_since: None,
            renewals: 0,
            last_renewal_at: None,
            last_answer: None,
            asked_since: begin,
        };
        kafka.count_ages(begin);
        assert!(!kafka.up);
        assert_eq!(kafka.seconds_unanswered(after(begin, 720)), 720.0);
        kafka.last_answer = Some(after(begin, 720));
        kafka.count_ages(after(begin, 730));
        assert!(kafka.up);
        kafka.count_ages(after(begin, 731));
        assert_eq!((kafka.up, kafka.last_answer_seconds_ago), (false, Some(11.0)));
    }
}
