//! Measures the speed of reads of views, against a real broker, each beside its yardstick in one run:
//!
//! ```text
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part get       # by id, beside a bare Axum handler and h2o
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part fresh     # from the broker's word to a GET
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part lists     # a project of 50,000
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part deep      # deep pages, and what they do to others
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part streams   # from the broker's word to who follows
//! OPTVIEW_TEST_KAFKA=127.0.0.1:9092 cargo bench --bench read -- --part restart   # kill -9 at 1,000,000
//! ```

#[path = "read/by_id.rs"]
mod by_id;
#[path = "read/deep_pages.rs"]
mod deep_pages;
#[path = "read/streams.rs"]
mod streams;
#[expect(dead_code, reason = "shared with the catch-up's benchmark, which needs more of it")]
mod support;

use std::time::{Duration, Instant};

use optview::codec::encode::{Encoding, encode, key};
use optview::domain::event::{Body, OptimizationChange};
use optview::synthetic::{History, HistorySettings};
use support::{Options, Sender, Serve, Topics, bare, id_of, percentile};

fn main() {
    bare::serve_if_told();
    let Some(brokers) = support::brokers("read") else { return };
    let options = Options::read();
    match options.get("part", "get").as_str() {
        "get" => by_id::run(&brokers, &options),
        "fresh" => fresh(&brokers, &options),
        "lists" => lists(&brokers),
        "deep" => deep_pages::run(&brokers, &options),
        "streams" => streams::run(&brokers, &options),
        "restart" => restart(&brokers, &options),
        other => panic!("--part {other}: get, fresh, lists, deep, streams or restart"),
    }
}

/// Measures the time from the broker's acknowledgement of one event to the first GET that shows it. A GET that
/// does not show it is repeated after a millisecond: without that pause, the client took a core from the broker
/// and the server, and measured that.
fn fresh(brokers: &str, options: &Options) {
    let topics = Topics::new(brokers, "bench-fresh");
    let records = topics.loaded(&["--optimizations", "1000", "--runs", "4"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(&topics, directory.path());
    serve.wait_until_synced(records);
    let rate = options.get("rate", "1000");
    let _load = topics.traffic(&rate);
    let sender = Sender::new(&topics.settings);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let seed = u64::from(std::process::id());
    let created = History::new(HistorySettings { seed, ..HistorySettings::default() })
        .filter(|event| matches!(&event.body, Body::Optimization { change: OptimizationChange::Created(_), .. }));
    let mut took = Vec::new();
    for event in created.take(usize::try_from(options.number("samples", "500")).expect("a count")) {
        let mut value = Vec::new();
        encode(&event, Encoding::Json, &mut value);
        let url = serve.url(&format!("/optimizations/{}", key(&event)));
        let acknowledged = sender.send(event.body.topic(), key(&event), &value);
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

/// Kills a server with a store of many optimizations, and measures the time until it answers again.
fn restart(brokers: &str, options: &Options) {
    let optimizations = options.get("optimizations", "1000000");
    let (topics, records) = Topics::of_views(brokers, &optimizations);
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
