//! The topic of views on a real broker: it is what readers are shown, whoever was killed, fenced, or rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use optview::domain::Topic;
use rdkafka::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::Test;
use crate::cluster::create_compacted_topic;
use crate::committed_records::{committed_records, header};
use crate::dice::Dice;
use crate::rig::{DEADLINE, Kafka, Rig};
use crate::server::{Publication, Report, Server};

pub const TESTS: &[Test] = &[
    test!(a_publisher_that_is_killed_at_random_leaves_a_topic_that_is_what_readers_see, Broker),
    test!(a_second_publisher_fences_the_first_which_goes_on_serving_and_keeping, Broker),
    test!(a_rebuild_mends_a_topic_that_others_have_written_to, Broker),
    test!(views_are_read_while_the_brokers_are_away_and_published_once_they_are_back, BrokerOfItsOwn),
    test!(
        events_are_folded_and_read_and_no_checkpoint_is_written_while_the_topic_of_views_is_away,
        BrokerOfItsOwn
    ),
    test!(a_publisher_whose_transaction_took_too_long_goes_on_by_itself, BrokerOfItsOwn),
    test!(a_store_at_rest_and_a_snapshot_are_published_and_compared, Broker),
    test!(views_as_protobuf_are_marked_as_such_and_compared, Broker),
    test!(a_topic_that_is_not_compacted_is_refused_with_what_to_do, Broker),
];

/// A topic of views of a test's own.
struct ViewsTopic<'r> {
    rig: &'r Rig,
    name: String,
}

impl<'r> ViewsTopic<'r> {
    fn new(rig: &'r Rig) -> ViewsTopic<'r> {
        ViewsTopic { rig, name: format!("{}-views", rig.settings.topics.get(Topic::Optimizations)) }
    }

    fn serve(&self, more: &[&str]) -> Server {
        let own = ["--publish-views", &self.name, "--views-partitions", "3"];
        Server::start(self.rig, &[&own, more].concat())
    }

    /// Checks that versions grow, and returns the last value of each key.
    fn views(&self) -> BTreeMap<String, Value> {
        let (mut versions, mut views) = (BTreeMap::new(), BTreeMap::new());
        for record in committed_records(self.rig, &self.name) {
            if header(&record, "optview-record").is_some() {
                continue;
            }
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            if let Some(version) = header(&record, "optview-version") {
                let version: u64 = version.parse().unwrap();
                let before = versions.insert(record.partition(), version).unwrap_or(0);
                assert!(version > before, "{key}: version {version} after {before}");
            }
            match record.payload() {
                Some(value) => drop(views.insert(key, serde_json::from_slice(value).unwrap())),
                None => drop(views.remove(&key)),
            }
        }
        views
    }

    /// Waits until all is published, and checks that the topic is what readers see.
    fn check(&self, server: &Server) {
        server.wait_until_all_is_kept(self.rig);
        wait_until_published(server);
        let mut shown = BTreeMap::new();
        loop {
            let page = server.get(&format!("/optimizations?limit=1000&offset={}", shown.len())).body;
            let items = page["optimizations"].as_array().unwrap().clone();
            if items.is_empty() {
                break;
            }
            shown.extend(items.into_iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item)));
        }
        assert!(!shown.is_empty());
        let views = self.views();
        assert_eq!(views.len(), shown.len());
        for (id, view) in shown {
            assert_eq!(views.get(&id), Some(&view), "{id}");
        }
    }

    /// Puts records there, as nobody should.
    fn write(&self, records: &[(&str, Option<&str>)]) {
        let mut config = self.rig.settings.client_config();
        let producer: BaseProducer = config.set("partitioner", "murmur2").create().unwrap();
        for (key, value) in records {
            let mut record = BaseRecord::to(&self.name).key(*key);
            record.payload = *value;
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }
}

fn publication(report: &Report) -> &Publication {
    report.publication.as_ref().expect("it publishes")
}

