//! The state of the cluster as its answers show it: the partitions, their ends, the identity of the topics, and
//! the errors that keep the cluster from answering. Pure: the caller passes the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, Utc};
use rdkafka::types::RDKafkaErrorCode;

use super::super::queries::Bound;
use super::identity::TopicIdentity;
use super::round::{Round, explain, set_standing};
use crate::domain::{Topic, TopicPartition};
use crate::source::{ClusterHealth, PartitionObservation, StandingError, TopicNames, Watermarks};

/// A partition that was not known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    pub partition: TopicPartition,
    pub watermarks: Watermarks,
}

/// The result of a scan of the topics.
#[derive(Clone, Debug, Default)]
pub struct TopicScan {
    pub partitions: Vec<TopicPartition>,
    pub brokers: Vec<i32>,
    pub cluster_id: Option<String>,
    /// The errors of topics that could not be scanned, one for each.
    pub troubles: Vec<String>,
}

pub struct ClusterState {
    names: TopicNames,
    partitions: BTreeMap<TopicPartition, PartitionState>,
    topics: BTreeMap<Topic, TopicIdentity>,
    brokers: Vec<i32>,
    /// True once all topics existed at the same time.
    all_there: bool,
    /// True once all partitions of all topics existed and were returned.
    is_complete: bool,
    last_answer: Option<Instant>,
    error: Option<StandingError>,
    cluster_id: Option<String>,
    troubles: Vec<String>,
}

#[derive(Default)]
struct PartitionState {
    bounds: Option<BoundAnswers>,
    error: Option<StandingError>,
    is_given: bool,
}

#[derive(Clone, Copy)]
struct BoundAnswers {
    low: i64,
    last_stable: i64,
    high: i64,
    asked_at: Instant,
}

impl ClusterState {
    pub fn new(names: TopicNames) -> ClusterState {
        ClusterState {
            names,
            partitions: BTreeMap::new(),
            topics: BTreeMap::new(),
            brokers: Vec::new(),
            all_there: false,
            is_complete: false,
            last_answer: None,
            error: None,
            cluster_id: None,
            troubles: Vec::new(),
        }
    }

    /// Takes in a scan of the topics. Returns true if it found a new partition.
    pub fn take_scan(&mut self, look: TopicScan, now: Instant) -> bool {
        let TopicScan { partitions, brokers, cluster_id, troubles } = look;
        // A cluster that names its brokers has answered, even if the topics do not exist.
        if !partitions.is_empty() || !brokers.is_empty() {
            self.answered(now);
        }
        let known = self.partitions.len();
        for key in partitions {
            self.partitions.entry(key).or_default();
        }
        if !brokers.is_empty() {
            self.brokers = brokers;
        }
        self.cluster_id = cluster_id.or(self.cluster_id.take());
        self.all_there |= troubles.is_empty();
        self.troubles = troubles;
        self.partitions.len() > known
    }

