//! The cost of publishing views: a catch-up with a topic of views and one without, in turn in one run; and how soon a change is on the
//! topic while other events come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use optview::domain::Topic;

use super::spread;
use super::support::{Options, Sender, Serve, Topics, covered, percentile};

/// The optimization whose changes are timed.
const TIMED: &str = "bench-timed";
/// The interval between two of its changes.
const EVERY: Duration = Duration::from_millis(20);

/// The figures of one catch-up.
struct CatchUp {
    /// Seconds until a checkpoint covers everything.
    synced: f64,
    /// Seconds until every view is on the topic, too; the same if none is published.
    published: f64,
    peak_mib: u64,
}

/// Runs the rounds, and prints them.
pub fn run(options: &Options, topics: &Topics, records: u64) {
    println!("round   without      with   published    peak without / with");
    let mut ratios = Vec::new();
    for number in 1..=options.number("rounds", "3") {
        let without = catch_up(topics, records, None);
        let views = format!(
            "bench-views-{:x}",
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
        );
        let with = catch_up(topics, records, Some(&views));
        println!(
            "{number:>5} {:>7.2} s {:>7.2} s {:>9.2} s {:>6} / {} MiB",
            without.synced, with.synced, with.published, without.peak_mib, with.peak_mib
        );
        ratios.push((without.synced / with.synced, without.synced / with.published));
    }
    spread("speed with / without, until synced", ratios.iter().map(|(synced, _)| *synced));
    spread("speed with / without, until all is published", ratios.iter().map(|(_, published)| *published));
    freshness(options, topics);
}

fn catch_up(topics: &Topics, records: u64, views: Option<&str>) -> CatchUp {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options: Vec<&str> = views.iter().flat_map(|views| ["--publish-views", views]).collect();
    let serve = Serve::start_with(topics, directory.path(), &options);
    let mut synced = None;
    loop {
        if let Some(status) = serve.status() {
            let seconds = serve.seconds_since_start();
            if status["state"] == "live" && covered(&status, "checkpoint") >= records {
                synced.get_or_insert(seconds);
            }
            if let Some(synced) = synced
                && (views.is_none() || is_published(&status))
            {
                return CatchUp { synced, published: seconds, peak_mib: serve.peak_mib() };
            }
        }
        serve.check();
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_published(status: &serde_json::Value) -> bool {
    let publication = &status["publication"];
    publication["state"] == "publishing" && publication["unpublished"] == 0
}

/// Times from the sending of an event to its view on the topic, while 1,000 other events come each second.
fn freshness(options: &Options, topics: &Topics) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let views = format!(
        "bench-fresh-{:x}",
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
    );
    let serve = Serve::start_with(topics, directory.path(), &["--publish-views", &views]);
    while !serve.status().is_some_and(|status| is_published(&status)) {
        serve.check();
        std::thread::sleep(Duration::from_millis(20));
    }
    let _traffic = topics.traffic("1000");
    let sent: Arc<Mutex<BTreeMap<u64, Instant>>> = Arc::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let consumer = consumer(topics, &views);
    let reading = {
        let (sent, is_over) = (sent.clone(), is_over.clone());
        std::thread::spawn(move || {
            let mut millis = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let Some(Ok(record)) = consumer.poll(Duration::from_millis(50)) else { continue };
                let now = Instant::now();
                if record.key() != Some(TIMED.as_bytes()) {
                    continue;
                }
                let view: serde_json::Value =
                    record.payload().and_then(|view| serde_json::from_slice(view).ok()).unwrap_or_default();
                let Some(number) = view["name"].as_str().and_then(|name| name.parse::<u64>().ok()) else {
                    continue;
                };
                // One view may be of several changes.
                let mut held = sent.lock();
                let later = held.split_off(&(number + 1));
                let shown = std::mem::replace(&mut *held, later);
                millis.extend(shown.values().map(|begin| now.duration_since(*begin).as_secs_f64() * 1e3));
            }
            millis
        })
    };
    let sender = Sender::new(&topics.settings);
    let event = |sequence: u64, event: &str| {
        format!(
            r#"{{"metadata":{{"eventId":"{TIMED}-{sequence}","occurredAt":"2026-03-01T09:00:00Z","sequence":{sequence}}},"optimizationId":"{TIMED}",{event}}}"#
        )
    };
    // Another run has other sequences, so that its changes are later ones.
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) * 1_000;
    sender.send(
        Topic::Optimizations,
        TIMED,
        event(first, r#""created":{"organizationId":"o","projectId":"p"}"#).as_bytes(),
    );
    for number in 1..=options.number("changes", "1000") {
        let changed = event(first + number, &format!(r#""detailsChanged":{{"name":"{}"}}"#, first + number));
        let mut held = sent.lock();
        let begin = sender.send(Topic::Optimizations, TIMED, changed.as_bytes());
        held.insert(first + number, begin);
        drop(held);
        std::thread::sleep(EVERY);
    }
    std::thread::sleep(Duration::from_secs(1));
    is_over.store(true, Ordering::Relaxed);
    let mut millis = reading.join().expect("the reader");
    millis.sort_by(f64::total_cmp);
    println!(
        "from an event to its view on the topic, {} changes beside 1,000 events/s: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        millis.len(),
        percentile(&millis, 50.0),
        percentile(&millis, 99.0),
        percentile(&millis, 100.0)
    );
}

fn consumer(topics: &Topics, views: &str) -> BaseConsumer {
    let mut config = topics.settings.client_config();
    config.set("group.id", "bench").set("isolation.level", "read_committed").set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(views), Duration::from_secs(10)).expect("the topic of views");
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment.add_partition_offset(views, partition.id(), Offset::End).expect("a partition");
    }
    consumer.assign(&assignment).expect("an assignment");
    consumer
}
