use std::time::Duration;

use super::super::super::queries::{IdAnswer, OffsetAnswer};
use super::super::identity::UNANSWERED_AT_MOST;
use super::*;
use crate::domain::{TopicId, TopicPartition};

const PARTITION: TopicPartition = TopicPartition::new(Topic::Jobs, 0);

fn looked(partitions: &[TopicPartition], troubles: &[&str]) -> TopicScan {
    let troubles = troubles.iter().map(|trouble| (*trouble).to_owned()).collect();
    TopicScan { partitions: partitions.to_vec(), brokers: vec![1], cluster_id: Some("one".to_owned()), troubles }
}

fn id(number: i64) -> TopicId {
    TopicId { most_significant: 1, least_significant: number }
}

/// Returns a round in which each of these partitions gets `answer` to each request for a bound.
fn round(asked_at: Instant, partitions: &[TopicPartition], answer: OffsetAnswer, id: Option<IdAnswer>) -> Round {
    let mut round = Round::new(asked_at);
    for &TopicPartition { topic, partition } in partitions {
        for bound in Bound::ALL {
            round.offsets.insert((topic, partition, bound), answer);
        }
        round.ids.extend(id.map(|id| (topic, Some(1), id)));
    }
    round
}

fn time(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

#[test]
fn a_partition_is_given_once_its_bounds_and_its_topic_are_known() {
    let now = Instant::now();
    let mut state = ClusterState::new(TopicNames::default());
    assert!(state.take_scan(looked(&[PARTITION], &[]), now));
    assert!(!state.take_scan(looked(&[PARTITION], &[]), now), "it is known by now");
    assert!(state.take_found().is_empty() && !state.is_complete());
    let silent = Some(Err(RDKafkaErrorCode::OperationTimedOut));
    state.take_round(&round(now, &[PARTITION], Ok(7), silent), None, now, time(0));
    assert!(state.take_found().is_empty(), "of which topic it is, is not known");
    state.take_round(&round(now, &[PARTITION], Ok(8), Some(Ok(Some(id(1))))), None, now, time(1));
    let found = state.take_found();
    assert_eq!(
        found,
        [FoundPartition {
            partition: TopicPartition::new(Topic::Jobs, 0),
            watermarks: Watermarks { low: 8, high: 8 }
        }]
    );
    assert!(state.is_complete());
    assert_eq!(state.take_found(), []);
    assert_eq!(state.observation(TopicPartition::new(Topic::Jobs, 0)).unwrap().topic_id, Some(id(1)));
}

#[test]
fn a_topic_whose_id_nobody_gives_is_read_all_the_same() {
    for silent in [Ok(None), Err(RDKafkaErrorCode::OperationTimedOut)] {
        let now = Instant::now();
        let mut state = ClusterState::new(TopicNames::default());
        state.take_scan(looked(&[PARTITION], &[]), now);
        for _ in 0..UNANSWERED_AT_MOST {
            state.take_round(&round(now, &[PARTITION], Ok(7), Some(silent)), None, now, time(0));
        }
        assert_eq!(state.take_found().len(), 1, "{silent:?}");
        assert_eq!(state.observation(TopicPartition::new(Topic::Jobs, 0)).unwrap().topic_id, None);
    }
}

#[test]
fn a_topic_that_is_not_there_is_trouble_and_keeps_all_from_being_complete() {
    let now = Instant::now();
    let mut state = ClusterState::new(TopicNames::default());
    state.take_scan(looked(&[PARTITION], &["no runs"]), now);
    state.take_round(&round(now, &[PARTITION], Ok(7), Some(Ok(Some(id(1))))), None, now, time(0));
    assert_eq!(state.take_found().len(), 1);
    assert!(!state.is_complete());
    assert_eq!(state.trouble().as_deref(), Some("no runs"));
    state.take_scan(looked(&[PARTITION], &[]), now);
    assert!(state.take_found().is_empty() && state.is_complete());
    assert_eq!(state.trouble(), None);
}

#[test]
fn a_leader_that_is_away_costs_only_its_own_partitions() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let (near, far) = (TopicPartition::new(Topic::Jobs, 0), TopicPartition::new(Topic::Jobs, 1));
    let mut state = ClusterState::new(TopicNames::default());
    state.take_scan(looked(&[near, far], &[]), now);
    state.take_round(&round(now, &[near, far], Ok(7), Some(Ok(None))), None, now, time(0));
    for second in 1..3 {
        let mut half = round(later, &[near], Ok(9), None);
        half.offsets.extend(round(later, &[far], Err(RDKafkaErrorCode::OperationTimedOut), None).offsets);
        state.take_round(&half, None, later, time(second));
    }
    assert_eq!(state.observation(TopicPartition::new(Topic::Jobs, 0)).unwrap().asked_at, later);
    assert_eq!(state.partition_error(TopicPartition::new(Topic::Jobs, 0)), None);
    assert_eq!(
        state.observation(TopicPartition::new(Topic::Jobs, 1)).unwrap().asked_at,
        now,
        "it is as old as it is"
    );
    let error = state.partition_error(TopicPartition::new(Topic::Jobs, 1)).unwrap();
    assert_eq!((error.code.as_str(), error.since), ("OperationTimedOut", time(1)));
    assert_eq!(state.health().error, None, "others answer");
    state.take_round(&round(later, &[near, far], Ok(9), None), None, later, time(9));
    assert_eq!(state.partition_error(TopicPartition::new(Topic::Jobs, 1)), None);
}

