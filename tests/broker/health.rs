//! The reports of an instance while a part of the cluster, or all of it, cannot be read: the partitions, and the times of the
//! errors' begin and end. Readers are answered all the while.

use std::time::Duration;

use optview::domain::Topic;
use optview::source::kafka::KafkaSettings;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, Producer};

use crate::Test;
use crate::cluster::{put, send};
use crate::events::{completed, created, job, wait_for_status};
use crate::rig::{DEADLINE, Kafka, Rig};
use crate::server::{Partition, Report, Server};

pub const TESTS: &[Test] = &[
    test!(a_partition_whose_broker_is_away_is_unknown_and_stale_while_the_others_are_read, Broker),
    test!(
        a_right_that_is_revoked_stands_as_an_error_of_its_topic_until_it_is_granted_again,
        BrokerWithRightsOfItsOwn
    ),
    test!(what_an_open_transaction_hides_is_counted_and_named_until_it_ends, Broker),
    test!(while_the_whole_cluster_is_away_everything_says_so_and_for_how_long, BrokerOfItsOwn),
];

/// Staleness takes half a minute by itself.
const LONG: Duration = Duration::from_secs(240);

/// A broker where rights count.
pub fn broker_with_rights() -> Kafka {
    Kafka::start_with(&[
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        "allow.everyone.if.no.acl.found=true".to_owned(),
    ])
}

/// Everybody may do everything with the topic, as long as nothing is denied.
pub fn allow_all(broker: &Kafka, topic: &str) {
    broker.change_rights(&["--add", "--allow-principal", "User:*", "--operation", "All", "--topic", topic]);
}

pub fn deny_read(broker: &Kafka, topic: &str) {
    broker.change_rights(&["--add", "--deny-principal", "User:*", "--operation", "Read", "--topic", topic]);
}

pub fn grant_read(broker: &Kafka, topic: &str) {
    let deny = ["--remove", "--force", "--deny-principal", "User:*", "--operation", "Read", "--topic", topic];
    broker.change_rights(&deny);
}

fn partition<'r>(report: &'r Report, topic: &str, number: i32) -> &'r Partition {
    let is = |held: &&Partition| held.topic == topic && held.partition == number;
    report.partitions.iter().find(is).expect("it is told of")
}

/// Returns true if no error stands, and everything is known to be read.
fn is_well(report: &Report) -> bool {
    report.state == "live" && report.lag_records == Some(0) && report.last_error.is_none()
}

/// Three brokers of librdkafka's mock cluster, each of which leads one topic.
fn a_partition_whose_broker_is_away_is_unknown_and_stale_while_the_others_are_read(rig: &Rig) {
    let cluster = MockCluster::new(3).expect("three brokers");
    for (topic, broker) in Topic::ALL.into_iter().zip(1..) {
        let name = rig.settings.topics.get(topic);
        cluster.create_topic(name, 1, 1).expect("a topic");
        cluster.partition_leader(name, 0, Some(broker)).expect("a leader");
    }
    let settings = KafkaSettings {
        brokers: cluster.bootstrap_servers(),
        topics: rig.settings.topics.clone(),
        properties: vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())],
    };
    let rig = Rig { own_broker: None, settings, directory: tempfile::tempdir().expect("a directory") };
    put(&rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(&rig, &[]);
    wait_for_status(&server, "a", "queued");
    server.wait_at_most(LONG, "well", is_well);
    let jobs = rig.settings.topics.get(Topic::Jobs);

    cluster.broker_down(2).expect("a broker that can be away");
    let stale = server.wait_at_most(LONG, "stale", |report| {
        report.state == "stale" && partition(report, jobs, 0).lag_records.is_none()
    });
    assert_eq!(stale.lag_records, None, "what is not known of a part is not known of the whole");
    let why = stale.last_error.as_deref().expect("it is said");
    assert!(why.contains(&format!("{jobs}/0: ")), "{why}");
    assert!(stale.last_error_since.is_some());
    let ready = server.get("/readyz");
    assert_eq!((ready.status, &ready.body["status"]), (200, &"stale".into()));
    // The others are read, and known to be.
    put(&rig, &[created("b")]);
    wait_for_status(&server, "b", "queued");
    let optimizations = rig.settings.topics.get(Topic::Optimizations);
    server.wait_at_most(LONG, "the other one is confirmed", |report| {
        partition(report, optimizations, 0).lag_records == Some(0) && report.state == "stale"
    });

    cluster.broker_up(2).expect("a broker that can be back");
    put(&rig, &[job("a", "completed", 2)]);
    server.wait_at_most(LONG, "well again", is_well);
    wait_for_status(&server, "a", "succeeded");
}

