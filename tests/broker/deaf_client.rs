//! A client that a broker's outage has left deaf is replaced: no outage that ends leaves records unread.

use std::time::{Duration, Instant};

use crate::Test;
use crate::cluster::put;
use crate::events::{created, job};
use crate::rig::{Kafka, Rig};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(a_broker_that_was_frozen_is_read_again_each_time, BrokerOfItsOwn),
    test!(a_cluster_that_has_moved_to_another_address_is_read_there, BrokerOfItsOwn),
];

/// Number of times that the broker is frozen. `OPTVIEW_TEST_FREEZES` changes it, for example to 50 for a night's
/// run.
const FREEZES: usize = 3;
const FROZEN: Duration = Duration::from_secs(6);
/// Time limit of the healing. A deaf client is replaced after 30 s, and perhaps several times.
const HEALED_WITHIN: Duration = Duration::from_secs(300);

fn a_broker_that_was_frozen_is_read_again_each_time(rig: &Rig) {
    let broker = own(rig);
    rig.create_topics(2);
    put(rig, &[created("a")]);
    let server = Server::start(rig, &[]);
    server.wait_until_live().check();
    let rounds = std::env::var("OPTVIEW_TEST_FREEZES").ok().and_then(|rounds| rounds.parse().ok());
    for round in 0..rounds.unwrap_or(FREEZES) {
        broker.freeze();
        std::thread::sleep(FROZEN);
        broker.thaw();
        check_is_read(rig, &server, 2 * round as u64);
        // In some rounds, the broker is restarted meanwhile.
        if round % 2 == 1 {
            broker.kill();
            broker.restart();
            check_is_read(rig, &server, 2 * round as u64 + 1);
        }
    }
    server.report().check();
    assert_eq!(server.get("/readyz").status, 200);
}

fn a_cluster_that_has_moved_to_another_address_is_read_there(rig: &Rig) {
    let broker = own(rig);
    rig.create_topics(2);
    put(rig, &[created("a")]);
    // The next port of a broker is not known in advance, so the broker moves once, and the server gets both
    // addresses.
    let first = broker.move_to_another_port();
    let second = rig.settings.brokers.clone();
    let server = Server::start(rig, &["--brokers", &format!("{second},{first}")]);
    server.wait_until_live().check();
    // The broker moves back to its first port.
    broker.move_to(&second);
    check_is_read(rig, &server, 0);
}

fn own(rig: &Rig) -> &Kafka {
    rig.own_broker.as_ref().expect("the test asks for one")
}

/// Checks that a record that is put now becomes visible.
fn check_is_read(rig: &Rig, server: &Server, round: u64) {
    let (became, status) = [("processing", "running"), ("pending", "queued")][(round % 2) as usize];
    put(rig, &[job("a", became, 10 + round)]);
    let begin = Instant::now();
    while server.get("/optimizations/a").body["status"] != status {
        assert!(begin.elapsed() < HEALED_WITHIN, "round {round}: not read: {:?}", server.report());
        std::thread::sleep(Duration::from_millis(50));
    }
}
