//! Measures a catch-up with a history, against a real broker: bare librdkafka reading and dropping the records, then
//! `serve` into a fresh store until it has caught up and the checkpoint is synced; in turn, in one run, so that their
//! ratio holds when the machine's speed drifts.
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench catch_up -- --optimizations 100000 --runs 8 \
//!     --concurrent 1000 --encoding json --rounds 3
//! ```
//!
//! With `--publishing yes` it compares catch-ups with a topic of views and without one instead (`views_topic.rs`).
//!
//! Loads the topics if they do not exist yet. Their names state their contents. `OPTVIEW_BENCH_PROGRAM` names another
//! build's program, which is measured in place of this one's.

mod phases;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the reads' benchmark, which needs more of it")]
mod support;
mod views_topic;

use std::time::{Instant, SystemTime};

use phases::{Phases, ProgressSamples};
use support::{Options, Serve, Topics, cpu_seconds, yardstick};

/// The options of `serve` by which the log has the moments of a catch-up.
const LOG: &[&str] = &["--log-format", "json", "--log", "info,optview::projector=debug"];

/// The figures of one round.
struct Round {
    /// Seconds of bare reading.
    bare: f64,
    bare_cpu: f64,
    /// Seconds from the start of `serve` until its checkpoint covers everything.
    serve: f64,
    serve_cpu: f64,
    /// Seconds that all processors together did nothing meanwhile.
    idle: f64,
    peak_mib: u64,
    phases: Phases,
}

fn main() {
    let Some(brokers) = support::brokers("catch_up") else { return };
    let options = Options::read();
    let [optimizations, runs, concurrent, encoding] =
        [("optimizations", "100000"), ("runs", "8"), ("concurrent", "1000"), ("encoding", "json")]
            .map(|(name, default)| options.get(name, default));
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
    if options.get("publishing", "no") == "yes" {
        return views_topic::run(&options, &topics, records);
    }
    println!(
        "round   bare M/s  CPU-s/M   serve M/s  CPU-s/M  steady M/s  serve/bare  CPU ratio  first record  end phase  idle  peak"
    );
    let rounds: Vec<Round> = (1..=options.number("rounds", "3"))
        .map(|number| {
            let round = round(&topics, records);
            round.print(&number.to_string(), records);
            round
        })
        .collect();
    spread("serve/bare", rounds.iter().map(|round| round.bare / round.serve));
    spread("CPU-seconds, serve/bare", rounds.iter().map(|round| round.serve_cpu / round.bare_cpu));
    spread("steady M/s", rounds.iter().filter_map(|round| round.phases.steady).map(|steady| steady / 1e6));
    spread("end phase, s", rounds.iter().filter_map(|round| round.phases.end));
    spread("first record after, s", rounds.iter().filter_map(|round| round.phases.first));
}

fn round(topics: &Topics, records: u64) -> Round {
    let (begin, cpu) = (Instant::now(), cpu_seconds("self"));
    assert_eq!(yardstick::drain(&topics.settings), records, "bare reading reads everything");
    let (bare, bare_cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds("self") - cpu);

    let directory = tempfile::tempdir().expect("a temporary directory");
    let idle = support::idle_seconds();
    let started = SystemTime::now();
    let serve = Serve::start_with(topics, directory.path(), LOG);
    let (seconds, samples) = ProgressSamples::until_synced(&serve, records);
    Round {
        bare,
        bare_cpu,
        serve: seconds,
        serve_cpu: serve.cpu_seconds(),
        idle: support::idle_seconds() - idle,
        peak_mib: serve.peak_mib(),
        phases: Phases::of(&serve.log(), started, &samples),
    }
}

impl Round {
    fn print(&self, name: &str, records: u64) {
        let millions = records as f64 / 1e6;
        let shown = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2} s"));
        println!(
            "{name:>5} {:>10.2} {:>8.2} {:>11.2} {:>8.2} {:>11} {:>9.0} % {:>10.2} {:>13} {:>10} {:>5.1} {:>4} MiB",
            millions / self.bare,
            self.bare_cpu / millions,
            millions / self.serve,
            self.serve_cpu / millions,
            self.phases.steady.map_or("-".to_owned(), |steady| format!("{:.2}", steady / 1e6)),
            100.0 * self.bare / self.serve,
            self.serve_cpu / self.bare_cpu,
            shown(self.phases.first),
            shown(self.phases.end),
            self.idle,
            self.peak_mib,
        );
    }
}

/// Prints the median of the rounds, with the lowest and the highest.
fn spread(name: &str, values: impl Iterator<Item = f64>) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    if let [lowest, .., highest] | [lowest @ highest] = values[..] {
        println!("{name}: {:.2} ({lowest:.2} to {highest:.2})", support::percentile(&values, 50.0));
    }
}
