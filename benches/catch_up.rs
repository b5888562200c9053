//! How fast a history is caught up, against a real broker: bare librdkafka reading and throwing away, then `serve` into a
//! fresh store until caught up and the checkpoint synced; in turn, in one run, so that their ratio holds when the
//! machine's speed drifts.
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench catch_up -- [--optimizations 100000] [--runs 8]
//!     [--concurrent 1000] [--encoding json] [--rounds 3]
//! ```
//!
//! Loads the topics where they are not there yet: their names say what is in them.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use optview::source::TopicNames;
use optview::source::kafka::{KafkaSettings, yardstick};

const BINARY: &str = env!("CARGO_BIN_EXE_optview");

fn main() {
    let Ok(brokers) = std::env::var("OPTVIEW_TEST_KAFKA") else {
        println!("catch_up: skipped: OPTVIEW_TEST_KAFKA names no broker");
        return;
    };
    let mut options: HashMap<String, String> = HashMap::new();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    for pair in arguments.chunks(2) {
        options.insert(pair[0].trim_start_matches("--").to_owned(), pair.get(1).cloned().unwrap_or_default());
    }
    let option = |name: &str, default: &str| options.get(name).cloned().unwrap_or_else(|| default.to_owned());
    let [optimizations, runs, concurrent, encoding] =
        [("optimizations", "100000"), ("runs", "8"), ("concurrent", "1000"), ("encoding", "json")]
            .map(|(name, default)| option(name, default));
    let rounds: usize = option("rounds", "3").parse().expect("--rounds takes a number");

    let prefix = format!("bench-{optimizations}-{runs}-{concurrent}-{encoding}");
    let names = ["optimizations", "jobs", "multistart-runs"].map(|topic| format!("{prefix}-{topic}"));
    let topics = TopicNames::new(names[0].clone(), names[1].clone(), names[2].clone());
    let settings = KafkaSettings { brokers: brokers.clone(), topics, properties: Vec::new() };
    let topic_options = [
        ("--topic-optimizations", names[0].as_str()),
        ("--topic-jobs", names[1].as_str()),
        ("--topic-multistart-runs", names[2].as_str()),
        ("--brokers", brokers.as_str()),
    ];
    if yardstick::records(&settings).is_none() {
        load(&topic_options, &[&optimizations, &runs, &concurrent, &encoding]);
    }
    let records = yardstick::records(&settings).expect("the history was loaded");
    println!("{records} records, {encoding}, {concurrent} optimizations under way at a time");

    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let bare = bare(&settings, records);
        let serve = serve(&topic_options, records);
        let millions = records as f64 / 1e6;
        let ratio = bare.seconds / serve.seconds;
        println!(
            "round {round}: bare {:.2}M/s at {:.2} CPU-s per million; serve {:.2}M/s at {:.2} CPU-s per million, \
             peak {} MiB; serve/bare {:.0} %",
            millions / bare.seconds,
            bare.cpu_seconds / millions,
            millions / serve.seconds,
            serve.cpu_seconds / millions,
            serve.peak_bytes >> 20,
            100.0 * ratio
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median serve/bare: {:.0} %", 100.0 * ratios[ratios.len() / 2]);
}

struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
}

fn load(topics: &[(&str, &str)], [optimizations, runs, concurrent, encoding]: &[&str; 4]) {
    let status = Command::new(BINARY)
        .arg("load")
        .args(topics.iter().flat_map(|(option, value)| [*option, *value]))
        .args(["--optimizations", optimizations, "--runs", runs, "--concurrent", concurrent])
        .args(["--encoding", encoding, "--partitions", "6"])
        .status()
        .expect("load starts");
    assert!(status.success(), "load failed");
}

fn bare(settings: &KafkaSettings, records: u64) -> Measured {
    let (begin, cpu) = (Instant::now(), cpu_seconds("self"));
    let read = yardstick::drain(settings);
    assert_eq!(read, records, "bare reading reads everything");
    Measured { seconds: begin.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds("self") - cpu, peak_bytes: 0 }
}

struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(topics: &[(&str, &str)], records: u64) -> Measured {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let begin = Instant::now();
    let child = Command::new(BINARY)
        .arg("serve")
        .args(topics.iter().flat_map(|(option, value)| [*option, *value]))
        .args(["--listen", "127.0.0.1:18080", "--admin-listen", "127.0.0.1:19180", "--data-dir"])
        .arg(directory.path())
        .stderr(Stdio::null())
        .spawn()
        .expect("serve starts");
    let serve = Serve(child);
    let process = serve.0.id().to_string();
    while !is_synced(records) {
        assert!(begin.elapsed() < Duration::from_secs(300), "serve does not catch up");
        std::thread::sleep(Duration::from_millis(20));
    }
    Measured {
        seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(&process),
        peak_bytes: peak_bytes(&process),
    }
}

/// Live, and every record covered by the checkpoint.
fn is_synced(records: u64) -> bool {
    let Ok(mut answer) = ureq::get("http://127.0.0.1:19180/status").call() else { return false };
    let Ok(status) = answer.body_mut().read_json::<serde_json::Value>() else { return false };
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    let covered: u64 = partitions.iter().filter_map(|partition| partition["checkpoint"].as_u64()).sum();
    status["state"] == "live" && covered >= records
}

/// User and system, of all threads.
fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("a process has a name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

fn peak_bytes(process: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the system tells the peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("in kB") << 10
}
