//! `optview check` against a real broker, with each fault that only one has: TLS, a password, rights, compaction, retention, clocks.

use std::process::Output;

use optview::domain::{Record, Topic, TopicPartition};
use optview::source::kafka::admin;
use optview::source::kafka::embedded_broker::EmbeddedBroker;
use optview::source::kafka::producer::Producer;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job};
use crate::health::{allow_all, deny_read};
use crate::rig::{Rig, wait_until};
use crate::server::{Report, Server};

pub const TESTS: &[Test] = &[
    test!(check_finds_nothing_wrong_with_topics_that_load_makes_and_a_store_of_theirs, Broker),
    test!(check_says_of_each_topic_what_its_settings_will_lose, Broker),
    test!(check_looks_whether_the_topic_of_views_is_there_and_compacted, Broker),
    test!(check_looks_whether_dead_letters_would_be_taken, Broker),
    test!(check_tells_a_broker_whose_clock_is_ahead_from_a_producer, Broker),
    test!(check_beside_an_instance_that_publishes_fences_nobody, Broker),
    test!(check_names_the_rights_that_are_missing, BrokerWithRightsOfItsOwn),
    test!(check_names_the_rights_to_write_that_are_missing, BrokerWithRightsOfItsOwn),
    test!(check_tells_a_wrong_password_from_wrong_certificates, SecuredBrokerOfItsOwn),
];

/// The exit code, and the findings as (check, subject, verdict, text).
struct CheckOutcome {
    code: Option<i32>,
    findings: Vec<(String, String, String, String)>,
}

fn check(rig: &Rig, arguments: &[&str]) -> CheckOutcome {
    let data_dir = rig.directory.path().join("data");
    let data_dir = data_dir.to_str().expect("a path that is text");
    let fixed = ["check", "--json", "--data-dir", data_dir, "--min-free-disk", "0"];
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let Output { status, stdout, stderr } =
        rig.optview(&[&fixed[..], &ports, arguments].concat()).output().expect("a program to run");
    let json: Value = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    assert!(!String::from_utf8_lossy(&stdout).contains("-horse"), "a password is in the answer");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = json["findings"].as_array().expect("a list").iter().map(|finding| {
        (text(finding, "check"), text(finding, "subject"), text(finding, "verdict"), text(finding, "text"))
    });
    CheckOutcome { code: status.code(), findings: findings.collect() }
}

impl CheckOutcome {
    fn with_verdict(&self, verdict: &str) -> Vec<(&str, &str)> {
        let found = self.findings.iter().filter(|(_, _, held, _)| held == verdict);
        found.map(|(check, subject, ..)| (check.as_str(), subject.as_str())).collect()
    }

    fn text(&self, check: &str, subject: &str) -> &str {
        let found = self.findings.iter().find(|(held, of, ..)| held == check && of == subject);
        &found.unwrap_or_else(|| panic!("no {check} of {subject}: {:#?}", self.findings)).3
    }
}

