//! A broker that is away or refuses is reported and waited for, and views that were read before remain available.

use std::time::Duration;

use crate::cluster::put;
use crate::events::{created, job, wait_for_status};
use crate::rig::{DEADLINE, Rig, wait_until};
use crate::server::{Marks, Report, Server};
use crate::{Requirement, Test};

pub const TESTS: &[Test] = &[
    test!(reads_go_on_while_the_broker_is_away_and_new_events_are_folded_once_it_is_back, BrokerOfItsOwn),
    test!(a_start_without_a_broker_serves_what_the_store_has_and_becomes_live_once_it_is_there, BrokerOfItsOwn),
    test!(what_a_kill_took_is_marked_until_it_has_been_read_again, BrokerOfItsOwn),
    Test {
        name: "credentials_that_the_broker_does_not_take_are_said_while_the_process_lives",
        needs: Requirement::Broker,
        run: |rig| {
            check_says_why(
                rig,
                &[
                    "--kafka-property",
                    "security.protocol=SASL_PLAINTEXT",
                    "--kafka-property",
                    "sasl.mechanism=PLAIN",
                    "--kafka-property",
                    "sasl.username=optview",
                    "--kafka-property",
                    "sasl.password=hunter2",
                ],
            );
        },
    },
    Test {
        name: "an_address_where_no_broker_listens_is_said_while_the_process_lives",
        needs: Requirement::Broker,
        run: |rig| check_says_why(rig, &["--brokers", "127.0.0.1:1"]),
    },
];

fn reads_go_on_while_the_broker_is_away_and_new_events_are_folded_once_it_is_back(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(2);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let mut server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    broker.kill();
    let away = server.wait_for("an error", |report| report.last_error.is_some());
    assert!(["live", "stale"].contains(&away.state.as_str()), "{away:?}");
    let healthy = server.get_admin("/healthz");
    assert_eq!(healthy.status, 200);
    assert!(healthy.body["last_error"].is_string(), "{healthy:?}");
    assert_eq!(server.get("/readyz").status, 200);
    let view = server.get("/optimizations/a");
    assert_eq!((view.status, &view.body["status"]), (200, &"queued".into()));
    assert_eq!(server.get("/optimizations").body["total"], 1);
    broker.restart();
    put(rig, &[job("a", "completed", 2), created("b")]);
    wait_for_status(&server, "a", "succeeded");
    wait_for_status(&server, "b", "queued");
    let back = server.wait_for("no error", |report| report.last_error.is_none());
    assert_eq!(back.state, "live");
    back.check();
    assert!(server.is_running());
}

fn a_start_without_a_broker_serves_what_the_store_has_and_becomes_live_once_it_is_there(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(2);
    put(rig, &[created("a")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    broker.kill();
    let fresh = Server::start(rig, &["--require-fresh"]);
    fresh.wait_for("an error", |report| report.last_error.is_some());
    let unready = fresh.get("/readyz");
    assert_eq!((unready.status, &unready.body["detail"]["state"]), (503, &"stale".into()));
    assert_eq!(fresh.get("/optimizations/a").status, 200);
    assert!(fresh.stop().0.success());
    let server = Server::start(rig, &[]);
    server.wait_for("an error", |report| report.last_error.is_some());
    check_stale(&server);
    broker.restart();
    server.wait_until_live().check();
    put(rig, &[job("a", "completed", 2)]);
    wait_for_status(&server, "a", "succeeded");
    check_live(&server);
}

/// A `kill -9` may lose records that were read already. Until they are read again, answers are marked as possibly
/// old.
fn what_a_kill_took_is_marked_until_it_has_been_read_again(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(2);
    put(rig, &[created("a")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    // Records that are read from now on are in no checkpoint.
    let server = Server::start(rig, &["--sync-interval", "1h"]);
    server.wait_until_live();
    put(rig, &[job("a", "completed", 2), created("b")]);
    wait_for_status(&server, "a", "succeeded");
    wait_for_status(&server, "b", "queued");
    check_live(&server);
    server.kill();
    broker.kill();
    let server = Server::start(rig, &[]);
    server.wait_for("an error", |report| report.last_error.is_some());
    check_stale(&server);
    // Later records may be visible already, or again.
    let b = server.marks("/optimizations/b");
    assert!((b.status == 200 || b.status == 503) && b.state == "stale", "{b:?}");
    broker.restart();
    server.wait_until_live().check();
    check_live(&server);
    assert_eq!(server.get("/optimizations/a").body["status"], "succeeded");
    assert_eq!(server.get("/optimizations/b").body["status"], "queued");
}

/// Checks that the server answers from its store, marks each answer as possibly old, and reports no optimization
/// as missing.
fn check_stale(server: &Server) {
    for ready in [server.get("/readyz"), server.get_admin("/readyz")] {
        assert_eq!(
            (ready.status, &ready.body["status"], &ready.body["state"]),
            (200, &"stale".into(), &"stale".into())
        );
    }
    assert!(server.get_admin("/readyz").body["last_error"].is_string());
    // That address needs no key.
    assert!(server.get("/readyz").body.get("last_error").is_none());
    let marks = |status, retry_after: Option<&str>| Marks {
        status,
        state: "stale".to_owned(),
        retry_after: retry_after.map(str::to_owned),
    };
    assert!(server.get("/optimizations/a").body["status"].is_string());
    assert_eq!(server.marks("/optimizations/a"), marks(200, None));
    assert_eq!(server.marks("/optimizations"), marks(200, None));
    assert_eq!(server.marks("/optimizations/never"), marks(503, Some("5")));
    assert_eq!(server.get_admin("/optimizations/never/why").status, 503);
}

/// Checks that the server marks its answers as confirmed, and reports missing optimizations. On a busy machine
/// that may take until the broker has answered again.
fn check_live(server: &Server) {
    for (path, status) in [("/optimizations/a", 200), ("/optimizations", 200), ("/optimizations/never", 404)] {
        let expected = Marks { status, state: "live".to_owned(), retry_after: None };
        wait_until(&format!("{path} is answered as {expected:?}"), || {
            (server.marks(path) == expected).then_some(())
        });
    }
    wait_until("ready", || (server.get("/readyz").body["status"] == "ready").then_some(()));
}

/// Checks that the server lives, is not ready, shows the reason without a secret, and stops on SIGTERM.
fn check_says_why(rig: &Rig, arguments: &[&str]) {
    rig.create_topics(1);
    let mut server = Server::start(rig, arguments);
    let report: Report = server.wait_for("an error", |report| report.last_error.is_some());
    assert_ne!(report.state, "live");
    let why = report.last_error.expect("an error");
    let ready = server.get_admin("/readyz");
    assert_eq!((ready.status, server.get("/readyz").status), (503, 503));
    let message = ready.body["message"].as_str().expect("a message");
    assert!(message.contains(": "), "it says why: {message} ({why})");
    assert_eq!(server.get("/healthz").status, 200);
    // Nothing is known yet, so that no optimization is reported as missing and no list as empty.
    for path in ["/optimizations/any", "/optimizations"] {
        let marks = server.marks(path);
        assert_eq!(
            (marks.status, marks.state.as_str(), marks.retry_after.as_deref()),
            (503, "starting", Some("5"))
        );
    }
    assert!(server.is_running());
    assert!(!server.log().contains("hunter2"));
    let (ended, took) = server.stop();
    assert!(ended.success() && took < Duration::min(DEADLINE, Duration::from_secs(10)), "{ended}, {took:?}");
}
