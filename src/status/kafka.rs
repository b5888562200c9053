//! The freshness of each partition, and the cluster's answers. Each has the instants that a report computes its ages from.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::state::State;

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
    /// True if the cluster has answered within [`KNOWN_FOR`]. It is computed at each report, as the ages are.
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
    /// Returns the report of a cluster that has answered nothing since it was first asked.
    pub fn unanswered(asked_since: Instant) -> KafkaReport {
        KafkaReport {
            up: false,
            cluster_id: None,
            last_answer_seconds_ago: None,
            error: None,
            error_code: None,
            error_since: None,
            renewals: 0,
            last_renewal_at: None,
            last_answer: None,
            asked_since,
        }
    }

    /// Returns the seconds since the last answer, or since the cluster was first asked if it never answered.
    pub fn seconds_unanswered(&self, now: Instant) -> f64 {
        seconds(now, self.last_answer.unwrap_or(self.asked_since))
    }

    /// Computes the ages, and what follows from them, as of `now`.
    pub(super) fn count_ages(&mut self, now: Instant) {
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

pub(super) fn seconds(now: Instant, since: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn a_cluster_that_never_answered_is_not_up() {
        let begin = Instant::now();
        let mut kafka = KafkaReport { up: true, ..KafkaReport::unanswered(begin) };
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
