//! Which topic a name stands for. A topic that is deleted and created again has another id, and stops what has been read of the
//! one before, for good; so an id is believed only where two brokers give it, as one may lag behind the others. Pure.

use std::collections::BTreeSet;
use std::time::Instant;

use chrono::{DateTime, Utc};
use rdkafka::types::RDKafkaErrorCode;

use super::super::queries::IdAnswer;
use super::state::{Round, explain, is_broker_code, set_standing};
use crate::domain::TopicId;
use crate::source::StandingError;

/// After so many questions that nobody answered, though others were answered, a topic is taken to have no id.
pub(super) const UNANSWERED_AT_MOST: u32 = 5;
/// So many brokers must give an id before it is believed, where there are as many: one of them may lag behind the others.
const BROKERS_THAT_AGREE: usize = 2;
/// After so many rounds in which only one broker answers, and always gives the same id, it is believed alone.
const ROUNDS_OF_ONE_BROKER: u32 = 3;
/// In so many rounds another id than the one that is believed must be given.
const ROUNDS_OF_A_CHANGE: u32 = 2;

/// Which topic a name stands for now, as far as the brokers say so.
#[derive(Default)]
pub struct TopicIdentity {
    pub id: Option<TopicId>,
    /// When the question was sent that was answered last with the id that is believed.
    pub asked_at: Option<Instant>,
    /// Set once the id is known, or known not to be given.
    pub is_settled: bool,
    unanswered: u32,
    /// What has been answered lately and is not believed yet.
    candidate: Option<Candidate>,
    pub error: Option<StandingError>,
}

/// An id that some brokers have given, in so many rounds one after another.
#[derive(Default)]
struct Candidate {
    id: Option<TopicId>,
    brokers: BTreeSet<Option<i32>>,
    rounds: u32,
}

impl TopicIdentity {
    /// Whether the last answers were not those that are believed, or not all of them.
    pub fn is_doubtful(&self) -> bool {
        self.is_settled && self.candidate.is_some()
    }

    /// Takes in what each of the brokers that were asked says. `brokers` is how many there are.
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
        // Brokers of several versions may answer in turn, of which some give no ids.
        let ids: BTreeSet<TopicId> = given.iter().filter_map(|(_, id)| *id).collect();
        let Some(id) = single(&ids) else {
            self.candidate = Some(Candidate::default());
            let text = format!(
                "the topic `{name}`: the brokers do not agree which one it is, as while it is created again"
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

    /// Counts who has given an id that is not believed yet. Gives whether it is to be believed now.
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
        let codes = || answers.iter().filter_map(|(_, answer)| answer.err());
        if let Some(code) = codes().find(is_broker_code) {
            set_standing(&mut self.error, code, explain(code, name, None), time);
        } else {
            self.unanswered += u32::from(round.is_answered());
            self.is_settled |= self.unanswered >= UNANSWERED_AT_MOST;
        }
    }
}

/// The only one of some ids, which may be none; `None` where they differ.
fn single(ids: &BTreeSet<TopicId>) -> Option<Option<TopicId>> {
    (ids.len() <= 1).then(|| ids.first().copied())
}
