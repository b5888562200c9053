//! New topics and new partitions are found without a restart.

use optview::domain::Topic;

use crate::Test;
use crate::cluster::{add_partitions, create_topic, put};
use crate::events::{created, job, run_started, wait_for_status};
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(topics_that_are_missing_are_named_and_read_once_they_are_there, Broker),
    test!(partitions_that_are_added_are_read_without_a_restart, Broker),
];

fn topics_that_are_missing_are_named_and_read_once_they_are_there(rig: &Rig) {
    let names = Topic::ALL.map(|topic| rig.settings.topics.get(topic));
    let mut server = Server::start(rig, &[]);
    let says = |missing: &[&str]| {
        server.wait_for("the missing topics are named", |report| {
            let error = report.last_error.as_deref().unwrap_or_default();
            names.iter().all(|name| error.contains(*name) == missing.contains(name))
        });
        let ready = server.get_admin("/readyz");
        let message = ready.body["message"].as_str().expect("a message");
        assert_eq!(ready.status, 503);
        assert!(missing.iter().all(|name| message.contains(name)), "{message}");
    };
    says(&names);
    create_topic(rig, Topic::Optimizations, 2);
    says(&names[1..]);
    rig.create_topics(2);
    let report = server.wait_until_live();
    assert_eq!(report.partitions.len(), 6);
    assert_eq!(report.last_error, None);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    wait_for_status(&server, "a", "queued");
    assert_eq!(server.get("/readyz").status, 200);
    assert!(server.is_running());
}

fn partitions_that_are_added_are_read_without_a_restart(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    assert_eq!(server.wait_until_live().partitions.len(), 3);
    for topic in Topic::ALL {
        add_partitions(rig, topic, 3);
    }
    // The records come before the partitions are found, so that reading must begin with them and not behind them.
    put(rig, &[created("b").to(2), job("b", "processing", 1).to(1), run_started("b", 0).to(2)]);
    wait_for_status(&server, "b", "running");
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.partitions.len(), 9);
    report.check();
    assert_eq!(server.get("/optimizations/b").body["run_count"], 1);
}
