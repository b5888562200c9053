//! What only a real Apache Kafka can show. Ignored without one, so that `cargo test` needs Rust and a C toolchain only:
//!
//! - `OPTVIEW_TEST_KAFKA=host:port` uses a broker that is there (it must let clients create topics);
//! - `OPTVIEW_TEST_KAFKA=start` starts one with `tests/kafka/broker` (Java 17 or later, and Maven), for as long as the
//!   tests run.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use rig::{Brokers, Rig};

mod load;
mod rig;

/// A test's name is a sentence that is true; each gets topics and a directory of its own.
type Test = (&'static str, fn(&Rig));

const TESTS: &[&[Test]] = &[load::TESTS];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let brokers = Brokers::of_environment();
    let ignored = brokers.is_none();
    let trials = TESTS.iter().copied().flatten().map(|&(name, test)| {
        let run = move || {
            let brokers = brokers.ok_or("needs a broker: set OPTVIEW_TEST_KAFKA")?;
            test(&Rig::new(name, brokers.address()));
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if ignored && !arguments.list {
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
