//! One round of requests about the topics: its answers, and what their errors mean.

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use rdkafka::types::RDKafkaErrorCode;

use super::super::queries::{Bound, IdAnswer, OffsetAnswer};
use crate::domain::Topic;
use crate::source::StandingError;

/// One round of requests with its answers.
pub struct Round {
    /// The time at which the requests were sent.
    pub asked_at: Instant,
    pub offsets: BTreeMap<(Topic, i32, Bound), OffsetAnswer>,
    /// The answers of the asked brokers about each topic. The broker is `None` if librdkafka chose it.
    pub ids: Vec<(Topic, Option<i32>, IdAnswer)>,
}

impl Round {
    pub fn new(asked_at: Instant) -> Round {
        Round { asked_at, offsets: BTreeMap::new(), ids: Vec::new() }
    }

    /// Returns true if any broker has answered any request.
    pub fn is_answered(&self) -> bool {
        let is_answer = |code: &RDKafkaErrorCode| matches!(code, RDKafkaErrorCode::TopicAuthorizationFailed);
        self.offsets.values().any(|answer| answer.as_ref().map_or_else(is_answer, |_| true))
            || self.ids.iter().any(|(_, _, answer)| answer.as_ref().map_or_else(is_broker_code, |_| true))
    }

    /// Returns true if a broker knows an older epoch of a partition than the client does. The client would believe
    /// its own for ever.
    pub fn is_of_older_epoch(&self) -> bool {
        self.offsets.values().any(|answer| *answer == Err(RDKafkaErrorCode::UnknownLeaderEpoch))
    }

    /// Returns true if a broker answered with an error instead of the id of some topic.
    pub fn has_id_error(&self) -> bool {
        self.ids.iter().any(|(_, _, answer)| answer.is_err())
    }

    /// Returns true if a partition's leader was not the broker that the client asked.
    pub fn is_misdirected(&self) -> bool {
        self.offsets.values().any(|answer| answer.as_ref().is_err_and(is_broker_code))
    }
}

/// Returns true if a broker sent the code. librdkafka's own errors have lower numbers.
pub fn is_broker_code(code: &RDKafkaErrorCode) -> bool {
    *code as i32 > RDKafkaErrorCode::End as i32
}

/// Sets the error. It dates from `time` unless an error stood before.
pub fn set_standing(held: &mut Option<StandingError>, code: RDKafkaErrorCode, text: String, time: DateTime<Utc>) {
    let since = held.as_ref().map_or(time, |held| held.since);
    *held = Some(StandingError { code: format!("{code:?}"), text, since });
}

pub fn explain(code: RDKafkaErrorCode, name: &str, partition: Option<i32>) -> String {
    use RDKafkaErrorCode as Code;
    let what = partition.map_or_else(|| format!("the topic `{name}`"), |partition| format!("{name}/{partition}"));
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            format!("{what} is not there: it was deleted, or optview may not see it ({code})")
        }
        Code::TopicAuthorizationFailed => {
            format!("{what}: the cluster does not let optview's user see it; give it the right DESCRIBE ({code})")
        }
        Code::OperationTimedOut | Code::NoEnt => format!("{what}: the broker that leads it does not answer"),
        code => format!("{what}: the cluster did not report where it ends: {code}"),
    }
}
