//! Measures the speed of catching up with a history, against a real broker: bare librdkafka reading and dropping
//! the records, then `serve` into a fresh store until it has caught up and the checkpoint is synced; in turn, in
//! one run, so that their ratio holds when the machine's speed drifts.
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench catch_up -- --optimizations 100000 --runs 8 \
//!     --concurrent 1000 --encoding json --rounds 3
//! ```
//!
//! Loads the topics if they do not exist yet. Their names state their contents.

#[expect(dead_code, reason = "shared with the reads' benchmark, which needs more of it")]
mod support;

use std::time::Instant;

use support::{Options, Serve, Topics, cpu_seconds, yardstick};

fn main() {
    let Some(brokers) = support::brokers("catch_up") else { return };
    let options = Options::read();
    let [optimizations, runs, concurrent, encoding] =
        [("optimizations", "100000"), ("runs", "8"), ("concurrent", "1000"), ("encoding", "json")]
            .map(|(name, default)| options.get(name, default));
    let rounds = options.number("rounds", "3");
    let topics = Topics::new(&brokers, &format!("bench-{optimizations}-{runs}-{concurrent}-{encoding}"));
    let records = topics.loaded(&[
        "--optimizations",
        &optimizations,
        "--runs",
        &runs,
        "--concurrent",
        &concurrent,
        "--encoding",
        &encoding,
    ]);
    println!("{records} records, {encoding}, {concurrent} optimizations under way at a time");
    let millions = records as f64 / 1e6;
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (begin, cpu) = (Instant::now(), cpu_seconds("self"));
        assert_eq!(yardstick::drain(&topics.settings), records, "bare reading reads everything");
        let (bare, bare_cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds("self") - cpu);

        let directory = tempfile::tempdir().expect("a temporary directory");
        let serve = Serve::start(&topics, directory.path());
        let seconds = serve.wait_until_synced(records).as_secs_f64();
        println!(
            "round {round}: bare {:.2}M/s at {:.2} CPU-s per million; serve {:.2}M/s at {:.2} CPU-s per million, \
             peak {} MiB; serve/bare {:.0} %",
            millions / bare,
            bare_cpu / millions,
            millions / seconds,
            serve.cpu_seconds() / millions,
            serve.peak_mib(),
            100.0 * bare / seconds
        );
        ratios.push(bare / seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median serve/bare: {:.0} %", 100.0 * support::percentile(&ratios, 50.0));
}