#[test]
fn a_cluster_that_does_not_answer_has_an_error_since_the_first_question_that_was_not_answered() {
    let now = Instant::now();
    let mut state = ClusterState::new(TopicNames::default());
    state.take_scan(looked(&[PARTITION], &[]), now);
    let silence = round(now, &[PARTITION], Err(RDKafkaErrorCode::OperationTimedOut), None);
    for second in 5..8 {
        let why = (RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down".to_owned());
        state.take_round(&silence, Some(why), now, time(second));
    }
    let health = state.health();
    assert_eq!(health.last_answer, Some(now), "of the look");
    let error = health.error.unwrap();
    assert_eq!((error.code.as_str(), error.since), ("AllBrokersDown", time(5)));
    let later = now + Duration::from_secs(1);
    state.take_round(&round(later, &[PARTITION], Ok(1), None), None, later, time(9));
    assert_eq!(state.health(), ClusterHealth { last_answer: Some(later), ..ClusterHealth::default() });
}

#[test]
fn a_deleted_topic_is_an_error_of_its_partitions_and_another_ones_id_is_seen() {
    let now = Instant::now();
    let mut state = ClusterState::new(TopicNames::default());
    state.take_scan(looked(&[PARTITION], &[]), now);
    state.take_round(&round(now, &[PARTITION], Ok(7), Some(Ok(Some(id(1))))), None, now, time(0));
    let gone = RDKafkaErrorCode::UnknownTopicOrPartition;
    state.take_round(&round(now, &[PARTITION], Err(gone), Some(Err(gone))), None, now, time(1));
    let error = state.partition_error(TopicPartition::new(Topic::Jobs, 0)).unwrap();
    assert!(error.text.contains("jobs/0 is not there") && error.code == "UnknownTopicOrPartition", "{error:?}");
    assert_eq!(state.observation(TopicPartition::new(Topic::Jobs, 0)).unwrap().topic_id, Some(id(1)));
    // A topic that was created again with fewer partitions behaves so.
    for (second, expected) in [(2, id(1)), (3, id(2))] {
        state.take_round(&round(now, &[PARTITION], Err(gone), Some(Ok(Some(id(2))))), None, now, time(second));
        assert_eq!(
            state.observation(TopicPartition::new(Topic::Jobs, 0)).unwrap().topic_id,
            Some(expected),
            "asked twice"
        );
    }
}

/// The answers of the brokers about the partition at one second.
type BrokerAnswers<'a> = &'a [(i32, IdAnswer)];

/// Returns a state that knows a partition on a cluster of brokers 1 and 2, and a function that takes in a round at
/// one second.
fn of_two_brokers() -> (ClusterState, impl Fn(&mut ClusterState, i64, BrokerAnswers<'_>)) {
    let begin = Instant::now();
    let mut state = ClusterState::new(TopicNames::default());
    state.take_scan(TopicScan { brokers: vec![1, 2], ..looked(&[PARTITION], &[]) }, begin);
    let say = move |state: &mut ClusterState, second: i64, answers: BrokerAnswers<'_>| {
        let asked_at = begin + Duration::from_secs(second.cast_unsigned());
        let mut round = round(asked_at, &[PARTITION], Ok(second), None);
        round.ids = answers.iter().map(|&(broker, answer)| (Topic::Jobs, Some(broker), answer)).collect();
        state.take_round(&round, None, asked_at, time(second));
    };
    (state, say)
}

/// Returns the believed id of the topic, and the end of the partition.
fn believed(state: &ClusterState) -> Option<(i64, i64)> {
    let observed = state.observation(TopicPartition::new(Topic::Jobs, 0))?;
    Some((observed.topic_id?.least_significant, observed.high))
}

#[test]
fn an_id_that_one_broker_alone_gives_is_not_believed_while_others_say_otherwise() {
    let (mut state, say) = of_two_brokers();
    assert!(state.wants_second_opinion());
    // Broker 1 lags behind, and gives the id of the previous topic.
    say(&mut state, 1, &[(1, Ok(Some(id(7)))), (2, Ok(Some(id(8))))]);
    assert!(state.take_found().is_empty(), "which of them it is, is not known");
    assert!(state.partition_error(TopicPartition::new(Topic::Jobs, 0)).unwrap().text.contains("do not agree"));
    say(&mut state, 2, &[(1, Ok(Some(id(8)))), (2, Ok(Some(id(8))))]);
    assert_eq!(state.take_found().len(), 1);
    assert_eq!(believed(&state), Some((8, 2)));
    assert_eq!(state.partition_error(TopicPartition::new(Topic::Jobs, 0)), None);
    assert!(!state.wants_second_opinion(), "one is enough as long as it says the same");
    // A restarted broker gives the previous id once more.
    let since = Instant::now() + Duration::from_secs(3);
    say(&mut state, 3, &[(1, Ok(Some(id(7))))]);
    assert!(state.wants_second_opinion());
    assert_eq!(believed(&state), Some((8, 2)), "nothing is confirmed by what may be another topic");
    say(&mut state, 4, &[(1, Ok(Some(id(7)))), (2, Ok(Some(id(8))))]);
    assert_eq!(believed(&state), Some((8, 2)));
    assert!(!state.is_confirmed_since(Topic::Jobs, since));
    say(&mut state, 5, &[(1, Ok(Some(id(8)))), (2, Ok(Some(id(8))))]);
    assert_eq!(believed(&state), Some((8, 5)));
}

#[test]
fn a_topic_that_was_created_again_is_seen_once_two_brokers_say_so() {
    let (mut state, say) = of_two_brokers();
    say(&mut state, 1, &[(1, Ok(Some(id(7)))), (2, Ok(Some(id(7))))]);
    say(&mut state, 2, &[(1, Ok(Some(id(8))))]);
    assert_eq!(believed(&state), Some((7, 1)));
    say(&mut state, 3, &[(2, Ok(Some(id(8)))), (1, Ok(Some(id(8))))]);
    assert_eq!(believed(&state), Some((8, 3)));
}

#[test]
fn a_broker_that_answers_alone_is_believed_once_it_has_said_the_same_three_times() {
    let (mut state, say) = of_two_brokers();
    let silent = Err(RDKafkaErrorCode::OperationTimedOut);
    for second in 1..=3 {
        assert_eq!(state.take_found().len(), 0, "{second}");
        say(&mut state, second, &[(1, Ok(Some(id(7)))), (2, silent)]);
    }
    assert_eq!(state.take_found().len(), 1);
    for second in 4..=6 {
        assert_eq!(believed(&state), Some((7, 3)), "{second}");
        say(&mut state, second, &[(1, Ok(Some(id(8)))), (2, silent)]);
    }
    assert_eq!(believed(&state), Some((8, 6)));
}

#[test]
fn an_error_within_an_answer_about_ids_is_one_and_another_broker_s_answer_is_taken() {
    let (mut state, say) = of_two_brokers();
    let failed = Err(RDKafkaErrorCode::Unknown);
    say(&mut state, 1, &[(1, failed), (2, failed)]);
    assert_eq!(state.partition_error(TopicPartition::new(Topic::Jobs, 0)).unwrap().code, "Unknown");
    for second in 2..=4 {
        say(&mut state, second, &[(1, failed), (2, Ok(Some(id(7))))]);
    }
    assert_eq!(believed(&state), Some((7, 4)));
    assert_eq!(state.partition_error(TopicPartition::new(Topic::Jobs, 0)), None);
    let mut round = round(Instant::now(), &[], Ok(0), None);
    assert!(!round.has_id_error());
    round.ids.push((Topic::Jobs, Some(1), failed));
    assert!(round.has_id_error(), "the next broker is asked");
}
