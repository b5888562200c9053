//! Measures lists of one project with a million optimizations, under every kind of query, over HTTP and without a broker: the store is
//! written directly. Each query is measured while nothing changes, and beside a writer that changes optimizations all the time.
//!
//! ```text
//! cargo bench --bench lists -- --optimizations 1000000 --samples 200 --changes 1000
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use optview::domain::event::JobChange;
use optview::domain::{
    Commit, CreationFacts, Metadata, Optimization, PartitionOffset, Register, Stamp, Timestamp, Topic,
};
use optview::http::server::{self, ConnectionLimits};
use optview::http::{Access, Readiness, read_api};
use optview::live_views::ReaderSource;
use optview::status::{State, Status};
use optview::store::{self, OpenStore, Writer};

const CACHE_BYTES: u64 = 512 << 20;
const PROJECT: &str = "project_id=prj-1";
const BATCH: u64 = 10_000;

/// The queries, each with the words that the table has for it.
const QUERIES: &[(&str, &str)] = &[
    ("no filter", ""),
    ("status and kind", "status=failed&status=null&kind=datafit"),
    ("the last offset", "offset=999900"),
    ("a month", "created_after=2026-02-01T00:00:00Z&created_before=2026-03-01T00:00:00Z"),
    ("the oldest first", "sort=created_at&status=succeeded"),
    ("1,000 of them", "limit=1000"),
    ("1,000 summaries", "limit=1000&summary=true"),
    ("50 ids", "ids"),
    ("`q` in all names", "q=cell"),
    ("`q` in some names", "q=FAST+charge"),
    ("`q` in one name", "q=999123"),
    ("`q` in no name", "q=ZZZ"),
    ("one letter", "q=e"),
    ("`q`, failed, the oldest first", "q=low&status=failed&sort=created_at"),
    ("by name", "sort=name"),
    ("by name, from the end, deep", "sort=-name&offset=500000"),
    ("by name, failed", "sort=name&status=failed"),
    ("by name, `q`", "sort=name&q=charge"),
    ("by name, a month", "sort=-name&created_after=2026-02-01T00:00:00Z&created_before=2026-03-01T00:00:00Z"),
];

