//! Topics that will lose history cause a warning, and those that the program itself creates lose none.

use optview::domain::Topic;
use optview::source::kafka::admin;
use optview::source::kafka::topic_settings::{TopicSettings, topic_settings};
use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(topics_that_load_makes_keep_all_of_their_records, Broker),
    test!(load_warns_of_topics_that_lose_records_and_leaves_them_as_they_are, Broker),
    test!(serve_says_how_long_topics_keep_what_a_rebuild_would_need, Broker),
    test!(settings_that_may_not_be_seen_are_told_once_with_what_to_grant, BrokerWithRightsOfItsOwn),
];

const WEEK_MILLIS: i64 = 7 * 24 * 3_600_000;
const DAY_SECONDS: f64 = 24.0 * 3600.0;

fn create(rig: &Rig, topic: Topic, settings: &[(&str, &str)]) {
    admin::ensure_topics_with(&rig.settings, &[(topic, 2)], settings).expect("a topic");
}

fn settings(rig: &Rig) -> Vec<TopicSettings> {
    let held = topic_settings(&rig.settings).expect("an answer");
    assert_eq!(held.len(), 3, "{held:?}");
    held.into_values().collect()
}

fn topics_that_load_makes_keep_all_of_their_records(rig: &Rig) {
    let output = rig.run(&["load", "--optimizations", "5"]);
    for held in settings(rig) {
        assert_eq!(held, TopicSettings::new("delete", -1, -1));
    }
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("WARN"), "{log}");
}

fn load_warns_of_topics_that_lose_records_and_leaves_them_as_they_are(rig: &Rig) {
    Topic::ALL.into_iter().for_each(|topic| create(rig, topic, &[("retention.ms", "604800000")]));
    let before = settings(rig);
    let output = rig.run(&["load", "--optimizations", "5", "--partitions", "2"]);
    let log = String::from_utf8_lossy(&output.stderr);
    for topic in Topic::ALL {
        let named = format!("the topic `{}` will lose history", rig.settings.topics.get(topic));
        let warning =
            log.lines().find(|line| line.contains(&named)).unwrap_or_else(|| panic!("not {named}: {log}"));
        assert!(warning.contains("retention.ms=604800000") && warning.contains("retention.ms=-1"), "{warning}");
    }
    assert_eq!(settings(rig), before);
    assert_eq!(before[0].removes_by_age(), Some(WEEK_MILLIS));
}

fn serve_says_how_long_topics_keep_what_a_rebuild_would_need(rig: &Rig) {
    create(rig, Topic::Optimizations, &[("retention.ms", "604800000"), ("retention.bytes", "1000000000")]);
    create(rig, Topic::Jobs, &[("cleanup.policy", "compact")]);
    create(rig, Topic::MultistartRuns, &[("retention.ms", "-1")]);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    let name = |topic: Topic| rig.settings.topics.get(topic);
    let reported = |topic: Topic| {
        let topics = server.get_admin("/status").body["topics"].clone();
        topics
            .as_array()?
            .iter()
            .find(|held| held["topic"] == name(topic) && held["retention_ms"].is_number())
            .cloned()
    };
    let optimizations = wait_until("the settings are reported", || reported(Topic::Optimizations));
    assert_eq!(optimizations["retention_ms"], WEEK_MILLIS);
    assert_eq!(optimizations["retention_bytes"], 1_000_000_000);
    assert!(optimizations["oldest_record_goes_at"].is_string(), "{optimizations}");
    let jobs = reported(Topic::Jobs).expect("all are reported at once");
    assert_eq!(jobs["cleanup_policy"], "compact");
    let runs = reported(Topic::MultistartRuns).expect("all are reported at once");
    assert_eq!((&runs["retention_ms"], &runs["warning"]), (&Value::from(-1), &Value::Null));

    let left = |topic| value(&server, &format!("optview_topic_history_seconds_left{{topic=\"{}\"}}", name(topic)));
    let week = left(Topic::Optimizations);
    assert!(week > 6.0 * DAY_SECONDS && week <= 7.0 * DAY_SECONDS, "{week}");
    assert!(left(Topic::Jobs) <= 0.0);
    assert!(left(Topic::MultistartRuns).is_infinite());
    let limited = |topic, by| {
        value(&server, &format!("optview_topic_history_limited{{topic=\"{}\",by=\"{by}\"}}", name(topic))) > 0.0
    };
    assert!(limited(Topic::Optimizations, "age") && limited(Topic::Optimizations, "size"));
    assert!(limited(Topic::Jobs, "compaction") && !limited(Topic::Jobs, "age"));
    assert!(!limited(Topic::MultistartRuns, "age") && !limited(Topic::MultistartRuns, "size"));

    let warnings = || server.log().lines().filter(|line| line.contains("will lose history")).count();
    wait_until("both are logged", || (warnings() == 2).then_some(()));
    assert_eq!(server.get("/readyz").status, 200, "nothing else changes by it");
}

fn settings_that_may_not_be_seen_are_told_once_with_what_to_grant(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    let jobs = rig.settings.topics.get(Topic::Jobs);
    for right in [
        ["--allow-principal", "User:*", "--operation", "All"],
        ["--deny-principal", "User:*", "--operation", "DescribeConfigs"],
    ] {
        broker.change_rights(&[&["--add"][..], &right[..], &["--topic", jobs]].concat());
    }
    wait_until("the right is gone", || {
        let held = topic_settings(&rig.settings).ok()?;
        (held.len() == 2 && !held.contains_key(&Topic::Jobs)).then_some(())
    });
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    let topics = wait_until("it was asked", || {
        let topics = server.get_admin("/status").body["topics"].as_array()?.clone();
        (topics.len() == 3).then_some(topics)
    });
    for reported in &topics {
        let warning = reported["warning"].as_str();
        assert_eq!(warning.is_some(), reported["topic"] == jobs, "{reported}");
        assert!(warning.is_none_or(|text| text.contains("grant DescribeConfigs on it")), "{reported}");
    }
    let left = format!("optview_topic_history_seconds_left{{topic=\"{jobs}\"}}");
    assert!(value(&server, &left).is_nan());
    let warnings = || server.log().lines().filter(|line| line.contains("grant DescribeConfigs")).count();
    wait_until("it is logged", || (warnings() == 1).then_some(()));
    assert_eq!(server.get("/readyz").status, 200, "it is no error of the process");
}

/// Returns the value of a metric, whose labels are written as in the exposition.
fn value(server: &Server, name: &str) -> f64 {
    let answer = ureq::get(format!("http://{}/metrics", server.addresses().admin)).call();
    let text = answer.expect("an answer").body_mut().read_to_string().expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().expect("a number")
}
