//! The identity of the topic that a name stands for. A topic that is deleted and created again has another id,
//! which permanently stops the reading of its predecessor. So an id is believed only if two brokers give it, since
//! one may lag behind the others. Pure.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::{DateTime, Utc};
use rdkafka::types::RDKafkaErrorCode;

use super::super::queries::IdAnswer;
use super::round::{Round, explain, is_broker_code, set_standing};
use crate::domain::TopicId;
use crate::source::StandingError;

/// Number of unanswered requests after which a topic counts as having no id, if other requests were answered.
pub(super) const UNANSWERED_AT_MOST: u32 = 5;
/// Number of brokers that must give an id before it is believed, if there are as many: one of them may lag behind
/// the others.
const BROKERS_THAT_AGREE: usize = 2;
/// Number of rounds after which the only answering broker is believed, if it always gives the same id.
const ROUNDS_OF_ONE_BROKER: u32 = 3;
/// Number of rounds in which another id must be given before it replaces the believed one.
const ROUNDS_OF_A_CHANGE: u32 = 2;

/// The topic that a name stands for at present, according to the brokers.
#[derive(Default)]
pub struct TopicIdentity {
    pub id: Option<TopicId>,
    /// The time of the request whose answer last gave the believed id.
    pub asked_at: Option<Instant>,
    /// True once the id is known, or known not to be given.
    pub is_settled: bool,
    unanswered: u32,
    /// The answer that has been given lately and is not believed yet.
    candidate: Option<Candidate>,
    pub error: Option<StandingError>,
}

/// An id that some brokers have given in consecutive rounds.
#[derive(Default)]
struct Candidate {
    id: Option<TopicId>,
    brokers: BTreeSet<Option<i32>>,
    rounds: u32,
}

impl TopicIdentity {
    /// Returns true if the last answers differ from the believed id.
    pub fn is_doubtful(&self) -> bool {
        self.is_settled && self.candidate.is_some()
    }

    /// Takes in one round's answers of the asked brokers. `brokers` is the number of brokers of the cluster.
    pub fn take(
        &mut self,
        name: &str,
        answers: &[(Option<i32>, IdAnswer)],
        brokers: usize,
        round: &Round,
        time: DateTime<Utc>,
    ) {
        let given: Vec<(Option<i32>, Option<TopicId>)> =
            answers.iter().filter_map(|&(broker, answer)| Some((broker, answer.ok()?))).collect();
        if given.is_empty() {
            return self.take_errors(name, answers, round, time);
        }
        self.unanswered = 0;
        // Brokers of several versions may answer in turn, some of which give no ids.
        let ids: BTreeSet<TopicId> = given.iter().filter_map(|(_, id)| *id).collect();
        let Some(id) = single(&ids) else {
            self.candidate = Some(Candidate::default());
            let text = format!(
                "the topic `{name}`: the brokers do not agree on its id, as happens while it is created again"
            );
            return set_standing(&mut self.error, RDKafkaErrorCode::UnknownTopicId, text, time);
        };
        let is_known = self.is_settled && (id.is_none() || id == self.id);
        if is_known || self.is_agreed(id, &given, brokers) {
            self.id = id.or(self.id);
            self.asked_at = Some(round.asked_at);
            (self.is_settled, self.candidate, self.error) = (true, None, None);
        }
    }

    /// Counts the brokers that gave an id that is not believed yet. Returns true if it is to be believed now.
    fn is_agreed(
        &mut self,
        id: Option<TopicId>,
        given: &[(Option<i32>, Option<TopicId>)],
        brokers: usize,
    ) -> bool {
        let held = self.candidate.take().filter(|candidate| candidate.id == id);
        let mut candidate = held.unwrap_or(Candidate { id, ..Candidate::default() });
        candidate.brokers.extend(given.iter().map(|(broker, _)| *broker));
        candidate.rounds += 1;
        let is_sure = !self.is_settled || candidate.rounds >= ROUNDS_OF_A_CHANGE;
        let is_agreed = is_sure && candidate.brokers.len() >= BROKERS_THAT_AGREE.min(brokers)
            || candidate.rounds >= ROUNDS_OF_ONE_BROKER;
        self.candidate = Some(candidate);
        is_agreed
    }

    fn take_errors(
        &mut self,
        name: &str,
        answers: &[(Option<i32>, IdAnswer)],
        round: &Round,
        time: DateTime<Utc>,
    ) {
        if let Some(code) = answers.iter().filter_map(|(_, answer)| answer.err()).find(is_broker_code) {
            set_standing(&mut self.error, code, explain(code, name, None), time);
        } else {
            self.unanswered += u32::from(round.is_answered());
            self.is_settled |= self.unanswered >= UNANSWERED_AT_MOST;
        }
    }
}

/// Returns the only id, or `Some(None)` if there are none; `None` if they differ.
fn single(ids: &BTreeSet<TopicId>) -> Option<Option<TopicId>> {
    (ids.len() <= 1).then(|| ids.first().copied())
}
