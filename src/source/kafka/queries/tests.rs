use super::*;
use crate::source::TopicNames;
use crate::source::kafka::consumer_config::consumer_config;
use crate::source::kafka::embedded_broker::EmbeddedBroker;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn bounds_and_ids_are_given_topic_by_topic_and_those_of_an_earlier_round_are_not() {
    let broker = EmbeddedBroker::start(TopicNames::default(), 2).unwrap();
    let client = consumer_config(&broker.settings(), "test").create_with_context(ErrorContext::default()).unwrap();
    let mut queries = Queries::new(Arc::new(Client::new(client)));
    queries.ask_offsets(Bound::Low, &[("jobs", 0)], WITHIN);
    queries.begin_round();
    queries.ask_offsets(Bound::LastStable, &[("jobs", 0), ("jobs", 1), ("nowhere", 0)], WITHIN);
    let Some(Answer::Offsets(Bound::LastStable, Ok(answers))) = queries.next(WITHIN) else { panic!("no bounds") };
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    let expected = [("jobs", 0, Ok(0)), ("jobs", 1, Ok(0)), ("nowhere", 0, Err(unknown))]
        .map(|(topic, partition, answer)| (NamedPartition::new(topic, partition), answer));
    assert_eq!(answers, expected);
    let mut ids = || {
        queries.begin_round();
        queries.ask_ids(1, &["jobs", "nowhere"], Some(1), WITHIN);
        let Some(Answer::Ids(1, Ok(ids))) = queries.next(WITHIN) else { panic!("no ids") };
        ids
    };
    let first = ids();
    assert!(matches!(first[0], (_, Ok(Some(_)))) && first[1] == ("nowhere".to_owned(), Err(unknown)), "{first:?}");
    assert_eq!(ids(), first);
}

#[test]
fn rights_that_a_broker_does_not_tell_are_none_and_a_topic_that_is_not_there_is_an_error() {
    let broker = EmbeddedBroker::start(TopicNames::default(), 2).unwrap();
    let client = consumer_config(&broker.settings(), "test").create_with_context(ErrorContext::default()).unwrap();
    let mut queries = Queries::new(Arc::new(Client::new(client)));
    queries.begin_round();
    queries.ask_rights(&["jobs", "nowhere"], 1, WITHIN);
    let Some(Answer::Rights(Ok(answers))) = queries.next(WITHIN) else { panic!("no rights") };
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(answers, [("jobs".to_owned(), Ok(None)), ("nowhere".to_owned(), Err(unknown))]);
}
