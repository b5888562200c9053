use std::time::Duration;

use super::*;

const PARTITION: (Topic, i32) = (Topic::Jobs, 0);

fn looked(partitions: &[(Topic, i32)], troubles: &[&str]) -> Look {
    let troubles = troubles.iter().map(|trouble| (*trouble).to_owned()).collect();
    Look { partitions: partitions.to_vec(), brokers: vec![1], cluster_id: Some("one".to_owned()), troubles }
}

fn id(number: i64) -> TopicId {
    TopicId { most_significant: 1, least_significant: number }
}

/// A round in which each of these partitions gets this answer to each question.
fn round(asked_at: Instant, partitions: &[(Topic, i32)], answer: OffsetAnswer, id: Option<IdAnswer>) -> Round {
    let mut round = Round::new(asked_at);
    for &(topic, partition) in partitions {
        for bound in Bound::ALL {
            round.offsets.insert((topic, partition, bound), answer);
        }
        round.ids.extend(id.map(|id| (topic, id)));
    }
    round
}

fn time(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

#[test]
fn a_partition_is_given_once_its_bounds_and_its_topic_are_known() {
    let now = Instant::now();
    let mut state = State::new(TopicNames::default());
    assert!(state.take_look(looked(&[PARTITION], &[]), now));
    assert!(!state.take_look(looked(&[PARTITION], &[]), now), "it is known by now");
    assert!(state.take_found().is_empty() && !state.is_complete());
    let silent = Some(Err(RDKafkaErrorCode::OperationTimedOut));
    state.take_round(&round(now, &[PARTITION], Ok(7), silent), None, now, time(0));
    assert!(state.take_found().is_empty(), "of which topic it is, is not known");
    state.take_round(&round(now, &[PARTITION], Ok(8), Some(Ok(Some(id(1))))), None, now, time(1));
    let found = state.take_found();
    assert_eq!(found, [Found { topic: Topic::Jobs, partition: 0, watermarks: Watermarks { low: 8, high: 8 } }]);
    assert!(state.is_complete());
    assert_eq!(state.take_found(), []);
    assert_eq!(state.observation(Topic::Jobs, 0).unwrap().topic_id, Some(id(1)));
}

#[test]
fn a_topic_whose_id_nobody_gives_is_read_all_the_same() {
    for silent in [Ok(None), Err(RDKafkaErrorCode::OperationTimedOut)] {
        let now = Instant::now();
        let mut state = State::new(TopicNames::default());
        state.take_look(looked(&[PARTITION], &[]), now);
        for _ in 0..UNANSWERED_AT_MOST {
            state.take_round(&round(now, &[PARTITION], Ok(7), Some(silent)), None, now, time(0));
        }
        assert_eq!(state.take_found().len(), 1, "{silent:?}");
        assert_eq!(state.observation(Topic::Jobs, 0).unwrap().topic_id, None);
    }
}

#[test]
fn a_topic_that_is_not_there_is_trouble_and_keeps_all_from_being_complete() {
    let now = Instant::now();
    let mut state = State::new(TopicNames::default());
    state.take_look(looked(&[PARTITION], &["no runs"]), now);
    state.take_round(&round(now, &[PARTITION], Ok(7), Some(Ok(Some(id(1))))), None, now, time(0));
    assert_eq!(state.take_found().len(), 1);
    assert!(!state.is_complete());
    assert_eq!(state.trouble().as_deref(), Some("no runs"));
    state.take_look(looked(&[PARTITION], &[]), now);
    assert!(state.take_found().is_empty() && state.is_complete());
    assert_eq!(state.trouble(), None);
}

#[test]
fn a_leader_that_is_away_costs_only_its_own_partitions() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let (near, far) = ((Topic::Jobs, 0), (Topic::Jobs, 1));
    let mut state = State::new(TopicNames::default());
    state.take_look(looked(&[near, far], &[]), now);
    state.take_round(&round(now, &[near, far], Ok(7), Some(Ok(None))), None, now, time(0));
    for second in 1..3 {
        let mut half = round(later, &[near], Ok(9), None);
        half.offsets.extend(round(later, &[far], Err(RDKafkaErrorCode::OperationTimedOut), None).offsets);
        state.take_round(&half, None, later, time(second));
    }
    assert_eq!(state.observation(Topic::Jobs, 0).unwrap().asked_at, later);
    assert_eq!(state.partition_error(Topic::Jobs, 0), None);
    assert_eq!(state.observation(Topic::Jobs, 1).unwrap().asked_at, now, "it is as old as it is");
    let error = state.partition_error(Topic::Jobs, 1).unwrap();
    assert_eq!((error.code.as_str(), error.since), ("OperationTimedOut", time(1)));
    assert_eq!(state.health().error, None, "others answer");
    state.take_round(&round(later, &[near, far], Ok(9), None), None, later, time(9));
    assert_eq!(state.partition_error(Topic::Jobs, 1), None);
}

#[test]
fn a_cluster_that_does_not_answer_has_an_error_since_the_first_question_that_was_not_answered() {
    let now = Instant::now();
    let mut state = State::new(TopicNames::default());
    state.take_look(looked(&[PARTITION], &[]), now);
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
    let mut state = State::new(TopicNames::default());
    state.take_look(looked(&[PARTITION], &[]), now);
    state.take_round(&round(now, &[PARTITION], Ok(7), Some(Ok(Some(id(1))))), None, now, time(0));
    let gone = RDKafkaErrorCode::UnknownTopicOrPartition;
    state.take_round(&round(now, &[PARTITION], Err(gone), Some(Err(gone))), None, now, time(1));
    let error = state.partition_error(Topic::Jobs, 0).unwrap();
    assert!(error.text.contains("jobs/0 is not there") && error.code == "UnknownTopicOrPartition", "{error:?}");
    assert_eq!(state.observation(Topic::Jobs, 0).unwrap().topic_id, Some(id(1)));
    // As in a topic that was made anew with fewer partitions.
    state.take_round(&round(now, &[PARTITION], Err(gone), Some(Ok(Some(id(2))))), None, now, time(2));
    assert_eq!(state.observation(Topic::Jobs, 0).unwrap().topic_id, Some(id(2)));
}