    /// Takes in a round of requests. `why` is librdkafka's reason for a cluster that does not answer.
    pub fn take_round(
        &mut self,
        round: &Round,
        why: Option<(RDKafkaErrorCode, String)>,
        now: Instant,
        time: DateTime<Utc>,
    ) {
        if round.is_answered() {
            self.answered(now);
        } else {
            let (code, text) = why.unwrap_or_else(|| {
                let text = "no broker has answered within the time that it has".to_owned();
                (RDKafkaErrorCode::OperationTimedOut, text)
            });
            set_standing(&mut self.error, code, text, time);
        }
        for topic in Topic::ALL {
            let of_topic = round.ids.iter().filter(|(asked, _, _)| *asked == topic);
            let answers: Vec<_> = of_topic.map(|&(_, broker, answer)| (broker, answer)).collect();
            if !answers.is_empty() {
                let (name, brokers) = (self.names.get(topic), self.brokers.len());
                self.topics.entry(topic).or_default().take(name, &answers, brokers, round, time);
            }
        }
        let asked: BTreeSet<TopicPartition> =
            round.offsets.keys().map(|&(topic, partition, _)| TopicPartition::new(topic, partition)).collect();
        for key in asked {
            let name = self.names.get(key.topic);
            let answer = |bound| round.offsets.get(&(key.topic, key.partition, bound)).copied();
            let answers =
                Bound::ALL.map(|bound| answer(bound).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut)));
            let observed = self.partitions.entry(key).or_default();
            match answers {
                // The bounds may be those of another topic.
                [Ok(_), Ok(_), Ok(_)] if self.topics.get(&key.topic).is_some_and(TopicIdentity::is_doubtful) => {}
                [Ok(low), Ok(last_stable), Ok(high)] => {
                    observed.bounds = Some(BoundAnswers { low, last_stable, high, asked_at: round.asked_at });
                    observed.error = None;
                }
                answers => {
                    let code = answers.into_iter().find_map(Result::err).unwrap_or(RDKafkaErrorCode::Unknown);
                    set_standing(&mut observed.error, code, explain(code, name, Some(key.partition)), time);
                }
            }
        }
    }

    /// Notes that the cluster has answered at all.
    fn answered(&mut self, now: Instant) {
        self.last_answer = Some(now);
        self.error = None;
    }

    /// Returns every partition that is asked about.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.partitions.keys().copied().collect()
    }

    /// Returns the topics that have known partitions.
    pub fn topics(&self) -> Vec<Topic> {
        Topic::ALL.into_iter().filter(|topic| self.partitions.keys().any(|held| held.topic == *topic)).collect()
    }

    /// Returns true if a second broker must be asked for the ids, because one broker's answer alone is not
    /// believed yet.
    pub fn wants_second_opinion(&self) -> bool {
        let topics = self.topics();
        topics.iter().any(|topic| {
            self.topics.get(topic).is_none_or(|identity| !identity.is_settled || identity.is_doubtful())
        })
    }

    pub fn brokers(&self) -> &[i32] {
        &self.brokers
    }

    /// Takes the partitions that became readable since the last call: their bounds and the identity of their topic
    /// are known.
    pub fn take_found(&mut self) -> Vec<FoundPartition> {
        let mut found = Vec::new();
        for (&partition, observed) in &mut self.partitions {
            let is_settled = self.topics.get(&partition.topic).is_some_and(|identity| identity.is_settled);
            if let Some(BoundAnswers { low, last_stable, .. }) = observed.bounds
                && is_settled
                && !std::mem::replace(&mut observed.is_given, true)
            {
                found.push(FoundPartition { partition, watermarks: Watermarks { low, high: last_stable } });
            }
        }
        self.is_complete |= self.all_there && self.partitions.values().all(|observed| observed.is_given);
        found
    }

    /// Returns true once all partitions of all topics were found and returned by [`ClusterState::take_found`].
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub fn last_answer(&self) -> Option<Instant> {
        self.last_answer
    }

    pub fn cluster_id(&self) -> Option<String> {
        self.cluster_id.clone()
    }

    /// Returns the errors that keep partitions from being found.
    pub fn trouble(&self) -> Option<String> {
        let not_given = self.partitions.iter().filter(|(_, observed)| !observed.is_given);
        let errors = not_given.filter_map(|(_, observed)| Some(observed.error.as_ref()?.text.clone()));
        let troubles: BTreeSet<String> = self.troubles.iter().cloned().chain(errors).collect();
        (!troubles.is_empty()).then(|| troubles.into_iter().collect::<Vec<_>>().join("; "))
    }

    pub fn observation(&self, partition: TopicPartition) -> Option<PartitionObservation> {
        let BoundAnswers { low, last_stable, high, asked_at } = self.partitions.get(&partition)?.bounds?;
        let topic_id = self.topics.get(&partition.topic).and_then(|identity| identity.id);
        Some(PartitionObservation { topic_id, low, last_stable, high, asked_at })
    }

    /// Returns true if the cluster has confirmed the topic's id in answer to a request after `time`, or never
    /// gives ids.
    pub fn is_confirmed_since(&self, topic: Topic, time: Instant) -> bool {
        self.topics.get(&topic).is_some_and(|identity| match identity.asked_at {
            Some(asked_at) => asked_at >= time,
            None => identity.is_settled,
        })
    }

    pub fn partition_error(&self, partition: TopicPartition) -> Option<StandingError> {
        let of_partition = self.partitions.get(&partition).and_then(|observed| observed.error.clone());
        of_partition.or_else(|| self.topics.get(&partition.topic)?.error.clone())
    }

    /// Returns the state of the connection as the observing client sees it.
    pub fn health(&self) -> ClusterHealth {
        let (last_answer, error) = (self.last_answer, self.error.clone());
        ClusterHealth { last_answer, error, ..ClusterHealth::default() }
    }
}

#[cfg(test)]
mod tests;
