use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::check::finding::Verdict;
use crate::domain::OwnedRecord;
use crate::source::Watermarks;
use crate::source::kafka::inspection::{BrokerAnswer, RequestError};

const NOW: i64 = 1_772_355_600_000;
const LIMITS: ClientLimits = ClientLimits { receive_bytes: 100_000_000 };

fn error(kind: RequestErrorKind) -> RequestError {
    RequestError { kind, text: "why".to_owned() }
}

fn partition(number: i32) -> PartitionAnswer {
    let bounds = Ok(Watermarks { low: 0, high: 5 });
    PartitionAnswer { partition: number, has_leader: true, replicas: 3, in_sync: 3, bounds }
}

fn details(policy: &str, millis: i64, bytes: i64) -> TopicDetails {
    TopicDetails {
        settings: TopicSettings::new(policy, millis, bytes),
        max_message_bytes: Some(1_048_588),
        has_broker_times: false,
    }
}

fn record(topic: Topic, partition: i32, millis: i64) -> OwnedRecord {
    OwnedRecord {
        position: TopicPartition::new(topic, partition).at(4),
        timestamp_millis: Some(millis),
        key: None,
        value: None,
        headers: Vec::new(),
    }
}

/// A cluster of three brokers and three topics of two partitions each with which nothing is wrong.
struct World {
    answer: ClusterAnswer,
    newest: NewestRecords,
}

impl World {
    fn sound() -> World {
        let brokers = (0..3).map(|id| BrokerAnswer { id, address: "kafka:9092".to_owned(), error: None });
        let topics = Topic::ALL
            .map(|topic| (topic, TopicAnswer::There { id: None, partitions: vec![partition(0), partition(1)] }));
        let answer = ClusterAnswer {
            cluster_id: None,
            brokers: brokers.collect(),
            topics: topics.into(),
            details: Ok(Topic::ALL.map(|topic| (topic, details("delete", -1, -1))).into()),
            group: Ok(()),
            limits: LIMITS,
        };
        let read = Topic::ALL.into_iter().flat_map(|topic| {
            [0, 1].map(|number| (TopicPartition::new(topic, number), vec![record(topic, number, NOW - 1000)]))
        });
        World { answer, newest: NewestRecords { read: read.collect(), failed: BTreeMap::new() } }
    }

    fn jobs(&mut self) -> &mut Vec<PartitionAnswer> {
        match self.answer.topics.get_mut(&Topic::Jobs) {
            Some(TopicAnswer::There { partitions, .. }) => partitions,
            other => panic!("{other:?}"),
        }
    }

    fn set_details(&mut self, details: TopicDetails) {
        self.answer.details.as_mut().unwrap().insert(Topic::Jobs, details);
    }

    fn findings(&self) -> Vec<Finding> {
        findings(&self.answer, &TopicNames::default(), &self.newest, NOW)
    }
}

/// A fault of a topic: the check that finds it, the verdict, and a function that makes it.
type Fault = (Check, Verdict, fn(&mut World));

