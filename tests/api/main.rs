//! The tests of the read API with what its clients are made of: a browser, TypeScript, Python, and requests that are made from the
//! API's own description. Each runs `optview serve` as a process beside an in-process cluster.
//!
//! They need more than this machine has by itself, so that they are ignored unless `OPTVIEW_TEST_CLIENTS` is set:
//!
//! - `OPTVIEW_TEST_CLIENTS=available` runs those whose tools are there: Node with npm, Chromium, Python with venv. What comes from
//!   npm and PyPI is installed by the tests, in the versions that the lock files name;
//! - `OPTVIEW_TEST_CLIENTS=required` fails where a tool is missing. CI has that.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use instance::World;
use tools::Tool;

/// The test that a function is, by the function's own name.
macro_rules! test {
    ($run:ident, $($tool:ident),+) => {
        crate::Test { name: stringify!($run), tools: &[$(crate::tools::Tool::$tool),+], run: $run }
    };
}

mod browser;
mod description;
mod documents;
mod examples;
mod instance;
mod python;
mod python_clients;
mod script;
mod tools;

/// One test with a client.
struct Test {
    /// The test's name, a sentence that is true.
    name: &'static str,
    /// The tools that it needs.
    tools: &'static [Tool],
    /// The test itself, with a cluster of its own.
    run: fn(&World),
}

impl Test {
    /// Runs the test, unless a tool of it is missing.
    fn attempt(&self, is_required: bool) -> Result<Completion, Failed> {
        match self.tools.iter().find_map(|tool| tool.install().err()) {
            Some(why) if is_required => Err(format!("OPTVIEW_TEST_CLIENTS=required, but {why}").into()),
            Some(why) => Ok(Completion::ignored_with(why)),
            None => {
                (self.run)(&World::new());
                Ok(Completion::Completed)
            }
        }
    }
}

const TESTS: &[&[Test]] = &[
    // The longest first.
    description::TESTS,
    python_clients::TESTS,
    documents::TESTS,
    browser::TESTS,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let wanted = std::env::var("OPTVIEW_TEST_CLIENTS").unwrap_or_default();
    let is_required = wanted == "required";
    let trials = TESTS.iter().copied().flatten().map(|test| {
        Trial::ignorable_test(test.name, move || test.attempt(is_required)).with_ignored_flag(wanted.is_empty())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if wanted.is_empty() && !arguments.list {
        eprintln!(
            "Tests with clients were ignored. To run them: OPTVIEW_TEST_CLIENTS=available cargo test --test api"
        );
    }
    conclusion.exit_code()
}
