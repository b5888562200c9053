//! Measures the speed of `history` over a log, against a real broker: bare librdkafka reading and dropping the
//! records, then the program itself from its start to its end; in turn, in one run.
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench history -- --optimizations 50000 --runs 8 --encoding json --rounds 3
//! ```
//!
//! Loads the topics if they do not exist yet. Their names state their contents.

#[expect(dead_code, reason = "shared with the reads' benchmark, which needs more of it")]
mod support;

use std::time::Instant;

use optview::domain::Body;
use optview::synthetic::{History, HistorySettings};
use support::{Options, Topics, yardstick};

fn main() {
    let Some(brokers) = support::brokers("history") else { return };
    let options = Options::read();
    let [optimizations, runs, encoding] = [("optimizations", "50000"), ("runs", "8"), ("encoding", "json")]
        .map(|(name, default)| options.get(name, default));
    let rounds = options.number("rounds", "3");
    let topics = Topics::new(&brokers, &format!("bench-history-{optimizations}-{runs}-{encoding}"));
    let records = topics.loaded(&["--optimizations", &optimizations, "--runs", &runs, "--encoding", &encoding]);
    let id = some_id(runs.parse().expect("--runs takes a number"));
    println!("{records} records, {encoding}; the history of {id}");
    let millions = records as f64 / 1e6;
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let begin = Instant::now();
        assert_eq!(yardstick::drain(&topics.settings), records, "bare reading reads everything");
        let bare = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let output = topics.tool(&["history", &id, "--json"]).output().expect("history starts");
        let seconds = begin.elapsed().as_secs_f64();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("history answers in JSON");
        let events = answer["events"].as_array().expect("a list of events").len();
        assert!(events > 0, "the optimization has events");
        println!(
            "round {round}: bare {:.2}M/s; history {:.2}M/s, {events} events; history/bare {:.0} %",
            millions / bare,
            millions / seconds,
            100.0 * bare / seconds
        );
        ratios.push(bare / seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median history/bare: {:.0} %", 100.0 * support::percentile(&ratios, 50.0));
}

/// Returns the id of the optimization that is loaded first: `load` gives the same ones for the same seed.
fn some_id(runs: u32) -> String {
    let mut events = History::new(HistorySettings { runs, ..HistorySettings::default() });
    let id = events.find_map(|event| match event.body {
        Body::Optimization { optimization_id, .. } => Some(optimization_id.into_owned()),
        Body::Job { .. } | Body::Run { .. } => None,
    });
    id.expect("a history has optimizations")
}
