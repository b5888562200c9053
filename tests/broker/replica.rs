//! Replicas of a topic of views on a real broker: they answer as the instance that publishes does, whoever is killed, and after compaction.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use optview::domain::Topic;
use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::Test;
use crate::committed_records::{committed_records, header};
use crate::dice::Dice;
use crate::rig::{Rig, wait_until};
use crate::server::{Report, Server};

pub const TESTS: &[Test] = &[
    test!(a_replica_answers_as_its_publisher_does_whoever_is_killed_and_after_compaction, Broker),
    test!(a_replica_serves_while_the_brokers_are_away_and_goes_on_once_they_are_back, BrokerOfItsOwn),
    test!(a_replica_of_a_topic_that_is_created_again_shows_the_old_views_until_it_has_the_new, Broker),
];

const PARTITIONS: i32 = 3;

/// A topic of views that is compacted as soon as a broker does that.
struct ViewsTopic<'r> {
    rig: &'r Rig,
    name: String,
}

impl<'r> ViewsTopic<'r> {
    fn new(rig: &'r Rig) -> ViewsTopic<'r> {
        let topic = ViewsTopic { rig, name: format!("{}-views", rig.settings.topics.get(Topic::Optimizations)) };
        topic.create();
        topic
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.rig.settings.client_config().create().unwrap()
    }

    fn create(&self) {
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "500"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("max.compaction.lag.ms", "500"),
        ];
        let topic = NewTopic::new(&self.name, PARTITIONS, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        wait_until("the topic is made", || {
            let made = block_on(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
            // A topic that was just removed may be there for a moment.
            made[0].is_ok().then_some(())
        });
    }

    fn remove(&self) {
        block_on(self.admin().delete_topics(&[&self.name], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    }

    fn publish(&self) -> Server {
        Server::start(self.rig, &["--publish-views", &self.name])
    }

    fn replicate(&self, directory: &str) -> Server {
        Server::start_replica(self.rig, &self.name, directory)
    }

    /// Reads the topic to its end, and returns how many optimizations it has, and how many records of them have another one after them.
    fn count_views(&self) -> (usize, usize) {
        let records = committed_records(self.rig, &self.name);
        // There are more marks each moment, whatever is compacted.
        let views = records.iter().filter(|record| header(record, "optview-record").is_none());
        let (mut ids, mut replaced) = (BTreeSet::new(), 0);
        for view in views {
            replaced += usize::from(!ids.insert(view.key().unwrap()));
        }
        (ids.len(), replaced)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn load(rig: &Rig, optimizations: &str, seed: &str) {
    rig.run(&["load", "--optimizations", optimizations, "--seed", seed, "--runs", "2", "--partitions", "3"]);
}

/// Waits until everything that the topics of events have is published, and marked as such.
fn wait_until_marked(rig: &Rig, publisher: &Server) -> BTreeMap<String, i64> {
    publisher.wait_until_all_is_kept(rig);
    let ends: i64 = Topic::ALL.iter().map(|&topic| rig.end(topic)).sum();
    let report = publisher.wait_for("all is marked", |report| {
        let publication = report.publication.as_ref().unwrap();
        let marked = publication.marked_positions.iter().flat_map(BTreeMap::values).sum::<i64>();
        publication.state == "publishing" && publication.unpublished == 0 && marked == ends
    });
    report.publication.unwrap().marked_positions.unwrap()
}

/// Waits until a replica is live and has come to a position.
fn wait_until_replicated(replica: &Server, marked: &BTreeMap<String, i64>) -> Report {
    replica.wait_for("it has come to the mark", |report| {
        // Before the store is open, nothing is known of it.
        let reached = report.replica.as_ref().and_then(|source| source.marked_positions.as_ref());
        report.state == "live" && reached == Some(marked)
    })
}

/// Checks that two instances answer alike: every view by its id, every page of the lists, and what follows from them.
fn check_equal(publisher: &Server, replica: &Server) {
    let mut ids = Vec::new();
    loop {
        let path = format!("/optimizations?limit=200&offset={}", ids.len());
        let (expected, found) = (publisher.bytes(&path).0, replica.bytes(&path).0);
        assert_eq!(expected, found, "{path}");
        let page: Value = serde_json::from_slice(&expected).unwrap();
        let items = page["optimizations"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
    }
    assert!(ids.len() > 50);
    for id in &ids {
        let path = format!("/optimizations/{id}");
        assert_eq!(publisher.bytes(&path).0, replica.bytes(&path).0, "{path}");
    }
    for query in
        ["sort=name", "status=failed&status=running", "summary=true&limit=1000", "kind=optimize&sort=-name"]
    {
        let path = format!("/optimizations?{query}");
        assert_eq!(publisher.bytes(&path).0, replica.bytes(&path).0, "{path}");
    }
    assert_eq!(publisher.get("/optimizations/none").status, 404);
    assert_eq!(replica.get("/optimizations/none").status, 404);
}

fn a_replica_answers_as_its_publisher_does_whoever_is_killed_and_after_compaction(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "300", "1");
    let flow = rig.spawn(&["load", "--optimizations", "1500", "--seed", "2", "--runs", "2", "--rate", "800"]);
    let mut dice = Dice::new(3);
    let (mut publisher, mut replica) = (topic.publish(), topic.replicate("replica"));
    for kill in 0..8 {
        sleep(Duration::from_millis(300 + dice.below(1_500) as u64));
        if kill % 2 == 0 {
            replica.kill();
            replica = topic.replicate("replica");
        } else {
            publisher.kill();
            publisher = topic.publish();
        }
    }
    assert!(flow.wait().success());
    let marked = wait_until_marked(rig, &publisher);
    let report = wait_until_replicated(&replica, &marked);
    assert_eq!((report.views, report.replica.unwrap().unreadable_views), (publisher.report().views, 0));
    check_equal(&publisher, &replica);
    let answer = replica.get(&format!("/optimizations/{}/transitions", "any"));
    assert_eq!((answer.status, &answer.body["detail"]), (501, &json!({ "reads_from": "views" })));
    // What is left by compaction gives the same. Each view was written several times, so this does not hold before.
    wait_until("the topic is compacted", || {
        let (views, replaced) = topic.count_views();
        (replaced * 10 < views).then_some(())
    });
    let late = topic.replicate("late");
    wait_until_replicated(&late, &marked);
    check_equal(&publisher, &late);
    // A clean end is gone on with, and its directory is no store of events.
    assert!(late.stop().0.success());
    let late_dir = rig.directory.path().join("late");
    let output = rig
        .optview(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(&late_dir)
        .output();
    let output = output.unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && why.contains("is made of a topic of views"), "{why}");
    let output = rig.optview(&["verify", "--data-dir"]).arg(&late_dir).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && why.contains("is made of a topic of views"), "{why}");
    let late = topic.replicate("late");
    wait_until_replicated(&late, &marked);
    check_equal(&publisher, &late);
}

fn a_replica_serves_while_the_brokers_are_away_and_goes_on_once_they_are_back(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    let topic = ViewsTopic::new(rig);
    load(rig, "200", "1");
    let (publisher, replica) = (topic.publish(), topic.replicate("replica"));
    wait_until_replicated(&replica, &wait_until_marked(rig, &publisher));
    check_equal(&publisher, &replica);
    broker.kill();
    let list = "/optimizations?limit=200";
    let shown = replica.bytes(list).0;
    replica.wait_for("its age grows", |report| report.lag_seconds.is_some_and(|lag| lag > 3.0));
    replica.kill();
    let replica = topic.replicate("replica");
    replica.wait_for("its store is open", |report| report.views > 0);
    let (body, state) = replica.bytes(list);
    assert_eq!((body, state.as_deref()), (shown, Some("stale")));
    assert!(replica.report().lag_seconds.is_some_and(|lag| lag > 3.0), "{:?}", replica.report());
    broker.restart();
    load(rig, "100", "2");
    wait_until_replicated(&replica, &wait_until_marked(rig, &publisher));
    check_equal(&publisher, &replica);
}

fn a_replica_of_a_topic_that_is_created_again_shows_the_old_views_until_it_has_the_new(rig: &Rig) {
    let topic = ViewsTopic::new(rig);
    load(rig, "200", "1");
    let (publisher, replica) = (topic.publish(), topic.replicate("replica"));
    wait_until_replicated(&replica, &wait_until_marked(rig, &publisher));
    let list = "/optimizations?limit=1000";
    let shown = replica.bytes(list).0;
    assert!(publisher.stop().0.success());
    topic.remove();
    topic.create();
    let report = replica.wait_for("it notices", |report| report.state == "stale");
    assert!(report.last_error.is_some_and(|error| error.contains("made anew")));
    let (body, state) = replica.bytes(list);
    assert_eq!((body, state.as_deref()), (shown, Some("stale")));
    load(rig, "100", "2");
    let publisher = topic.publish();
    let marked = wait_until_marked(rig, &publisher);
    let report = wait_until_replicated(&replica, &marked);
    assert_eq!(report.generation, 2);
    check_equal(&publisher, &replica);
}
