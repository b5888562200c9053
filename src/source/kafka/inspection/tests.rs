use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::domain::TopicPartition;
use crate::source::kafka::producer::Producer;
use crate::source::{TopicNames, Watermarks};

/// A cluster with the three topics, and the settings to reach it.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    settings: KafkaSettings,
}

impl Cluster {
    fn new(brokers: i32) -> Cluster {
        let mock = MockCluster::new(brokers).unwrap();
        for topic in Topic::ALL {
            mock.create_topic(topic.default_name(), 2, brokers).unwrap();
        }
        let settings = KafkaSettings {
            brokers: mock.bootstrap_servers(),
            topics: TopicNames::default(),
            properties: vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())],
        };
        Cluster { mock, settings }
    }

    fn put(&self, topic: Topic, count: usize) {
        let mut producer = Producer::new(&self.settings).unwrap();
        (0..count).for_each(|number| producer.send(topic, "key", Some(format!("{number}").as_bytes())).unwrap());
        producer.finish().unwrap();
    }

    fn inspect(&self) -> ClusterAnswer {
        inspect(&self.settings, "group").unwrap()
    }

    fn newest(&self, count: i64) -> NewestRecords {
        newest_records(&self.settings, "group", &self.inspect().topics, |_| count)
    }
}

fn partitions_of(answer: &ClusterAnswer, topic: Topic) -> &[PartitionAnswer] {
    match &answer.topics[&topic] {
        TopicAnswer::There { partitions, .. } => partitions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_cluster_answers_everything_and_its_newest_records_are_read() {
    let cluster = Cluster::new(3);
    cluster.put(Topic::Jobs, 7);
    let answer = cluster.inspect();
    assert!(answer.cluster_id.is_some());
    assert_eq!(answer.brokers.len(), 3);
    assert!(answer.brokers.iter().all(|broker| broker.error.is_none()), "{:?}", answer.brokers);
    assert_eq!(answer.group, Ok(()));
    for topic in Topic::ALL {
        for held in partitions_of(&answer, topic) {
            assert!(held.has_leader && held.replicas == 3 && held.in_sync == 3, "{held:?}");
            assert!(held.bounds.is_ok(), "{held:?}");
        }
        assert!(matches!(answer.topics[&topic], TopicAnswer::There { id: Some(_), .. }));
    }
    let newest = cluster.newest(3);
    assert_eq!((newest.failed.len(), newest.read.len()), (0, 6), "{newest:?}");
    let jobs = newest.read.iter().filter(|(partition, _)| partition.topic == Topic::Jobs);
    let values: Vec<&[u8]> =
        jobs.flat_map(|(_, records)| records).map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!(values, [b"4", b"5", b"6"], "all have one key, and so one partition");
}

#[test]
fn a_cluster_that_does_not_answer_is_an_error_of_its_kind_within_a_bounded_time() {
    let begin = Instant::now();
    for (brokers, kind) in
        [("127.0.0.1:1", RequestErrorKind::Connection), ("no-such-host.invalid:9092", RequestErrorKind::Name)]
    {
        let settings =
            KafkaSettings { brokers: brokers.to_owned(), topics: TopicNames::default(), properties: Vec::new() };
        let error = inspect(&settings, "group").unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.text.contains(brokers.split(':').next().unwrap()), "{error:?}");
    }
    assert!(begin.elapsed() < 3 * FIRST_ANSWER_WITHIN);
}

#[test]
fn a_topic_that_is_missing_or_refused_leaves_the_others_as_they_are() {
    let cluster = Cluster::new(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.mock.topic_error("jobs", refused).unwrap();
    let topics = TopicNames::new("optimizations".to_owned(), "jobs".to_owned(), "nowhere".to_owned());
    cluster.mock.topic_error("nowhere", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let answer = inspect(&KafkaSettings { topics, ..cluster.settings.clone() }, "group").unwrap();
    assert_eq!(partitions_of(&answer, Topic::Optimizations).len(), 2);
    let TopicAnswer::Failed(error) = &answer.topics[&Topic::Jobs] else { panic!("{answer:?}") };
    assert_eq!(error.kind, RequestErrorKind::Authorization);
    assert!(matches!(answer.topics[&Topic::MultistartRuns], TopicAnswer::Missing), "{answer:?}");
}

#[test]
fn a_partition_without_a_leader_is_named_and_not_read() {
    let cluster = Cluster::new(1);
    cluster.mock.partition_leader("jobs", 1, None).unwrap();
    let answer = cluster.inspect();
    let has_leader = partitions_of(&answer, Topic::Jobs).iter().map(|held| held.has_leader);
    assert_eq!(has_leader.collect::<Vec<_>>(), [true, false]);
    let newest = newest_records(&cluster.settings, "group", &answer.topics, |_| 1);
    assert_eq!((newest.failed.len(), newest.read.len()), (0, 5), "{newest:?}");
}

#[test]
fn a_right_to_read_that_is_missing_fails_its_partitions_at_once() {
    let cluster = Cluster::new(1);
    cluster.put(Topic::Jobs, 1);
    let topics = cluster.inspect().topics;
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[refused; 10_000]);
    let newest = newest_records(&cluster.settings, "group", &topics, |_| 1);
    assert!(!newest.failed.is_empty(), "{newest:?}");
    assert!(newest.failed.values().all(|why| why.contains("READ and DESCRIBE")), "{newest:?}");
}

#[test]
fn a_broker_that_is_named_and_does_not_answer_is_the_only_one_in_error() {
    let cluster = Cluster::new(3);
    cluster.inspect();
    cluster.mock.broker_down(2).unwrap();
    let answer = cluster.inspect();
    let failed: Vec<i32> =
        answer.brokers.iter().filter(|broker| broker.error.is_some()).map(|broker| broker.id).collect();
    // A cluster may no longer name a broker that is down.
    assert!(failed == [2] || answer.brokers.iter().all(|broker| broker.id != 2), "{:?}", answer.brokers);
}

#[test]
fn bounds_are_those_of_the_partition_and_a_group_that_may_not_be_seen_is_an_error() {
    let cluster = Cluster::new(1);
    cluster.put(Topic::Jobs, 5);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster.mock.request_errors(RDKafkaApiKey::OffsetFetch, &[refused; 100]);
    let answer = cluster.inspect();
    let bounds = partitions_of(&answer, Topic::Jobs).iter().map(|held| held.bounds.clone().unwrap());
    let expected = Watermarks { low: 0, high: 5 };
    assert!(bounds.clone().any(|bounds| bounds == expected), "{:?}", bounds.collect::<Vec<_>>());
    assert_eq!(answer.group.unwrap_err().kind, RequestErrorKind::Authorization);
    assert_eq!(answer.limits, ClientLimits { receive_bytes: 100_000_000 });
}

#[test]
fn an_empty_topic_is_read_too() {
    let newest = Cluster::new(1).newest(10);
    assert_eq!(newest.read.len(), 6, "{newest:?}");
    assert!(newest.read.contains_key(&TopicPartition::new(Topic::Jobs, 1)));
    assert!(newest.read.values().all(Vec::is_empty));
}

#[test]
fn a_topic_that_is_written_to_is_looked_at_with_what_the_brokers_tell_of_it() {
    let cluster = Cluster::new(1);
    let of = |name: &str| inspect_output_topic(&cluster.settings, "group", name);
    let held = of("jobs");
    assert!(matches!(&held.topic, TopicAnswer::There { partitions, .. } if partitions.len() == 2), "{held:?}");
    // The mock cluster tells neither settings nor rights.
    assert!(held.details.is_err() && held.rights == Ok(None), "{held:?}");
    cluster.mock.topic_error("nowhere", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let held = of("nowhere");
    assert!(matches!(held.topic, TopicAnswer::Missing) && held.rights == Ok(None), "{held:?}");
    cluster.mock.topic_error("jobs", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let held = of("jobs");
    let TopicAnswer::Failed(error) = &held.topic else { panic!("{held:?}") };
    assert_eq!(error.kind, RequestErrorKind::Authorization);
}

#[test]
fn a_transactional_id_is_allowed_if_only_the_time_limit_is_refused_or_nothing_is() {
    let refusals = [
        (RDKafkaApiKey::InitProducerId, RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, None),
        (
            RDKafkaApiKey::InitProducerId,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            Some(RequestErrorKind::Authorization),
        ),
        (
            RDKafkaApiKey::FindCoordinator,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            Some(RequestErrorKind::Authorization),
        ),
    ];
    let cluster = Cluster::new(1);
    let ask = || inspect_transactional_id(&cluster.settings, 1, "id");
    assert_eq!(ask(), TransactionalIdAnswer::Allowed);
    for (request, error, kind) in refusals {
        cluster.mock.request_errors(request, &[error]);
        let found = match ask() {
            TransactionalIdAnswer::Failed(error) => Some(error.kind),
            TransactionalIdAnswer::Allowed => None,
            TransactionalIdAnswer::NotAsked => panic!("it is to be asked"),
        };
        assert_eq!(found, kind, "{error:?}");
        cluster.mock.clear_request_errors(request);
    }
}