const FAULTS: &[Fault] = &[
    (Check::Topic, Verdict::Wrong, |world| world.jobs()[1].has_leader = false),
    (Check::Topic, Verdict::Doubtful, |world| world.jobs()[0].in_sync = 2),
    (Check::Topic, Verdict::Doubtful, |world| {
        world.jobs().iter_mut().for_each(|held| (held.replicas, held.in_sync) = (1, 1));
    }),
    (Check::History, Verdict::Doubtful, |world| world.jobs()[1].bounds = Ok(Watermarks { low: 3, high: 5 })),
    (Check::History, Verdict::Wrong, |world| world.jobs()[0].bounds = Err(error(RequestErrorKind::Authorization))),
    (Check::Read, Verdict::Wrong, |world| {
        let first = TopicPartition::new(Topic::Jobs, 0);
        world.newest.read.remove(&first);
        world.newest.failed.insert(first, "why".to_owned());
    }),
    (Check::Retention, Verdict::Wrong, |world| world.set_details(details("compact", -1, -1))),
    (Check::Retention, Verdict::Wrong, |world| world.set_details(details("compact,delete", 1000, -1))),
    (Check::Retention, Verdict::Doubtful, |world| world.set_details(details("delete", 604_800_000, -1))),
    (Check::Retention, Verdict::Doubtful, |world| world.set_details(details("delete", -1, 1_000_000))),
    (Check::Retention, Verdict::Doubtful, |world| {
        world.answer.details.as_mut().unwrap().remove(&Topic::Jobs);
    }),
    (Check::MessageSize, Verdict::Doubtful, |world| {
        world.set_details(TopicDetails { max_message_bytes: Some(8_388_609), ..details("delete", -1, -1) });
    }),
    (Check::MessageSize, Verdict::Wrong, |world| {
        world.set_details(TopicDetails { max_message_bytes: Some(100_000_000), ..details("delete", -1, -1) });
    }),
    (Check::Clock, Verdict::Doubtful, |world| {
        world.newest.read.get_mut(&TopicPartition::new(Topic::Jobs, 1)).unwrap()[0].timestamp_millis =
            Some(NOW + 301_000);
    }),
    (Check::Clock, Verdict::Wrong, |world| {
        world.newest.read.get_mut(&TopicPartition::new(Topic::Jobs, 1)).unwrap()[0].timestamp_millis =
            Some(NOW + 301_000);
        world.set_details(TopicDetails { has_broker_times: true, ..details("delete", -1, -1) });
    }),
    (Check::Topic, Verdict::Wrong, |world| drop(world.answer.topics.insert(Topic::Jobs, TopicAnswer::Missing))),
    (Check::Topic, Verdict::Wrong, |world| {
        let failed = TopicAnswer::Failed(error(RequestErrorKind::Authorization));
        drop(world.answer.topics.insert(Topic::Jobs, failed));
    }),
];

#[test]
fn with_nothing_wrong_every_check_of_every_topic_is_right() {
    let found = World::sound().findings();
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Right), "{found:#?}");
    for topic in Topic::ALL {
        let of_topic = found.iter().filter(|finding| finding.subject.as_deref() == Some(topic.default_name()));
        let checks: Vec<Check> = of_topic.map(|finding| finding.check).collect();
        let expected =
            [Check::Topic, Check::History, Check::Read, Check::Retention, Check::MessageSize, Check::Clock];
        assert_eq!(checks, expected);
    }
}

#[test]
fn each_fault_is_found_by_its_check_of_its_topic_and_by_no_other() {
    for (number, (check, verdict, make)) in FAULTS.iter().enumerate() {
        let mut world = World::sound();
        make(&mut world);
        let found = world.findings();
        let not_right: Vec<_> = found.iter().filter(|finding| finding.verdict != Verdict::Right).collect();
        assert_eq!(not_right.len(), 1, "{number}: {not_right:#?}");
        assert_eq!((not_right[0].check, not_right[0].verdict), (*check, *verdict), "{number}: {not_right:?}");
        assert_eq!(not_right[0].subject.as_deref(), Some("jobs"), "{number}");
        assert!(not_right[0].remedy.is_some(), "{number}");
    }
}

proptest! {
    #[test]
    fn faults_hide_no_others_of_other_topics_and_every_finding_is_one_line(which in proptest::collection::vec(0..15_usize, 0..5)) {
        let mut world = World::sound();
        which.iter().for_each(|number| FAULTS[*number].2(&mut world));
        let found = world.findings();
        let others = found.iter().filter(|finding| finding.subject.as_deref() != Some("jobs"));
        prop_assert!(others.clone().count() >= 12 && others.clone().all(|finding| finding.verdict == Verdict::Right));
        prop_assert!(found.iter().all(|finding| finding.to_string().lines().count() == 1));
        prop_assert!(found.iter().all(|finding| finding.remedy.is_some() == (finding.verdict != Verdict::Right)));
        let is_any_wrong = found.iter().any(|finding| finding.verdict != Verdict::Right);
        prop_assert_eq!(is_any_wrong, !which.is_empty());
    }
}

#[test]
fn a_compacted_topic_says_plainly_what_it_loses() {
    for (topic, lost) in [
        (Topic::Optimizations, "`created`"),
        (Topic::Jobs, "last event"),
        (Topic::MultistartRuns, "only one is kept"),
    ] {
        let finding = of_retention(topic, &TopicSettings::new("compact", -1, -1));
        assert!(finding.text.contains(lost) && finding.text.contains("rebuild"), "{finding:?}");
    }
}
