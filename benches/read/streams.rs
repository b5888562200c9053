//! Measures streams of events: the time from the broker's acknowledgement of an event to its view at whoever follows it, the memory of
//! many who follow, and what they cost the fold (`--watchers 0` for comparison; `--rate` and `--seconds` for the events, `--burst` for those
//! that are folded at once). Whoever follows runs on a thread of the lowest priority, which takes what the server, the broker and the
//! producer leave: so the figures of the bursts are what the server spends for them, and not what its clients do, who are elsewhere in
//! reality. The processor time that is printed is the server's alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use optview::codec::encode::{Encoding, encode};
use optview::domain::event::{Body, Event, Metadata, OptimizationChange};
use optview::domain::{Timestamp, Topic};
use parking_lot::Mutex;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{Options, Serve, Topics, covered, json, percentile, yardstick};

/// The longest time for each step of a transaction.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);

/// The moments at which the broker had acknowledged events, by the number that each event gives its optimization as its name.
type AcknowledgedAt = Arc<Mutex<HashMap<u64, Instant>>>;

pub fn run(brokers: &str, options: &Options) {
    let watchers = usize::try_from(options.number("watchers", "1000")).expect("a count");
    let topics = Topics::new(brokers, "bench-streams");
    let records = topics.loaded(&["--optimizations", "20000", "--runs", "1"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start_with(&topics, directory.path(), &["--max-connections", "12000"]);
    serve.wait_until_synced(records);
    let (ids, others) = (serve.some_ids(0), serve.some_ids(1_000));
    let before = serve.memory_mib();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (took, acknowledged) = (Arc::new(Mutex::new(Vec::new())), AcknowledgedAt::default());
        let opened = Arc::new(AtomicU64::new(0));
        let watched = (0..watchers).map(|at| {
            let id = ids[at % ids.len()].clone();
            watch(serve.address(), id, acknowledged.clone(), took.clone(), opened.clone())
        });
        let followers = Followers::begin(watched.collect());
        while usize::try_from(opened.load(Ordering::Relaxed)).is_ok_and(|opened| opened < watchers) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{watchers} streams: {} MiB, and {before} MiB without", serve.memory_mib());
        let cpu = serve.cpu_seconds();
        let (rate, seconds) = (options.number("rate", "1000"), options.number("seconds", "10"));
        let producer = topics.settings.client_config().set("linger.ms", "0").create().expect("a producer");
        let sent = send(&producer, &topics, &ids, rate, seconds, &acknowledged).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cpu = (serve.cpu_seconds() - cpu) * 1000.0;
        println!(
            "{sent} events took {:.3} ms of processor time each; {} MiB",
            cpu / sent as f64,
            serve.memory_mib()
        );
        let mut took = std::mem::take(&mut *took.lock());
        took.sort_by(f64::total_cmp);
        if watchers > 0 {
            let [half, p99, most] = [50.0, 99.0, 100.0].map(|hundredths| percentile(&took, hundredths));
            println!(
                "seen {} times by whoever follows: p50 {half:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms",
                took.len()
            );
        }
        let burst = options.number("burst", "200000");
        for (which, ids) in [("that nobody follows", &others), ("that are followed", &ids)] {
            let figure = fold_burst(&serve, &topics, ids, burst).await;
            println!("a burst of {burst} events of views {which} is folded in {figure}");
        }
        followers.end();
    });
}

/// Those who follow, on a thread of their own.
struct Followers {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Followers {
    fn begin(watched: Vec<impl Future<Output = ()> + Send + 'static>) -> Followers {
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // On Linux it is the priority of this thread alone.
            rustix::process::setpriority_process(None, 19).expect("a lower priority");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                watched.into_iter().for_each(|watched| drop(tokio::spawn(watched)));
                ended.await.expect("they are told to end");
            });
        });
        Followers { end, thread }
    }

    /// Ends all streams, before the server does.
    fn end(self) {
        self.end.send(()).expect("the thread runs");
        self.thread.join().expect("no stream has ended before");
    }
}

