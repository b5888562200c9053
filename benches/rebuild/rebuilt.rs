//! Rebuilds and rollbacks as programs, and the duration of each phase by the log of `serve`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::support::Serve;

/// Runs a tool to its end. Returns its last line and its duration.
pub fn run(mut tool: Command) -> (Value, Duration) {
    let begin = Instant::now();
    let output = tool.stderr(Stdio::inherit()).output().expect("the tool starts");
    let took = begin.elapsed();
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{tool:?} ended with {}: {text}", output.status);
    let last = text.lines().last().expect("it prints something");
    (serde_json::from_str(last).expect("with --json it is JSON"), took)
}

/// Builds a new generation and makes it live. All views must be equal.
pub fn rebuild(serve: &Serve) -> Value {
    let (done, _) = run(serve.tool(&["rebuild", "--json"]));
    assert_eq!(done["cut_over"], true, "{done}");
    for none in ["differing", "only_old", "only_new"] {
        assert_eq!(done[none], 0, "{done}");
    }
    done
}

/// The beginning of each phase of the last rebuild, and its end.
#[derive(Clone, Copy)]
pub struct Phases {
    pub building: Duration,
    pub comparing: Duration,
    pub switching: Duration,
}

impl Phases {
    pub fn of_last(serve: &Serve) -> Phases {
        let log = serve.log();
        let last = |text: &str| log.lines().rev().find(|line| line.contains(text)).map(time_of);
        let [building, comparing, switching, ended] =
            ["rebuilding: building", "rebuilding: comparing", "rebuilding: switching", "the rebuild has ended"]
                .map(|phase| last(phase).unwrap_or_else(|| panic!("{phase:?} is not in the log:\n{log}")));
        let between = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
        Phases {
            building: between(building, comparing),
            comparing: between(comparing, switching),
            switching: between(switching, ended),
        }
    }
}

fn time_of(line: &str) -> DateTime<Utc> {
    let time = line.split_whitespace().next().unwrap_or_default();
    time.parse().unwrap_or_else(|error| panic!("a log line begins with its time ({error}): {line}"))
}
