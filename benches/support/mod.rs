//! The benchmarks' shared parts: topics named by their contents, `load`, `serve`, and observations from outside.

pub mod bare;
#[path = "../../tests/broker/cpu.rs"]
mod cpu;
pub mod keep_alive;
pub mod yardstick;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub use cpu::cpu_seconds;
use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::KafkaSettings;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::runtime::Runtime;

const BINARY: &str = env!("CARGO_BIN_EXE_optview");

/// Ports that were free when this program began: for reads and for operators, twice, and for the yardstick of
/// reads.
static PORTS: LazyLock<[u16; 5]> = LazyLock::new(|| {
    let held = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
});

/// Returns the address of the broker to use, or `None` after printing a note.
pub fn brokers(bench: &str) -> Option<String> {
    let brokers = std::env::var("OPTVIEW_TEST_KAFKA").ok();
    if brokers.is_none() {
        println!("{bench}: skipped: OPTVIEW_TEST_KAFKA names no broker");
    }
    brokers
}

/// The `--name value` pairs of the command line.
pub struct Options(HashMap<String, String>);

impl Options {
    pub fn read() -> Options {
        let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        Options(
            arguments
                .chunks(2)
                .map(|pair| {
                    let value = pair.get(1).cloned().unwrap_or_default();
                    (pair[0].trim_start_matches("--").to_owned(), value)
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str, default: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| default.to_owned())
    }

    pub fn number(&self, name: &str, default: &str) -> u64 {
        self.get(name, default).parse().unwrap_or_else(|_| panic!("--{name} takes a number"))
    }
}

/// A history on topics of its own.
pub struct Topics {
    pub settings: KafkaSettings,
    arguments: Vec<String>,
}

impl Topics {
    pub fn new(brokers: &str, prefix: &str) -> Topics {
        let names = ["optimizations", "jobs", "multistart-runs"].map(|topic| format!("{prefix}-{topic}"));
        let options = ["--topic-optimizations", "--topic-jobs", "--topic-multistart-runs"];
        let mut arguments = vec!["--brokers".to_owned(), brokers.to_owned()];
        for (option, name) in options.iter().zip(&names) {
            arguments.extend([(*option).to_owned(), name.clone()]);
        }
        let [optimizations, jobs, multistart_runs] = names;
        let topics = TopicNames::new(optimizations, jobs, multistart_runs);
        let settings = KafkaSettings { brokers: brokers.to_owned(), topics, properties: Vec::new() };
        Topics { settings, arguments }
    }

    pub fn load(&self, options: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("load").args(&self.arguments).args(options).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Loads this number of optimizations, with few events of each.
    pub fn of_views(brokers: &str, optimizations: &str) -> (Topics, u64) {
        let topics = Topics::new(brokers, &format!("bench-restart-{optimizations}"));
        let settings = ["--optimizations", optimizations, "--runs", "0", "--projects", "5000"];
        let records = topics.loaded(&settings);
        (topics, records)
    }

    /// Starts traffic of optimizations other than the ones that are read, since some are deleted.
    pub fn traffic(&self, events_per_second: &str) -> KilledChild {
        let seed = yardstick::records(&self.settings).expect("the topics are there").to_string();
        let settings = ["--optimizations", "1000000", "--runs", "8", "--seed", &seed, "--rate", events_per_second];
        KilledChild(self.load(&settings).spawn().expect("load starts"))
    }

    /// Returns a command on these topics.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(&self.arguments);
        command
    }

    /// Loads the topics if they are empty. Returns their number of records.
    pub fn loaded(&self, options: &[&str]) -> u64 {
        if yardstick::records(&self.settings).is_none() {
            let status = self.load(options).status().expect("load starts");
            assert!(status.success(), "load failed");
        }
        yardstick::records(&self.settings).expect("the history was loaded")
    }
}

/// A process that is killed when this is dropped.
pub struct KilledChild(pub Child);

impl Drop for KilledChild {
    fn drop(&mut self) {
        // SIGKILL fails only if the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A producer that sends events one at a time.
pub struct Sender {
    producer: FutureProducer,
    runtime: Runtime,
    topics: TopicNames,
}

impl Sender {
    pub fn new(settings: &KafkaSettings) -> Sender {
        let producer = settings.client_config().set("linger.ms", "0").create().expect("a producer");
        Sender { producer, runtime: Runtime::new().expect("a runtime"), topics: settings.topics.clone() }
    }

    /// Sends an event. Returns the time at which the broker had acknowledged it.
    pub fn send(&self, topic: Topic, key: &str, value: &[u8]) -> Instant {
        let record = FutureRecord::to(self.topics.get(topic)).key(key).payload(value);
        self.runtime.block_on(self.producer.send(record, Duration::from_secs(5))).expect("delivered");
        Instant::now()
    }
}

/// A running `serve`, killed when it is dropped.
pub struct Serve {
    process: RefCell<KilledChild>,
    started: Instant,
    /// The ports for reads and for operators.
    ports: [u16; 2],
    directory: PathBuf,
}

impl Serve {
    pub fn start(topics: &Topics, directory: &Path) -> Serve {
        Serve::start_on([PORTS[0], PORTS[1]], topics, directory, &[])
    }

    /// Starts a server with more options.
    pub fn start_with(topics: &Topics, directory: &Path, options: &[&str]) -> Serve {
        Serve::start_on([PORTS[0], PORTS[1]], topics, directory, options)
    }

    /// Starts another server beside the first.
    pub fn start_beside(topics: &Topics, directory: &Path) -> Serve {
        Serve::start_beside_with(topics, directory, &[])
    }

    /// Starts another server beside the first, with more options.
    pub fn start_beside_with(topics: &Topics, directory: &Path, options: &[&str]) -> Serve {
        Serve::start_on([PORTS[2], PORTS[3]], topics, directory, options)
    }

    fn start_on(ports: [u16; 2], topics: &Topics, directory: &Path, options: &[&str]) -> Serve {
        let [listen, admin] = ports.map(|port| format!("127.0.0.1:{port}"));
        let log = std::fs::File::create(directory.join("serve.log")).expect("the directory is there");
        let started = Instant::now();
        // The variable names another version's program, for comparisons.
        let program = std::env::var("OPTVIEW_BENCH_PROGRAM").unwrap_or_else(|_| BINARY.to_owned());
        let child = Command::new(program)
            .arg("serve")
            .args(&topics.arguments)
            .args(options)
            .args(["--listen", &listen, "--admin-listen", &admin, "--data-dir"])
            .arg(PathBuf::from(directory).join("data"))
            .stderr(log)
            .spawn()
            .expect("serve starts");
        Serve { process: RefCell::new(KilledChild(child)), started, ports, directory: directory.to_owned() }
    }

    /// Returns the lines of the log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("serve.log")).expect("its log")
    }

    /// Kills the server with SIGKILL. Returns its log.
    pub fn kill(self) -> String {
        let Serve { process, directory, .. } = self;
        drop(process);
        std::fs::read_to_string(directory.join("serve.log")).expect("its log")
    }

    /// Returns a tool's command on the server's data directory.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        tool(arguments, &self.directory)
    }

    /// Returns the ids of 1,000 views from an offset in the list on.
    pub fn some_ids(&self, offset: usize) -> Vec<String> {
        let page = json(&self.url(&format!("/optimizations?limit=1000&offset={offset}"))).expect("a list");
        page["optimizations"].as_array().expect("views").iter().map(id_of).collect()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        json(&self.status_url())
    }

    pub fn status_url(&self) -> String {
        format!("http://127.0.0.1:{}/status", self.ports[1])
    }

    /// Waits until the server is live and its checkpoint covers this number of records. Returns the time since its
    /// start.
    pub fn wait_until_synced(&self, records: u64) -> Duration {
        self.wait_until("caught up and synced", |status| {
            status["state"] == "live" && covered(status, "checkpoint") >= records
        })
    }

    /// Waits until the server is live. Returns the time since its start.
    pub fn wait_until_live(&self) -> Duration {
        self.wait_until("live", |status| status["state"] == "live")
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> Duration {
        let begin = Instant::now();
        loop {
            if self.status().is_some_and(|status| is_so(&status)) {
                return self.started.elapsed();
            }
            self.check();
            assert!(begin.elapsed() < Duration::from_secs(600), "serve is never {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// # Panics
    /// Panics if the server has ended.
    pub fn check(&self) {
        let ended = self.process.borrow_mut().0.try_wait().expect("a child");
        assert!(ended.is_none(), "serve has ended: {}", self.log());
    }

    /// Returns the seconds since the process was started.
    pub fn seconds_since_start(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Returns the user and system time of all threads in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.process.borrow().0.id().to_string())
    }

    pub fn peak_mib(&self) -> u64 {
        self.mib_of("VmHWM:")
    }

    /// Returns the memory that the process takes now.
    pub fn memory_mib(&self) -> u64 {
        self.mib_of("VmRSS:")
    }

    fn mib_of(&self, name: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.borrow().0.id())).expect("it lives");
        let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("the system reports it");
        value.trim().trim_end_matches(" kB").parse::<u64>().expect("in kB") >> 10
    }
}

/// Returns a command on the data directory of a [`Serve`] that was started on this directory.
pub fn tool(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data-dir").arg(directory.join("data"));
    command
}

pub fn id_of(view: &serde_json::Value) -> String {
    view["id"].as_str().expect("an id").to_owned()
}

/// Returns the sum of the partitions' offsets in a field of the status: `checkpoint` or `position`.
pub fn covered(status: &serde_json::Value, field: &str) -> u64 {
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    partitions.iter().filter_map(|partition| partition[field].as_u64()).sum()
}

/// Returns the seconds that all processors together have had nothing to do since the machine's start.
pub fn idle_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("the system counts its time");
    let ticks = stat.lines().next().and_then(|all| all.split_whitespace().nth(4)).expect("a count of idle time");
    ticks.parse::<f64>().expect("a number of ticks") / 100.0
}

pub fn json(url: &str) -> Option<serde_json::Value> {
    ureq::get(url).call().ok()?.body_mut().read_json().ok()
}

/// Returns the percentile of the sorted values.
#[expect(clippy::cast_possible_truncation, reason = "an index of what was measured")]
pub fn percentile(sorted: &[f64], hundredths: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * hundredths / 100.0).round() as usize]
}
