//! What the benchmarks share: topics named by what is in them, `load`, `serve`, and looks at them from outside.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use optview::source::TopicNames;
use optview::source::kafka::{KafkaSettings, yardstick};

const BINARY: &str = env!("CARGO_BIN_EXE_optview");

/// The broker to use, or nothing, having said so.
pub fn brokers(bench: &str) -> Option<String> {
    let brokers = std::env::var("OPTVIEW_TEST_KAFKA").ok();
    if brokers.is_none() {
        println!("{bench}: skipped: OPTVIEW_TEST_KAFKA names no broker");
    }
    brokers
}

/// `--name value` pairs.
pub struct Options(HashMap<String, String>);

impl Options {
    pub fn read() -> Options {
        let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let pair = |pair: &[String]| {
            let value = pair.get(1).cloned().unwrap_or_default();
            (pair[0].trim_start_matches("--").to_owned(), value)
        };
        Options(arguments.chunks(2).map(pair).collect())
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

    /// Another command on these topics.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(&self.arguments);
        command
    }

    /// Loads the topics where they are empty. Gives how many records they hold.
    pub fn loaded(&self, options: &[&str]) -> u64 {
        if yardstick::records(&self.settings).is_none() {
            let status = self.load(options).status().expect("load starts");
            assert!(status.success(), "load failed");
        }
        yardstick::records(&self.settings).expect("the history was loaded")
    }
}

/// A running `serve`, killed when it is dropped.
pub struct Serve {
    child: Child,
    started: Instant,
    port: u16,
}

impl Serve {
    pub fn start(topics: &Topics, directory: &Path) -> Serve {
        let port = 18_080;
        let (listen, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
        let log = std::fs::File::create(directory.join("serve.log")).expect("the directory is there");
        let started = Instant::now();
        let child = Command::new(BINARY)
            .arg("serve")
            .args(&topics.arguments)
            .args(["--listen", &listen, "--admin-listen", &admin, "--data-dir"])
            .arg(PathBuf::from(directory).join("data"))
            .stderr(log)
            .spawn()
            .expect("serve starts");
        Serve { child, started, port }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        json(&format!("http://127.0.0.1:{}/status", self.port + 1))
    }

    /// Waits until it is live and its checkpoint covers so many records. Gives the time since its start.
    pub fn wait_until_synced(&self, records: u64) -> Duration {
        loop {
            if self.status().is_some_and(|status| status["state"] == "live" && covered(&status) >= records) {
                return self.started.elapsed();
            }
            assert!(self.started.elapsed() < Duration::from_secs(600), "serve does not catch up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// User and system, of all threads.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }

    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the system tells the peak");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("in kB") >> 10
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // SIGKILL. Where it has ended already, that is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn covered(status: &serde_json::Value) -> u64 {
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    partitions.iter().filter_map(|partition| partition["checkpoint"].as_u64()).sum()
}

pub fn json(url: &str) -> Option<serde_json::Value> {
    ureq::get(url).call().ok()?.body_mut().read_json().ok()
}

/// Of a process by its number, or `self`.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("a process has a name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// The value below which so many hundredths of the sorted values are.
pub fn percentile(sorted: &[f64], hundredths: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * hundredths / 100.0).round() as usize]
}
