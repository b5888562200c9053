//! The tests that need a real Apache Kafka. They are ignored without one, so that `cargo test` needs Rust and a C toolchain only:
//!
//! - `OPTVIEW_TEST_KAFKA=host:port` uses a broker that is there (it must let clients create topics);
//! - `OPTVIEW_TEST_KAFKA=start` starts one with `tests/kafka/broker` (Java 17 or later, and Maven), for as long as the
//!   tests run.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed, and its numbers are small"
)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use rig::{Brokers, Kafka, Rig};

/// The test that a function is, by the function's own name.
macro_rules! test {
    ($run:ident, $needs:ident) => {
        crate::Test { name: stringify!($run), needs: crate::Requirement::$needs, run: $run }
    };
}

mod archive;
mod broker;
mod check;
mod cluster;
mod cluster_id;
mod committed_records;
mod cpu;
mod crash;
mod damage;
mod dead_letters;
mod deaf_client;
mod dice;
mod ends;
mod events;
mod findings;
mod format;
mod garbage;
mod golden;
mod health;
mod history;
mod load;
mod lost_history;
mod orphans;
mod outage;
mod producers;
mod publication;
mod python_client;
mod rebuild;
mod recording;
mod recreated_topic;
mod replica;
mod rig;
mod rights;
mod server;
mod snapshot;
mod stop;
mod streams;
mod tls_and_sasl;
mod tools;
mod topic_settings;
mod topics;
mod transactions;
mod verify;
mod visible_views;

#[path = "../suite/cases.rs"]
mod cases;
#[expect(dead_code, reason = "the suite uses the rest of it")]
#[path = "../suite/fixtures.rs"]
mod fixtures;
#[path = "../suite/other_version.rs"]
mod other_version;
#[path = "../api/python.rs"]
mod python;
#[expect(dead_code, reason = "the suite uses the rest of it")]
#[path = "../suite/support.rs"]
mod support;

/// One test against a real broker.
struct Test {
    /// The test's name, a sentence that is true.
    name: &'static str,
    needs: Requirement,
    /// The test itself. Its rig has topics and a directory of the test's own.
    run: fn(&Rig),
}

/// The environment that a test needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requirement {
    /// A broker that other tests use as well.
    Broker,
    /// A broker that the test can kill. Only `OPTVIEW_TEST_KAFKA=start` has those.
    BrokerOfItsOwn,
    /// A broker that the test can kill, reached by TLS and with a password only. The test is ignored if optview is built without
    /// the feature `tls`.
    SecuredBrokerOfItsOwn,
    /// A broker of the test's own with access control lists.
    BrokerWithRightsOfItsOwn,
    /// A broker that other tests use as well, and the platform's Python client.
    BrokerAndPython,
    /// A broker that other tests use as well, and what builds a producer in this language.
    BrokerAndProducer(producers::Language),
    /// Several brokers and a quarter of an hour. The test runs only with `OPTVIEW_TEST_RECORD=1`.
    Recording,
}

const TESTS: &[&[Test]] = &[
    // The longest first, so that the last to run is a short one.
    crash::TESTS,
    rebuild::TESTS,
    rebuild::from_archive::TESTS,
    rebuild::loss::TESTS,
    format::TESTS,
    publication::TESTS,
    replica::TESTS,
    cluster_id::TESTS,
    health::TESTS,
    rights::TESTS,
    outage::TESTS,
    deaf_client::TESTS,
    recreated_topic::TESTS,
    tls_and_sasl::TESTS,
    producers::TESTS,
    python_client::TESTS,
    garbage::TESTS,
    dead_letters::TESTS,
    golden::TESTS,
    history::TESTS,
    lost_history::TESTS,
    damage::TESTS,
    transactions::TESTS,
    orphans::TESTS,
    findings::TESTS,
    ends::TESTS,
    topics::TESTS,
    topic_settings::TESTS,
    snapshot::TESTS,
    stop::TESTS,
    streams::TESTS,
    tools::TESTS,
    broker::TESTS,
    check::TESTS,
    load::TESTS,
    archive::TESTS,
    verify::TESTS,
    recording::TESTS,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let brokers = Brokers::of_environment();
    let is_started = matches!(brokers, Some(Brokers::Started));
    let trials = TESTS.iter().copied().flatten().map(|test| {
        let run = move || {
            let brokers = brokers.ok_or("needs a broker: set OPTVIEW_TEST_KAFKA")?;
            if test.needs == Requirement::BrokerAndPython
                && let Err(why) = python_client::install()
            {
                return Ok(Completion::ignored_with(why));
            }
            if let Requirement::BrokerAndProducer(language) = test.needs
                && let Err(why) = producers::build(language)
            {
                return Ok(Completion::ignored_with(why));
            }
            let own = match test.needs {
                Requirement::BrokerOfItsOwn => Some(Kafka::start()),
                Requirement::SecuredBrokerOfItsOwn => Some(tls_and_sasl::broker()),
                Requirement::BrokerWithRightsOfItsOwn => Some(health::broker_with_rights()),
                Requirement::Broker
                | Requirement::BrokerAndPython
                | Requirement::BrokerAndProducer(_)
                | Requirement::Recording => None,
            };
            (test.run)(&Rig::new(test.name, brokers, own));
            Ok(Completion::Completed)
        };
        let ignored = match test.needs {
            Requirement::Broker | Requirement::BrokerAndPython | Requirement::BrokerAndProducer(_) => {
                brokers.is_none()
            }
            Requirement::BrokerOfItsOwn | Requirement::BrokerWithRightsOfItsOwn => !is_started,
            Requirement::SecuredBrokerOfItsOwn => !is_started || !cfg!(feature = "tls"),
            Requirement::Recording => std::env::var_os("OPTVIEW_TEST_RECORD").is_none(),
        };
        Trial::ignorable_test(test.name, run).with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if brokers.is_none() && !arguments.list {
        eprintln!(
            "Tests against a real Kafka were ignored. To run them: OPTVIEW_TEST_KAFKA=start cargo test --test broker"
        );
        eprintln!(
            "(Java 17 and Maven: tests/kafka/broker install), or OPTVIEW_TEST_KAFKA=host:port for a broker of yours."
        );
    }
    rig::stop_shared_broker();
    conclusion.exit_code()
}