fn wait_until_published(server: &Server) -> Report {
    server.wait_for("all is published", |report| {
        let publication = publication(report);
        publication.state == "publishing" && publication.unpublished == 0
    })
}

fn load(rig: &Rig, optimizations: &str, seed: &str) {
    rig.run(&["load", "--optimizations", optimizations, "--seed", seed, "--runs", "2", "--partitions", "3"]);
}

fn a_publisher_that_is_killed_at_random_leaves_a_topic_that_is_what_readers_see(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "300", "1");
    let flow = rig.spawn(&["load", "--optimizations", "1500", "--seed", "2", "--runs", "2", "--rate", "800"]);
    let mut dice = Dice::new(1);
    for kill in 0..8 {
        let server = topic.serve(&[]);
        match kill % 3 {
            0 => sleep(Duration::from_millis(dice.below(1_500) as u64)),
            1 => {
                server.wait_for("it publishes", |report| {
                    publication(report).published > 0 || publication(report).state == "publishing"
                });
                sleep(Duration::from_millis(dice.below(300) as u64));
            }
            _ => {
                wait_until_published(&server);
                sleep(Duration::from_millis(dice.below(600) as u64));
            }
        }
        server.kill();
    }
    assert!(flow.wait().success());
    let server = topic.serve(&[]);
    topic.check(&server);
    let report = wait_until_published(&server);
    assert!(publication(&report).holds_checkpoints);
    server.stop();
    // A start after a clean end compares nothing and publishes nothing.
    let server = topic.serve(&[]);
    let report = wait_until_published(&server);
    assert_eq!(publication(&report).published, 0, "{report:?}");
    assert!(!server.log().contains("comparing the topic"));
}

fn a_second_publisher_fences_the_first_which_goes_on_serving_and_keeping(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "200", "1");
    let first = topic.serve(&[]);
    topic.check(&first);
    let other = rig.directory.path().join("other");
    let second = topic.serve(&["--data-dir", other.to_str().unwrap()]);
    topic.check(&second);
    let report = first.wait_for("it is fenced", |report| publication(report).state == "fenced");
    assert!(!publication(&report).holds_checkpoints);
    let mut warnings = report.warnings.iter();
    assert!(warnings.any(|warning| warning.contains("another publisher has taken over")), "{report:?}");
    load(rig, "150", "2");
    first.wait_until_all_is_kept(rig);
    topic.check(&second);
    assert_eq!(first.get("/optimizations?limit=1").status, 200);
    second.stop();
    first.stop();
    // The first publishes again after a restart; it compares, since the other one was the last.
    let first = topic.serve(&[]);
    topic.check(&first);
    assert!(first.log().contains("comparing the topic"));
}

