//! `optview check` against a real broker, with each fault that only one has: TLS, a password, rights, compaction, retention, clocks.

use std::process::Output;

use optview::domain::Topic;
use optview::source::kafka::admin;
use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job};
use crate::health::{allow_all, deny_read};
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(check_finds_nothing_wrong_with_topics_that_load_makes_and_a_store_of_theirs, Broker),
    test!(check_says_of_each_topic_what_its_settings_will_lose, Broker),
    test!(check_looks_whether_the_topic_of_views_is_there_and_compacted, Broker),
    test!(check_names_the_rights_that_are_missing, BrokerWithRightsOfItsOwn),
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
        (&missing, 0, "doubtful", "`serve` makes it for views, compacted, with 12 partitions"),
    ] {
        let checked = check(rig, &["--publish-views", name]);
        assert_eq!(checked.code, Some(code), "{:#?}", checked.findings);
        assert!(checked.with_verdict(verdict).contains(&("topic", name)), "{:#?}", checked.findings);
        assert!(checked.text("topic", name).contains(part), "{}", checked.text("topic", name));
    }
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
    let checked = crate::rig::wait_until("all rights are in force", || {
        let checked = check(rig, &[]);
        (checked.with_verdict("wrong") == [("read", jobs), ("topic", runs)]).then_some(checked)
    });
    assert_eq!(checked.code, Some(3));
    assert!(checked.text("read", jobs).contains("READ and DESCRIBE"));
    let doubtful = checked.with_verdict("doubtful");
    assert!(doubtful.contains(&("retention", optimizations)), "{doubtful:?}");
    assert!(doubtful.contains(&("group", "optview")), "{doubtful:?}");
}

fn check_tells_a_wrong_password_from_wrong_certificates(rig: &Rig) {
    rig.create_topics(1);
    let checked = check(rig, &[]);
    assert_eq!((checked.code, checked.with_verdict("wrong")), (Some(0), Vec::new()), "{:#?}", checked.findings);
    let given: Vec<String> = rig.settings.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for (wrong, part) in [
        ("sasl.password=wrong-horse", "Authentication"),
        ("ssl.ca.location=probe", "SSL"),
        ("security.protocol=SASL_PLAINTEXT", ""),
    ] {
        let mut properties: Vec<&str> = given.iter().flat_map(|pair| ["--kafka-property", pair]).collect();
        properties.extend(["--kafka-property", wrong]);
        let checked = check(rig, &properties);
        assert_eq!(checked.code, Some(3), "{wrong}");
        assert_eq!(checked.with_verdict("wrong"), [("brokers", rig.settings.brokers.as_str())], "{wrong}");
        assert!(checked.text("brokers", &rig.settings.brokers).contains(part), "{wrong}: {:#?}", checked.findings);
    }
}