/// Times the fold of so many events of these optimizations, which are one transaction, so that the server may read all of them at once.
/// Returns the figure.
async fn fold_burst(serve: &Serve, topics: &Topics, ids: &[String], events: u64) -> String {
    let mut config = topics.settings.client_config();
    let producer: FutureProducer = config.set("transactional.id", "bench-streams").create().expect("a producer");
    producer.init_transactions(TRANSACTION_LIMIT).expect("a producer of transactions");
    let before = yardstick::records(&topics.settings).expect("the topics are there");
    producer.begin_transaction().expect("a transaction");
    let acknowledged = AcknowledgedAt::default();
    let sent = send(&producer, topics, ids, events / 10, 10, &acknowledged).await;
    while (acknowledged.lock().len() as u64) < sent {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (cpu, begin) = (serve.cpu_seconds(), Instant::now());
    producer.commit_transaction(TRANSACTION_LIMIT).expect("the transaction ends");
    loop {
        let url = serve.status_url();
        let status = tokio::task::spawn_blocking(move || json(&url)).await.expect("an answer");
        if status.is_some_and(|status| covered(&status, "position") >= before + sent) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (folded, cpu) = (begin.elapsed().as_secs_f64(), serve.cpu_seconds() - cpu);
    let (a_second, micros) = (sent as f64 / folded, cpu * 1e6 / sent as f64);
    format!("{folded:.2} s, {a_second:.0} a second, with {micros:.1} µs of processor time each")
}

/// Sends events of these optimizations at a rate a second. Returns their number.
async fn send(
    producer: &FutureProducer,
    topics: &Topics,
    ids: &[String],
    rate: u64,
    seconds: u64,
    acknowledged: &AcknowledgedAt,
) -> u64 {
    let topic = topics.settings.topics.get(Topic::Optimizations).to_owned();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate as f64));
    // The producers' sequence of the history is passed by all of them, and by those of an earlier run.
    let base = u64::try_from(now().millis()).expect("after 1970") * 1000;
    for number in base..base + rate * seconds {
        ticks.tick().await;
        let id = &ids[usize::try_from(number).expect("64 bits") % ids.len()];
        let value = renamed(id, number);
        let (producer, topic, id, acknowledged) =
            (producer.clone(), topic.clone(), id.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let record = FutureRecord::to(&topic).key(&id).payload(&value);
            producer.send(record, Duration::from_secs(5)).await.expect("delivered");
            acknowledged.lock().insert(number, Instant::now());
        });
    }
    rate * seconds
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    Timestamp::from_millis(i64::try_from(millis).expect("before the year 9999")).expect("a time")
}

/// Makes an event that names an optimization by a number.
fn renamed(id: &str, number: u64) -> Vec<u8> {
    let metadata = Metadata { event_id: number.to_string().into(), occurred_at: now(), sequence: number };
    let change = OptimizationChange::DetailsChanged { name: Some(number.to_string().into()), description: None };
    let event = Event { metadata, body: Body::Optimization { optimization_id: id.into(), change } };
    let mut value = Vec::new();
    encode(&event, Encoding::Json, &mut value);
    value
}

/// Follows one view for ever, and notes how long after its acknowledgement each event came.
async fn watch(
    address: String,
    id: String,
    acknowledged: AcknowledgedAt,
    took: Arc<Mutex<Vec<f64>>>,
    opened: Arc<AtomicU64>,
) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET /optimizations/{id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let (mut text, mut is_open) = (Vec::new(), false);
    loop {
        assert_ne!(stream.read_buf(&mut text).await.expect("a stream"), 0, "it has ended");
        let came = Instant::now();
        if !is_open && text.windows(6).any(|part| part == b"data: ") {
            is_open = true;
            opened.fetch_add(1, Ordering::Relaxed);
        }
        let whole = text.windows(2).rposition(|part| part == b"\n\n").map_or(0, |at| at + 2);
        for number in numbers(&text[..whole]) {
            // What came before the acknowledgement took no time.
            if let Some(since) = acknowledged.lock().get(&number) {
                took.lock().push(came.saturating_duration_since(*since).as_secs_f64() * 1000.0);
            }
        }
        text.drain(..whole);
    }
}

/// Returns the numbers that events have given as names.
fn numbers(text: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(text);
    let names = text.split(r#""name":""#).skip(1);
    names.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
}