fn a_rebuild_mends_a_topic_that_others_have_written_to(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "120", "1");
    let server = topic.serve(&[]);
    topic.check(&server);
    let views = topic.views();
    let ids: Vec<&String> = views.keys().take(3).collect();
    topic.write(&[("no such optimization", Some("{}")), (ids[0], Some(r#"{"id":"other"}"#)), (ids[1], None)]);
    let data = rig.directory.path().join("data");
    rig.run(&["rebuild", "--data-dir", data.to_str().unwrap()]);
    server.wait_for("the new generation is published", |report| {
        report.generation == 2 && publication(report).state == "publishing"
    });
    topic.check(&server);
    let report = wait_until_published(&server);
    assert!(publication(&report).published < 2 * views.len() as u64, "only what differs comes again: {report:?}");
}

fn views_are_read_while_the_brokers_are_away_and_published_once_they_are_back(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    let topic = ViewsTopic::new(rig);
    load(rig, "200", "1");
    let server = topic.serve(&[]);
    topic.check(&server);
    let flow = rig.spawn(&["load", "--optimizations", "4000", "--seed", "2", "--runs", "2", "--rate", "2000"]);
    sleep(Duration::from_millis(700));
    broker.kill();
    sleep(Duration::from_millis(1_500));
    assert_eq!(server.get("/optimizations?limit=1").status, 200);
    drop(flow);
    broker.restart();
    topic.check(&server);
}

/// Events come from one broker, and views go to another one, which is away.
fn events_are_folded_and_read_and_no_checkpoint_is_written_while_the_topic_of_views_is_away(rig: &Rig) {
    let first = rig.own_broker.as_ref().expect("the test asks for one");
    let topic = ViewsTopic::new(rig);
    load(rig, "200", "1");
    // The brokers' own topics are made while there is one broker only.
    let mut config = rig.settings.client_config();
    let producer: BaseProducer = config.set("transactional.id", "first").create().unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    let second = first.join();
    create_compacted_topic(rig, &topic.name, 3, 2);
    let server = topic.serve(&[]);
    topic.check(&server);
    let kept = |report: &Report| -> Vec<Option<i64>> {
        let of_views = report.partitions.iter().filter(|held| held.topic.ends_with("optimizations"));
        of_views.map(|held| held.checkpoint).collect()
    };
    let before = server.wait_until_all_is_kept(rig);
    second.kill();
    load(rig, "150", "2");
    let ends: i64 = Topic::ALL.into_iter().map(|topic| rig.end(topic)).sum();
    assert!(ends > before.records_kept());
    let report = server.wait_for("it is warned", |report| {
        report.records_read() == ends
            && report.warnings.iter().any(|warning| warning.contains("views are not published"))
    });
    // A job's record may be read before any optimization links the job: it changes no view, and may be covered.
    assert_eq!(kept(&report), kept(&before), "no checkpoint is ahead of the topic");
    assert!(publication(&report).holds_checkpoints && publication(&report).unpublished > 0, "{report:?}");
    let page = server.get("/optimizations?limit=1");
    assert_eq!((page.status, page.body["total"].as_u64()), (200, Some(report.views)));
    assert!(report.views > 200, "what came meanwhile is read");
    second.restart();
    topic.check(&server);
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.records_kept(), ends);
}

/// The process stands still within a transaction, until the brokers have ended it.
fn a_publisher_whose_transaction_took_too_long_goes_on_by_itself(rig: &Rig) {
    let broker =
        Kafka::start_with(&["transaction.abort.timed.out.transaction.cleanup.interval.ms=200".to_owned()]);
    let rig = &Rig::of(&broker, rig);
    let topic = ViewsTopic::new(rig);
    load(rig, "100", "1");
    let server = topic.serve(&["--kafka-property", "transaction.timeout.ms=1000"]);
    topic.check(&server);
    let flow = rig.spawn(&["load", "--optimizations", "20000", "--seed", "2", "--runs", "2", "--rate", "3000"]);
    let doubt = "the brokers take nothing more from this publisher";
    for _ in 0..20 {
        sleep(Duration::from_millis(200));
        server.signal("STOP");
        sleep(Duration::from_millis(2_000));
        server.signal("CONT");
        sleep(Duration::from_millis(500));
        if server.log().contains(doubt) {
            break;
        }
    }
    drop(flow);
    let report = server.report();
    let error = publication(&report).error.clone().unwrap_or_default();
    assert!(error.contains(doubt) && publication(&report).state == "starting", "{report:?}");
    topic.check(&server);
    assert!(server.log().contains("no other publisher has come"));
    assert!(!server.log().contains("another publisher has taken over"));
    // It was sure that nobody else had published, so that it had nothing to compare.
    assert_eq!(server.log().matches("comparing the topic").count(), 1);
}

fn a_store_at_rest_and_a_snapshot_are_published_and_compared(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "150", "1");
    let server = Server::start(rig, &[]);
    let views = server.wait_until_all_is_kept(rig).views;
    assert!(server.stop().0.success());
    let data = rig.directory.path().join("data");
    let data = data.to_str().unwrap();
    let publish = |what: [&str; 2], name: &str| -> Value {
        let output =
            rig.run(&["publish", what[0], what[1], "--publish-views", name, "--views-partitions", "3", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let compare = |name: &str, arguments: &[&str]| -> (Option<i32>, Value) {
        let tool = ["verify", "--data-dir", data, "--against-views", name, "--json"];
        let output = rig.optview(&[&tool[..], arguments].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        (
            output.status.code(),
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")),
        )
    };
    assert_eq!(publish(["--data-dir", data], &topic.name)["views"], views);
    let (code, report) = compare(&topic.name, &[]);
    assert_eq!((code, &report["views"]), (Some(0), &Value::from(views)), "{report}");
    let published = topic.views();
    let ids: Vec<&String> = published.keys().take(2).collect();
    topic.write(&[("no such optimization", Some("{}")), (ids[0], Some(r#"{"id":"other"}"#)), (ids[1], None)]);
    let (code, report) = compare(&topic.name, &[]);
    assert_eq!(code, Some(3));
    assert_eq!((&report["different"], &report["extra"]), (&Value::from(2), &Value::from(1)), "{report}");
    // In another form every view is another.
    let (code, report) = compare(&topic.name, &["--views-format", "flat"]);
    assert_eq!((code, report["missing"].as_u64()), (Some(3), Some(0)), "{report}");
    assert_eq!(publish(["--data-dir", data], &topic.name)["published"], 3);
    assert_eq!(compare(&topic.name, &[]).0, Some(0));
    let file = rig.directory.path().join("snapshot");
    let file = file.to_str().unwrap();
    rig.run(&["snapshot", "export", file, "--data-dir", data]);
    let other = format!("{}-of-snapshot", topic.name);
    assert_eq!(publish(["--snapshot", file], &other)["views"], views);
    assert_eq!(compare(&other, &[]).0, Some(0));
    // A server compares, too, and what was published at rest need not be compared again.
    let server = topic.serve(&[]);
    let report = wait_until_published(&server);
    assert_eq!(publication(&report).published, 0, "{report:?}");
    assert!(!server.log().contains("comparing the topic"));
    assert_eq!(compare(&topic.name, &[]).0, Some(0));
}

fn views_as_protobuf_are_marked_as_such_and_compared(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "50", "1");
    let server = topic.serve(&["--views-format", "protobuf"]);
    let views = server.wait_until_all_is_kept(rig).views;
    wait_until_published(&server);
    assert!(server.stop().0.success());
    let records = committed_records(rig, &topic.name);
    let published = || records.iter().filter(|record| header(record, "optview-record").is_none());
    let types: BTreeSet<_> = published().map(|record| header(record, "content-type")).collect();
    assert_eq!(types, BTreeSet::from([Some("application/protobuf")]));
    for record in published().filter(|record| record.payload().is_some()) {
        // The first field is the id, a text of less than 128 bytes.
        let (key, value) = (record.key().unwrap(), record.payload().unwrap());
        assert_eq!((value[0], value[1] as usize, &value[2..2 + key.len()]), (0x0A, key.len(), key));
    }
    let data = rig.directory.path().join("data");
    for (format, code) in [("protobuf", 0), ("json", 3)] {
        let tool = ["verify", "--data-dir", data.to_str().unwrap(), "--against-views", &topic.name, "--json"];
        let output = rig.optview(&[&tool[..], &["--views-format", format]].concat()).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["views"]), (Some(code), &Value::from(views)), "{report}");
    }
}

fn a_topic_that_is_not_compacted_is_refused_with_what_to_do(rig: &Rig) {
    load(rig, "20", "1");
    // A topic that `load` has made is not.
    let name = rig.settings.topics.get(Topic::Optimizations).to_owned() + "-2";
    rig.run(&["load", "--optimizations", "1", "--topic-optimizations", &name]);
    let server = Server::start(rig, &["--publish-views", &name]);
    let report = server.wait_for("it is refused", |report| publication(report).error.is_some());
    let error = publication(&report).error.clone().unwrap();
    assert!(error.contains("cleanup.policy=compact"), "{error}");
    server.wait_until_all_is_kept(rig);
}
