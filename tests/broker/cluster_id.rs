//! A store never reads another cluster than the one it was built from, even if the topics there have the same
//! names.

use crate::Test;
use crate::cluster::put;
use crate::events::{completed, created, job, wait_for_status};
use crate::rebuild::run;
use crate::rig::{Kafka, Rig};
use crate::server::Server;

pub const TESTS: &[Test] =
    &[test!(a_data_directory_of_another_cluster_is_not_touched_and_is_said_to_be_one, BrokerOfItsOwn)];

fn a_data_directory_of_another_cluster_is_not_touched_and_is_said_to_be_one(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let file = rig.directory.path().join("views.snapshot");
    let file = file.to_str().expect("text");
    assert_eq!(run(rig, &["snapshot", "export", file]).code, Some(0));
    assert!(server.stop().0.success());

    // The other cluster has as many records of the same topics, and more.
    let other = Kafka::start();
    let elsewhere = Rig::of(&other, rig);
    elsewhere.create_topics(1);
    put(&elsewhere, &[created("x"), created("y"), job("x", "pending", 1), completed("x", 2)]);
    other.kill();
    let address = other.address.as_str();

    let check = |server: &Server| {
        let report = server.wait_for("refused", |report| report.state == "stalled");
        let why = report.last_error.expect("an error");
        for part in ["was built from the Kafka cluster ", "the brokers are of the cluster ", "--data-dir"] {
            assert!(why.contains(part), "no {part}: {why}");
        }
        assert_eq!(report.partitions.len(), 0, "none is read");
        // A store that reads nothing cannot know whether the optimization exists.
        assert_eq!(server.get("/optimizations/x").status, 503);
        assert_eq!(server.get("/optimizations/a").body["status"], "queued", "what there is is shown");
        assert!(
            server.get_admin("/readyz").body["message"].as_str().is_some_and(|message| message.contains(&why))
        );
    };
    // The broker becomes reachable after the store is open.
    let server = Server::start(rig, &["--brokers", address]);
    server.wait_for("no answer", |report| report.last_error.is_some());
    other.restart();
    check(&server);
    let refused = run(rig, &["rebuild"]);
    assert!(refused.code == Some(1) && refused.error.contains("was built from the Kafka cluster"), "{refused:?}");
    assert!(server.stop().0.success());

    for tool in ["rebuild", "verify"] {
        let refused = run(rig, &[tool, "--brokers", address]);
        assert!(refused.code == Some(1) && refused.error.contains("brokers are of the cluster"), "{refused:?}");
    }
    // A snapshot contains the cluster's id.
    let replica = rig.directory.path().join("replica");
    let replica = replica.to_str().expect("text");
    let server = Server::start(rig, &["--brokers", address, "--data-dir", replica, "--from-snapshot", file]);
    check(&server);
    assert!(server.stop().0.success());

    let server = Server::start(rig, &[]);
    server.wait_until_live().check();
    put(rig, &[completed("a", 2)]);
    wait_for_status(&server, "a", "succeeded");
}
