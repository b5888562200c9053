//! How fast views are read, against a real broker, each beside its yardstick in one run:
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part get       # by id, beside a bare Axum handler
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part fresh     # from the broker's word to a GET
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part lists     # a project of 50,000
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part restart   # kill -9 at 1,000,000
//! ```

#[expect(dead_code, reason = "shared with the catch-up's benchmark, which needs more of it")]
mod support;

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use optview::codec::encode::{Encoding, encode, key};
use optview::domain::Topic;
use optview::domain::event::{Body, OptimizationChange};
use optview::synthetic::{History, HistorySettings};
use rdkafka::producer::{FutureProducer, FutureRecord};
use support::{Options, Serve, Topics, percentile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BARE: &str = "127.0.0.1:18090";
const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(4);

fn main() {
    if let Ok(body) = std::env::var("OPTVIEW_BENCH_BARE") {
        return serve_bare(body);
    }
    let Some(brokers) = support::brokers("read") else { return };
    let options = Options::read();
    match options.get("part", "get").as_str() {
        "get" => get(&brokers, &options),
        "fresh" => fresh(&brokers, &options),
        "lists" => lists(&brokers),
        "restart" => restart(&brokers, &options),
        other => panic!("--part {other}: get, fresh, lists or restart"),
    }
}

/// The yardstick: an Axum handler that answers these bytes to everything.
fn serve_bare(body: String) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let body = axum::body::Bytes::from(body);
        let handler = axum::routing::get(move || async move { ([(CONTENT_TYPE, "application/json")], body) });
        let listener = tokio::net::TcpListener::bind(BARE).await.expect("the port is free");
        axum::serve(listener, axum::Router::new().route("/optimizations/{id}", handler)).await.expect("it serves");
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(brokers: &str, options: &Options) {
    let topics = Topics::new(brokers, "bench-read");
    let records = topics.loaded(&["--optimizations", "20000", "--runs", "4"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    serve.wait_until_synced(records);
    let page = support::json(&serve.url("/optimizations?limit=1000")).expect("a list");
    let ids: Vec<String> = page["optimizations"].as_array().expect("views").iter().map(id_of).collect();
    let body = ureq::get(&serve.url(&format!("/optimizations/{}", ids[0]))).call().expect("a view");
    let body = body.into_body().read_to_string().expect("its bytes");
    println!("{} bytes a view, {CONNECTIONS} connections, {} s a round", body.len(), ROUND.as_secs());
    let bare = Command::new(std::env::current_exe().expect("this program"))
        .env("OPTVIEW_BENCH_BARE", &body)
        .spawn()
        .expect("the yardstick starts");
    let _bare = Killed(bare);
    std::thread::sleep(Duration::from_millis(300));
    let rounds = options.number("rounds", "5");
    let idle_bare = compare("idle", &serve, &ids, rounds);
    let rate = options.get("rate", "20000");
    // A seed of its own in each run: what is read must not be what is written, which may be deleted.
    let seed = records.to_string();
    let load = topics.load(&["--optimizations", "1000000", "--runs", "8", "--seed", &seed, "--rate", &rate]);
    let _load = { Killed({ load }.spawn().expect("load starts")) };
    std::thread::sleep(Duration::from_secs(2));
    let before = position(&serve);
    let begin = Instant::now();
    compare(&format!("folding {rate} events/s"), &serve, &ids, rounds);
    let folded = (position(&serve) - before) as f64 / begin.elapsed().as_secs_f64();
    println!("folded meanwhile: {folded:.0} records/s; the bare handler, idle, gave {idle_bare:.0} requests/s");
}

fn position(serve: &Serve) -> u64 {
    let status = serve.status().expect("a status");
    status["partitions"].as_array().expect("partitions").iter().filter_map(|held| held["position"].as_u64()).sum()
}

fn id_of(view: &serde_json::Value) -> String {
    view["id"].as_str().expect("an id").to_owned()
}

/// In turn. Gives the bare handler's median.
fn compare(what: &str, serve: &Serve, ids: &[String], rounds: u64) -> f64 {
    let (mut ours, mut bares, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let bare = requests_per_second(BARE, ids);
        let our = requests_per_second(&serve.address(), ids);
        bares.push(bare);
        ours.push(our);
        ratios.push(our / bare);
    }
    for sorted in [&mut ours, &mut bares, &mut ratios] {
        sorted.sort_by(f64::total_cmp);
    }
    let median = |sorted: &[f64]| percentile(sorted, 50.0);
    println!(
        "{what}: serve {:.0} requests/s, bare {:.0} requests/s, ratio {:.0} % (from {:.0} to {:.0})",
        median(&ours),
        median(&bares),
        100.0 * median(&ratios),
        100.0 * ratios[0],
        100.0 * ratios[ratios.len() - 1]
    );
    median(&bares)
}

/// Keep-alive connections, each asking as soon as it was answered.
fn requests_per_second(address: &str, ids: &[String]) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|at| {
                let requests: Vec<Vec<u8>> =
                    ids.iter().skip(at).step_by(CONNECTIONS).map(|id| request(id)).collect();
                tokio::spawn(ask(address.to_owned(), requests, stop.clone(), count.clone()))
            })
            .collect();
        let begin = Instant::now();
        tokio::time::sleep(ROUND).await;
        stop.store(true, Ordering::Relaxed);
        let asked = count.load(Ordering::Relaxed);
        let seconds = begin.elapsed().as_secs_f64();
        for task in tasks {
            task.await.expect("a connection that is answered");
        }
        asked as f64 / seconds
    })
}

fn request(id: &str) -> Vec<u8> {
    format!("GET /optimizations/{id} HTTP/1.1\r\nhost: localhost\r\nx-api-key: k\r\n\r\n").into_bytes()
}