fn check_finds_nothing_wrong_with_topics_that_load_makes_and_a_store_of_theirs(rig: &Rig) {
    rig.run(&["load", "--optimizations", "20"]);
    let checked = check(rig, &["--sample", "50"]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    for topic in Topic::ALL {
        let name = rig.settings.topics.get(topic);
        for (thing, part) in [
            ("retention", "it keeps all of its records"),
            ("history", "every partition begins at offset 0"),
            ("read", "partitions can be read"),
            ("message_size", "fit"),
            ("clock", "which is not in the future"),
            ("sample", "are understood: "),
        ] {
            assert!(checked.text(thing, name).contains(part), "{thing}: {}", checked.text(thing, name));
        }
    }
    // With a store that has read them, too; and with one of another name.
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    let checked = check(rig, &[]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
}

fn check_says_of_each_topic_what_its_settings_will_lose(rig: &Rig) {
    let create = |topic, settings: &[(&str, &str)]| {
        admin::ensure_topics_with(&rig.settings, &[(topic, 2)], settings).expect("a topic");
    };
    create(Topic::Optimizations, &[("cleanup.policy", "compact"), ("max.message.bytes", "20000000")]);
    create(Topic::Jobs, &[("retention.ms", "604800000"), ("retention.bytes", "1000000000")]);
    create(Topic::MultistartRuns, &[("retention.ms", "-1"), ("message.timestamp.type", "LogAppendTime")]);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let checked = check(rig, &[]);
    let [optimizations, jobs, runs] = Topic::ALL.map(|topic| rig.settings.topics.get(topic));
    assert_eq!(checked.code, Some(3));
    assert_eq!(checked.with_verdict("wrong"), [("retention", optimizations)], "{:#?}", checked.findings);
    assert!(checked.text("retention", optimizations).contains("`created`"));
    let doubtful = checked.with_verdict("doubtful");
    assert!(doubtful.contains(&("message_size", optimizations)), "{doubtful:?}");
    assert!(doubtful.contains(&("retention", jobs)), "{doubtful:?}");
    let text = checked.text("retention", jobs);
    assert!(text.contains("7days old") && text.contains("retention.bytes"), "{text}");
    assert_eq!(checked.text("retention", runs), "it keeps all of its records");
    // A client that receives less than the topic takes cannot read such a batch.
    let checked = check(
        rig,
        &[
            "--kafka-property",
            "receive.message.max.bytes=15000000",
            "--kafka-property",
            "fetch.max.bytes=14000000",
        ],
    );
    assert!(checked.with_verdict("wrong").contains(&("message_size", optimizations)), "{:#?}", checked.findings);
}

fn check_looks_whether_the_topic_of_views_is_there_and_compacted(rig: &Rig) {
    rig.create_topics(1);
    let name = |suffix: &str| format!("{}-{suffix}", rig.settings.topics.get(Topic::Optimizations));
    let (compacted, deleted, missing) = (name("compacted"), name("deleted"), name("missing"));
    for (name, policy) in [(&compacted, "compact"), (&deleted, "delete")] {
        admin::ensure_topic(&rig.settings, name, 3, None, &[("cleanup.policy", policy)]).expect("a topic");
    }
    for (name, code, verdict, part) in [
        (&compacted, 0, "right", "it has 3 partitions for views, each with a leader, and is compacted"),
        (&deleted, 3, "wrong", "it has cleanup.policy=delete"),
        (&missing, 0, "doubtful", "`serve` makes it for views, compacted, with 6 partitions"),
    ] {
        let checked = check(rig, &["--publish-views", name]);
        assert_eq!(checked.code, Some(code), "{:#?}", checked.findings);
        assert!(checked.with_verdict(verdict).contains(&("topic", name)), "{:#?}", checked.findings);
        assert!(checked.text("topic", name).contains(part), "{}", checked.text("topic", name));
    }
}

/// Creates a topic beside the three of a rig, and returns its name.
fn create(rig: &Rig, suffix: &str, settings: &[(&str, &str)]) -> String {
    let name = format!("{}-{suffix}", rig.settings.topics.get(Topic::Optimizations));
    admin::ensure_topic(&rig.settings, &name, 2, None, settings).expect("a topic");
    name
}

fn check_looks_whether_dead_letters_would_be_taken(rig: &Rig) {
    rig.create_topics(1);
    let sound = create(rig, "letters", &[("max.message.bytes", "2000000")]);
    let compacted = create(rig, "compacted", &[("cleanup.policy", "compact,delete")]);
    let small = create(rig, "small", &[("max.message.bytes", "100000")]);
    let checked = check(rig, &["--dead-letter-topic", &sound]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    for (thing, part) in [
        ("topic", "it has 2 partitions for dead letters, each with a leader, and is not compacted"),
        ("write", "this user may write to it"),
        ("message_size", "in which every letter fits"),
    ] {
        assert!(checked.text(thing, &sound).contains(part), "{thing}: {}", checked.text(thing, &sound));
    }
    // Nothing was written.
    assert_eq!(rig.end_of(&sound), 0);
    let checked = check(rig, &["--dead-letter-topic", &compacted]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(3), vec![("topic", compacted.as_str())]));
    let text = checked.text("topic", &compacted);
    assert!(text.contains("cleanup.policy=compact,delete") && text.contains("letters without a key"), "{text}");
    let checked = check(rig, &["--dead-letter-topic", &small]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()));
    assert!(
        checked.with_verdict("doubtful").contains(&("message_size", small.as_str())),
        "{:#?}",
        checked.findings
    );
}

fn check_tells_a_broker_whose_clock_is_ahead_from_a_producer(rig: &Rig) {
    rig.create_topics(1);
    let jobs = rig.settings.topics.get(Topic::Jobs);
    let position = TopicPartition::new(Topic::Jobs, 0).at(0);
    let ahead = chrono::Utc::now().timestamp_millis() + 1_800_000;
    let (key, value) = (Some(&b"j"[..]), Some(&b"{}"[..]));
    let mut producer = Producer::new(&rig.settings).expect("a producer");
    let record = Record { position, timestamp_millis: Some(ahead), key, value, headers: Vec::new() };
    producer.copy(&record).expect("a record that is taken");
    producer.finish().expect("a record that is delivered");
    let checked = check(rig, &[]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    assert!(checked.with_verdict("doubtful").contains(&("clock", jobs)), "{:#?}", checked.findings);
    // As if its broker had stamped it.
    set_topic(rig, jobs, "message.timestamp.type", "LogAppendTime");
    let checked =
        wait_until("the setting is in force", || Some(check(rig, &[])).filter(|checked| checked.code == Some(3)));
    assert_eq!(checked.with_verdict("wrong"), [("clock", jobs)], "{:#?}", checked.findings);
    assert!(checked.text("clock", jobs).contains("its broker's clock is 29m"), "{}", checked.text("clock", jobs));
}

/// Changes a setting of a topic.
fn set_topic(rig: &Rig, topic: &str, key: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> = rig.settings.client_config().create().expect("a client");
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let changed = runtime.block_on(admin.alter_configs([&change], &AdminOptions::new())).expect("an answer");
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

fn check_beside_an_instance_that_publishes_fences_nobody(rig: &Rig) {
    rig.create_topics(1);
    let views = create(rig, "views", &[("cleanup.policy", "compact")]);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &["--publish-views", &views]);
    let is_publishing =
        |report: &Report| report.publication.as_ref().is_some_and(|publication| publication.state == "publishing");
    server.wait_for("it publishes", is_publishing);
    server.wait_until_all_is_kept(rig);
    let checked = check(rig, &["--publish-views", &views]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    let id = format!("optview-views-{views}");
    assert_eq!(checked.text("transactional_id", &id), "this user may publish views under it");
    assert_eq!(checked.text("write", &views), "this user may write to it, and read it");
    // A fenced instance would say so with the next view.
    put(rig, &[job("a", "completed", 2)]);
    let report = server.wait_until_all_is_kept(rig);
    assert!(is_publishing(&report), "{:?}", report.publication);
    assert!(server.stop().0.success());
}

fn check_names_the_rights_that_are_missing(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let [optimizations, jobs, runs] = Topic::ALL.map(|topic| rig.settings.topics.get(topic));
    let checked = check(rig, &[]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    allow_all(broker, jobs);
    deny_read(broker, jobs);
    for right in [
        ["--allow-principal", "User:*", "--operation", "All"],
        ["--deny-principal", "User:*", "--operation", "DescribeConfigs"],
    ] {
        broker.change_rights(&[&["--add"][..], &right[..], &["--topic", optimizations]].concat());
    }
    broker.change_rights(&["--add", "--deny-principal", "User:*", "--operation", "Describe", "--topic", runs]);
    broker.change_rights(&[
        "--add",
        "--deny-principal",
        "User:*",
        "--operation",
        "Describe",
        "--group",
        "optview",
    ]);
    // Brokers take over rights a moment after they were given.
    let checked = wait_until("all rights are in force", || {
        let checked = check(rig, &[]);
        (checked.with_verdict("wrong") == [("read", jobs), ("topic", runs)]).then_some(checked)
    });
    assert_eq!(checked.code, Some(3));
    assert!(checked.text("read", jobs).contains("READ and DESCRIBE"));
    let doubtful = checked.with_verdict("doubtful");
    assert!(doubtful.contains(&("retention", optimizations)), "{doubtful:?}");
    assert!(doubtful.contains(&("group", "optview")), "{doubtful:?}");
}

fn check_names_the_rights_to_write_that_are_missing(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    let letters = create(rig, "letters", &[("max.message.bytes", "2000000")]);
    let views = create(rig, "views", &[("cleanup.policy", "compact")]);
    let missing = format!("{views}-missing");
    let id = format!("optview-views-{views}");
    let arguments = ["--dead-letter-topic", &letters, "--publish-views", &views];
    let checked = check(rig, &arguments);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    let checked = check(rig, &["--publish-views", &missing]);
    assert!(
        checked.text("topic", &missing).contains("which this user may"),
        "{}",
        checked.text("topic", &missing)
    );
    let deny = |operation: &str, of: &[&str]| {
        broker.change_rights(&[&["--add", "--allow-principal", "User:*", "--operation", "All"][..], of].concat());
        broker
            .change_rights(&[&["--add", "--deny-principal", "User:*", "--operation", operation][..], of].concat());
    };
    deny("Write", &["--topic", &letters]);
    deny("Read", &["--topic", &views]);
    deny("Write", &["--transactional-id", &id]);
    let expected = [("write", letters.as_str()), ("write", &views), ("transactional_id", &id)];
    let checked = wait_until("the rights are in force", || {
        Some(check(rig, &arguments)).filter(|checked| checked.with_verdict("wrong") == expected)
    });
    assert_eq!(checked.code, Some(3));
    assert!(checked.text("write", &letters).contains("no checkpoint passes a dead letter"));
    assert!(checked.text("write", &views).contains("may not read it"));
    assert!(checked.text("transactional_id", &id).contains("may not publish views under it"));
    // A topic that is not there can be created by whoever may create it, or any topic.
    deny("Create", &["--topic", &missing]);
    deny("Create", &["--cluster"]);
    let checked = wait_until("the rights are in force", || {
        Some(check(rig, &["--publish-views", &missing])).filter(|checked| checked.code == Some(3))
    });
    assert!(checked.with_verdict("wrong").contains(&("topic", missing.as_str())), "{:#?}", checked.findings);
    assert!(checked.text("topic", &missing).contains("which the cluster refuses"), "{:#?}", checked.findings);
}

fn check_tells_a_wrong_password_from_wrong_certificates(rig: &Rig) {
    rig.create_topics(1);
    let checked = check(rig, &[]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    let given: Vec<String> = rig.settings.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for (wrong, part) in [
        ("sasl.password=wrong-horse", "Authentication"),
        ("ssl.ca.location=probe", "SSL"),
        ("security.protocol=SASL_PLAINTEXT", "Disconnected"),
    ] {
        let mut properties: Vec<&str> = given.iter().flat_map(|pair| ["--kafka-property", pair]).collect();
        properties.extend(["--kafka-property", wrong]);
        let checked = check(rig, &properties);
        assert_eq!(checked.code, Some(3), "{wrong}");
        assert_eq!(checked.with_verdict("wrong"), [("brokers", rig.settings.brokers.as_str())], "{wrong}");
        assert!(checked.text("brokers", &rig.settings.brokers).contains(part), "{wrong}: {:#?}", checked.findings);
    }
    // The reverse: a listener without TLS.
    let plain = EmbeddedBroker::start(rig.settings.topics.clone(), 1).expect("a broker");
    let brokers = plain.settings().brokers;
    let checked = check(rig, &["--brokers", &brokers, "--kafka-property", "security.protocol=SSL"]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(3), vec![("brokers", brokers.as_str())]));
    assert!(checked.text("brokers", &brokers).contains("SSL"), "{:#?}", checked.findings);
}