fn a_right_that_is_revoked_stands_as_an_error_of_its_topic_until_it_is_granted_again(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    server.wait_at_most(LONG, "well", is_well);
    let jobs = rig.settings.topics.get(Topic::Jobs);

    allow_all(broker, jobs);
    deny_read(broker, jobs);
    put(rig, &[job("a", "completed", 2), created("b")]);
    wait_for_status(&server, "b", "queued");
    let failing = server.wait_at_most(LONG, "stale, with an error", |report| {
        report.state == "stale" && partition(report, jobs, 0).error_code.is_some()
    });
    let held = partition(&failing, jobs, 0);
    assert_eq!(held.error_code.as_deref(), Some("TopicAuthorizationFailed"));
    assert!(held.error_since.is_some());
    let why = failing.last_error.as_deref().expect("it is said as long as it stands");
    assert!(why.contains(&format!("{jobs}/0: ")), "{why}");
    assert!(failing.partitions.iter().all(|held| held.topic == jobs || held.error_code.is_none()), "{failing:?}");
    let error =
        format!("optview_partition_error{{topic=\"{jobs}\",partition=\"0\",code=\"TopicAuthorizationFailed\"}}");
    assert!(server.metrics().contains(&format!("{error} 1\n")));

    grant_read(broker, jobs);
    server.wait_at_most(LONG, "well again", is_well);
    wait_for_status(&server, "a", "succeeded");
    assert!(server.metrics().contains(&format!("{error} 0\n")), "what is over is told as over");
}

fn what_an_open_transaction_hides_is_counted_and_named_until_it_ends(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    server.wait_at_most(LONG, "well", is_well);
    let jobs = rig.settings.topics.get(Topic::Jobs);

    let producer = patient_producer(rig);
    producer.begin_transaction().expect("a transaction");
    send(rig, &producer, &completed("a", 2));
    (0..102).for_each(|number| send(rig, &producer, &job(&format!("other-{number}"), "pending", 1)));
    producer.flush(DEADLINE).expect("records that are delivered");
    let hidden =
        server.wait_at_most(LONG, "hidden", |report| partition(report, jobs, 0).hidden_records == Some(103));
    let held = partition(&hidden, jobs, 0);
    assert_eq!((held.high, held.last_stable, held.position), (Some(104), Some(1), 1));
    let metric = |name: &str| format!("{name}{{topic=\"{jobs}\",partition=\"0\"}}");
    let text = server.metrics();
    for line in [
        format!("{} 104\n", metric("optview_partition_high_watermark")),
        format!("{} 1\n", metric("optview_partition_last_stable_offset")),
        format!("{} 103\n", metric("optview_partition_hidden_records")),
    ] {
        assert!(text.contains(&line), "no {line}");
    }
    let warned = server.wait_at_most(LONG, "a warning", |report| !report.warnings.is_empty());
    assert!(warned.warnings[0].starts_with(&format!("{jobs}/0: 103 offsets lie behind")), "{:?}", warned.warnings);
    assert_eq!(server.get("/optimizations/a").body["status"], "queued", "it has not happened yet");

    producer.commit_transaction(DEADLINE).expect("a transaction that ends");
    wait_for_status(&server, "a", "succeeded");
    server.wait_at_most(LONG, "nothing hidden", |report| {
        is_well(report) && report.warnings.is_empty() && partition(report, jobs, 0).hidden_records == Some(0)
    });
}

/// One whose transaction the broker does not end for a quarter of an hour.
pub fn patient_producer(rig: &Rig) -> BaseProducer {
    let mut config = rig.settings.client_config();
    config.set("transactional.id", rig.settings.topics.get(Topic::Jobs)).set("transaction.timeout.ms", "900000");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(DEADLINE).expect("a broker with transactions");
    producer
}

fn while_the_whole_cluster_is_away_everything_reports_that_and_for_how_long(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(2);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "queued");
    let well = server.wait_at_most(LONG, "well", is_well);
    assert!(well.kafka.as_ref().is_some_and(|kafka| kafka.up), "{well:?}");

    broker.kill();
    let stale = server.wait_at_most(LONG, "stale", |report| {
        report.state == "stale" && report.kafka.as_ref().is_some_and(|kafka| !kafka.up)
    });
    assert!(stale.last_error.is_some() && stale.last_error_since.is_some(), "{stale:?}");
    assert_eq!(stale.lag_records, None);
    assert!(stale.partitions.iter().all(|held| held.lag_records.is_none()), "{stale:?}");
    let ages = || {
        let text = server.metrics();
        assert!(text.contains("optview_kafka_up 0\n"), "{text}");
        let of = |name: &str| -> Vec<f64> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(|line| line.rsplit(' ').next().and_then(|age| age.parse().ok()).expect("an age")).collect()
        };
        [of("optview_kafka_seconds_since_answer"), of("optview_partition_seconds_since_confirmed")].concat()
    };
    let before = ages();
    assert_eq!(before.len(), 7, "the cluster's and six partitions'");
    server.wait_at_most(LONG, "later", |report| {
        let last = |report: &Report| report.kafka.as_ref().and_then(|kafka| kafka.last_answer_seconds_ago);
        last(report) > last(&stale).map(|age| age + 1.0)
    });
    assert!(before.iter().zip(ages()).all(|(before, after)| after > *before), "they grow: {before:?}");
    assert_eq!(server.get("/optimizations/a").body["status"], "queued");

    broker.restart();
    put(rig, &[job("a", "completed", 2)]);
    server.wait_at_most(LONG, "well again", is_well);
    wait_for_status(&server, "a", "succeeded");
}
