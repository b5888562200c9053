//! Measures rebuild, rollback, snapshot and verify beside readers and traffic, against a real broker. Each figure
//! is a line of JSON, beside the delays of a bare Axum handler's readers in the same time, which are the machine's
//! share:
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench rebuild -- --part rebuild     # 2,000,000 records
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench rebuild -- --part kills       # kill -9, 20 times
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench rebuild -- --part snapshot    # 1,000,000 views
//! ```
//!
//! In all parts, a client reads some views all the while. If a read fails or a view goes back, it panics.

#[path = "../../tests/broker/dice.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod dice;
mod kills;
mod load;
mod markers;
mod rebuilt;
mod sampler;
mod snapshot;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the other benchmarks, which need more of it")]
mod support;
mod under_load;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Options, Topics, bare};

fn main() {
    bare::serve_if_told();
    let Some(brokers) = support::brokers("rebuild") else { return };
    let options = Options::read();
    let _bare = bare::start(&markers::view());
    match options.get("part", "rebuild").as_str() {
        "rebuild" => under_load::part(&brokers, &options),
        "kills" => kills::part(&brokers, &options),
        "snapshot" => snapshot::part(&brokers, &options),
        other => panic!("--part {other}: rebuild, kills or snapshot"),
    }
}

/// Loads a history on topics of this run's own, since traffic is added to it.
fn history(brokers: &str, options: &Options) -> (Topics, u64) {
    let optimizations = options.get("optimizations", "100000");
    let topics = Topics::new(brokers, &format!("bench-rebuild-{}", std::process::id()));
    let records = topics.loaded(&["--optimizations", &optimizations, "--runs", "8"]);
    figure("history", &json!({"records": records}));
    (topics, records)
}

fn figure(what: &str, figure: &Value) {
    println!("{}", json!({"what": what, "figure": figure}));
}

fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round()
}