fn main() {
    let number = |name: &str, default: u64| {
        let mut arguments = std::env::args().skip_while(|argument| argument != name);
        arguments.nth(1).map_or(default, |value| value.parse().expect("a number"))
    };
    let (optimizations, samples) = (number("--optimizations", 1_000_000), number("--samples", 200));
    let changes = number("--changes", 1_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let OpenStore { writer, .. } = store::open(directory.path(), CACHE_BYTES).expect("a store");
    let begin = Instant::now();
    fill(&writer, optimizations);
    println!("{optimizations} optimizations written in {:.1?}, {} MiB in memory", begin.elapsed(), resident_mib());
    let address = serve(&writer);
    let agent = ureq::Agent::new_with_defaults();
    let first = get(&agent, &format!("http://{address}/optimizations?{PROJECT}&sort=name"));
    println!("the first list by name: {first:.0?}, {} MiB in memory then", resident_mib());
    println!("| query | p50 | p99 | most | beside {changes} changes/s: p50 | p99 | most |");
    println!("|---|---|---|---|---|---|---|");
    let rows: Vec<String> = QUERIES.iter().map(|(_, query)| url(&address, query)).collect();
    let alone: Vec<[f64; 3]> = rows.iter().map(|url| measure(&agent, url, samples)).collect();
    let (stop, commits) = (AtomicBool::new(false), writer.commits_written());
    std::thread::scope(|scope| {
        scope.spawn(|| change(&writer, optimizations, changes, commits, &stop));
        for (at, (words, _)) in QUERIES.iter().enumerate() {
            let beside = measure(&agent, &rows[at], samples);
            let [a, b, c] = alone[at];
            let [d, e, f] = beside;
            println!("| {words} | {a:.1} ms | {b:.1} ms | {c:.1} ms | {d:.1} ms | {e:.1} ms | {f:.1} ms |");
        }
        stop.store(true, Ordering::Relaxed);
    });
    writer.finish().expect("the store is written");
}

fn url(address: &str, query: &str) -> String {
    let ids = || (0..50).map(|at| format!("&id={}", id(at * 9_973))).collect::<String>();
    let query = if query == "ids" { ids() } else { format!("&{query}") };
    format!("http://{address}/optimizations?{PROJECT}{query}")
}

/// Returns an id. Ids sort in another order than the optimizations come.
fn id(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn stamp(sequence: u64) -> Stamp {
    let metadata = Metadata { event_id: "event".into(), occurred_at: Timestamp::default(), sequence };
    Stamp::new(&metadata, 0, PartitionOffset { topic: Topic::Optimizations, partition: 0, offset: 0 })
}

fn optimization(number: u64, version: u64) -> Optimization {
    let words = ["Fast charge", "Low temperature", "Capacity fade", "Anode potential", "Tortuosity"];
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let word = words[usize::try_from(mixed % 5).expect("a small number")];
    let seconds = 1_767_225_600 + i64::try_from(number).expect("a small number") * 10;
    let created = CreationFacts {
        organization_id: "org-1".into(),
        project_id: "prj-1".into(),
        name: Some(format!("{word} of cell {number}").into()),
        description: Some("Made by the benchmark of lists, with a text of some length.".into()),
        kind: Some(["optimize", "datafit", "simulate"][usize::try_from(mixed / 5 % 3).expect("small")].into()),
        created_at: Timestamp::new(seconds, 0).expect("a time"),
        created_by_email: Some("ada@example.com".into()),
        objectives: Some(
            format!(r#"{{"{word}":{{"weight":1,"constraints":[{}]}}}}"#, "123.456,".repeat(50) + "1").into(),
        ),
        ..CreationFacts::default()
    };
    let mut optimization = Optimization::new(Arc::from(id(number)));
    optimization.created = Some(Register::new(created, stamp(1)));
    optimization.link(&Arc::from(format!("job-{number}")), stamp(2));
    let change = match (mixed / 15 + version) % 4 {
        0 => JobChange::Pending,
        1 => JobChange::Processing,
        2 => JobChange::Completed { metrics: None },
        _ => JobChange::Failed { error: Some("it broke".into()), error_code: None },
    };
    optimization.job.apply(&change, stamp(3 + version));
    optimization
}

fn commit(writer: &Writer, optimizations: impl Iterator<Item = Optimization>, number: u64) {
    let commit = Commit { optimizations: optimizations.map(Arc::new).collect(), jobs: Vec::new() };
    writer.commit(commit, Vec::new(), number).expect("the store takes it");
    while writer.commits_written() < number {
        writer.check().expect("the store writes it");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn fill(writer: &Writer, optimizations: u64) {
    for (at, begin) in (0..optimizations).step_by(usize::try_from(BATCH).expect("small")).enumerate() {
        let batch = (begin..optimizations.min(begin + BATCH)).map(|number| optimization(number, 0));
        commit(writer, batch, at as u64 + 1);
    }
}

/// Changes the status of optimizations all over the list, some at a time, until it is stopped.
fn change(writer: &Writer, optimizations: u64, changes_a_second: u64, commits: u64, stop: &AtomicBool) {
    let (begin, mut changed) = (Instant::now(), 0);
    for number in commits + 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let batch = (changed..changed + changes_a_second / 50 + 1)
            .map(|change| optimization(change * 7_919 % optimizations, 1 + change / optimizations));
        commit(writer, batch, number);
        changed += changes_a_second / 50 + 1;
        std::thread::sleep(Duration::from_millis((number - commits) * 20).saturating_sub(begin.elapsed()));
    }
}

/// Serves the read API on an address of its own, on threads of its own.
fn serve(writer: &Writer) -> String {
    let (reader, status) = (ReaderSource::default(), Status::new(1));
    status.set_state(State::Live);
    reader.set(writer.reader(), status.clone());
    let api = read_api(reader, status, Access::open(), Readiness::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("its address").to_string();
    listener.set_nonblocking(true).expect("a listener for tokio");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            server::run(listener, api, ConnectionLimits::default(), std::future::pending()).await;
        });
    });
    address
}

/// Returns the median, the 99th hundredth and the most of the times that a query takes, in milliseconds.
fn measure(agent: &ureq::Agent, url: &str, samples: u64) -> [f64; 3] {
    get(agent, url);
    let mut took: Vec<f64> = (0..samples).map(|_| get(agent, url).as_secs_f64() * 1000.0).collect();
    took.sort_by(f64::total_cmp);
    [took.len() / 2, took.len() * 99 / 100, took.len() - 1].map(|at| took[at.min(took.len() - 1)])
}

fn get(agent: &ureq::Agent, url: &str) -> Duration {
    let begin = Instant::now();
    agent
        .get(url)
        .call()
        .expect("an answer")
        .into_body()
        .with_config()
        .limit(1 << 30)
        .read_to_vec()
        .expect("a body");
    begin.elapsed()
}

/// Returns the memory of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