async fn ask(address: String, requests: Vec<Vec<u8>>, stop: Arc<AtomicBool>, count: Arc<AtomicU64>) {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket option");
    let mut buffer = vec![0; 64 << 10];
    for request in requests.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        stream.write_all(request).await.expect("it takes requests");
        let mut held = 0;
        loop {
            let read = stream.read(&mut buffer[held..]).await.expect("it answers");
            assert!(read > 0, "it keeps the connection");
            held += read;
            if is_whole(&buffer[..held]) {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&buffer[..held]);
        assert!(answer.starts_with("HTTP/1.1 200"), "every view is there: {answer}");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_whole(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    len.is_some_and(|len| len.parse::<usize>().is_ok_and(|len| body.len() >= len))
}

/// From the broker's acknowledgement of one event to the first GET that shows it. One that is not shown yet is asked for again
/// after a millisecond: asked for without a pause, it took a core from the broker and the server, and measured that.
fn fresh(brokers: &str, options: &Options) {
    let topics = Topics::new(brokers, "bench-fresh");
    let records = topics.loaded(&["--optimizations", "1000", "--runs", "4"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    serve.wait_until_synced(records);
    let rate = options.get("rate", "1000");
    let load = topics.load(&["--optimizations", "1000000", "--seed", "9", "--rate", &rate]).spawn();
    let _load = Killed(load.expect("load starts"));
    let producer: FutureProducer =
        topics.settings.client_config().set("linger.ms", "0").create().expect("a producer");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let seed = u64::from(std::process::id());
    let created = History::new(HistorySettings { seed, ..HistorySettings::default() })
        .filter(|event| matches!(&event.body, Body::Optimization { change: OptimizationChange::Created(_), .. }));
    let mut took = Vec::new();
    for event in created.take(usize::try_from(options.number("samples", "500")).expect("a count")) {
        let mut value = Vec::new();
        encode(&event, Encoding::Json, &mut value);
        let url = serve.url(&format!("/optimizations/{}", key(&event)));
        let record = FutureRecord::to(topics.settings.topics.get(Topic::Optimizations)).payload(&value);
        runtime.block_on(producer.send(record.key(key(&event)), Duration::from_secs(5))).expect("delivered");
        let acknowledged = Instant::now();
        while agent.get(&url).call().expect("an answer").status() != 200 {
            assert!(acknowledged.elapsed() < Duration::from_secs(10), "the event is never shown");
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(acknowledged.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    let [half, p99, most] = [50.0, 99.0, 100.0].map(|hundredths| percentile(&took, hundredths));
    println!("{} events at {rate} events/s: p50 {half:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms", took.len());
}

fn lists(brokers: &str) {
    let topics = Topics::new(brokers, "bench-lists");
    let settings = ["--optimizations", "52000", "--runs", "1", "--projects", "1", "--organizations", "1"];
    let records = topics.loaded(&settings);
    let small = Topics::new(brokers, "bench-lists-small");
    let small_records = small.loaded(&["--optimizations", "150", "--runs", "1", "--projects", "1"]);
    for (what, topics, records) in [("large", &topics, records), ("small", &small, small_records)] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let serve = Serve::start(topics, directory.path());
        serve.wait_until_synced(records);
        let agent = ureq::Agent::new_with_defaults();
        for query in [
            "project_id=prj-1",
            "project_id=prj-1&status=failed",
            "project_id=prj-1&status=queued&kind=datafit",
            "project_id=prj-1&kind=optimize&offset=20000",
            "project_id=prj-1&offset=49000",
            "status=canceled",
        ] {
            let url = serve.url(&format!("/optimizations?{query}"));
            let mut took = Vec::new();
            let mut body = String::new();
            for _ in 0..200 {
                let begin = Instant::now();
                body = agent.get(&url).call().expect("a page").into_body().read_to_string().expect("its body");
                took.push(begin.elapsed().as_secs_f64() * 1000.0);
            }
            took.sort_by(f64::total_cmp);
            let total: String = body.chars().rev().take_while(|held| *held != ':').collect();
            let total: String = total.chars().rev().collect();
            let (p50, p99) = (percentile(&took, 50.0), percentile(&took, 99.0));
            println!(
                "{what} project, {query}: p50 {p50:.2} ms, p99 {p99:.2} ms, {} bytes, total {total}",
                body.len()
            );
        }
    }
}

/// A store of many optimizations, killed; how long until it answers again.
fn restart(brokers: &str, options: &Options) {
    let optimizations = options.get("optimizations", "1000000");
    let topics = Topics::new(brokers, &format!("bench-restart-{optimizations}"));
    let records = topics.loaded(&["--optimizations", &optimizations, "--runs", "0", "--projects", "5000"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    let caught_up = serve.wait_until_synced(records);
    let page = support::json(&serve.url("/optimizations?limit=1")).expect("a list");
    let (id, total) = (id_of(&page["optimizations"][0]), page["total"].clone());
    println!("{records} records, {total} views, caught up in {caught_up:.1?}, peak {} MiB", serve.peak_mib());
    drop(serve);
    for _ in 0..options.number("rounds", "3") {
        let begin = Instant::now();
        let serve = Serve::start(&topics, directory.path());
        while support::json(&serve.url(&format!("/optimizations/{id}"))).is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let answered = begin.elapsed();
        let page = support::json(&serve.url("/optimizations?limit=1")).expect("a list");
        assert_eq!(page["total"], total, "every view is there at once");
        println!("answers {answered:.2?} after the start that follows kill -9; peak {} MiB", serve.peak_mib());
    }
}
