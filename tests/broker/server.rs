//! `optview serve` as a process: started on a directory of the test's own and on free ports, read over HTTP as by any
//! client, killed, or stopped.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use optview::domain::Topic;
use serde::Deserialize;
use serde_json::Value;

use crate::rig::{DEADLINE, Rig, wait_until};

pub struct Server {
    child: Child,
    log: PathBuf,
    addresses: OnceCell<Addresses>,
    agent: ureq::Agent,
}

/// Known from the log, since the ports are the system's choice.
#[derive(Clone, Deserialize)]
pub struct Addresses {
    pub read: String,
    pub admin: String,
}

/// An answer with a JSON body.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// The headers of an answer that tests compare.
#[derive(Debug, PartialEq)]
pub struct Marks {
    pub status: u16,
    /// The state of the instance that answered.
    pub state: String,
    pub retry_after: Option<String>,
}

/// The part of `/status` that tests look at.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub state: String,
    pub generation: u64,
    pub views: u64,
    pub dead_letters: u64,
    pub lag_records: Option<i64>,
    pub last_error: Option<String>,
    pub last_error_since: Option<String>,
    pub warnings: Vec<String>,
    pub kafka: Option<Kafka>,
    pub partitions: Vec<Partition>,
    pub publication: Option<Publication>,
    pub replica: Option<Replica>,
    pub lag_seconds: Option<f64>,
}

/// The topic of views that a replica reads, in `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Replica {
    pub marked_positions: Option<BTreeMap<String, i64>>,
    pub unreadable_views: u64,
}

/// The publishing of views in `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Publication {
    pub state: String,
    pub unpublished: u64,
    pub published: u64,
    pub holds_checkpoints: bool,
    pub marked_positions: Option<BTreeMap<String, i64>>,
    pub error: Option<String>,
}

/// The cluster's state in `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Kafka {
    pub up: bool,
    pub last_answer_seconds_ago: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    pub position: i64,
    pub checkpoint: Option<i64>,
    pub high: Option<i64>,
    pub last_stable: Option<i64>,
    pub hidden_records: Option<i64>,
    pub lag_records: Option<i64>,
    pub error_code: Option<String>,
    pub error_since: Option<String>,
    pub state: String,
}

impl Report {
    pub fn is_stopped(&self, topic: &str, number: i32) -> bool {
        self.partitions
            .iter()
            .find(|held| held.topic == topic && held.partition == number)
            .is_some_and(|partition| partition.state == "stopped")
    }

    /// Returns the number of records that the checkpoint covers, in topics without deleted records.
    pub fn records_kept(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.checkpoint.unwrap_or(0)).sum()
    }

    pub fn records_read(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.position).sum()
    }

    /// Checks the conditions that hold at any moment of a healthy run.
    pub fn check(&self) {
        for partition in &self.partitions {
            assert!(partition.checkpoint.unwrap_or(0) <= partition.position, "{partition:?}");
            assert_ne!(partition.state, "stopped", "{partition:?}: {:?}", self.last_error);
        }
    }
}

impl Server {
    /// Starts the server with the rig's broker, topics and directory, and a short sync interval, so that checkpoints come soon.
    pub fn start(rig: &Rig, arguments: &[&str]) -> Server {
        Server::start_changed(rig, arguments, |_| {})
    }

    /// Starts a replica of a topic of views, with a directory of its own in the rig's.
    pub fn start_replica(rig: &Rig, topic: &str, directory: &str) -> Server {
        Server::start_changed(rig, &["--from-views", topic], |command| {
            for option in ["TOPIC_OPTIMIZATIONS", "TOPIC_JOBS", "TOPIC_MULTISTART_RUNS", "CATCH_UP_SYNC_INTERVAL"]
            {
                command.env_remove(format!("OPTVIEW_{option}"));
            }
            command.env("OPTVIEW_DATA_DIR", rig.directory.path().join(directory));
        })
    }

    fn start_changed(rig: &Rig, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Server {
        let number = fs::read_dir(rig.directory.path()).expect("the rig's directory").count();
        let log = rig.directory.path().join(format!("serve-{number}.log"));
        let mut command = rig.optview(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command
            .args(["--log-format", "json"])
            .args(arguments)
            .env("OPTVIEW_DATA_DIR", rig.directory.path().join("data"))
            // What a test finds not to be there is not waited for.
            .env("OPTVIEW_MISSING_WAIT", "0s")
            .env("OPTVIEW_SYNC_INTERVAL", "50ms")
            .env("OPTVIEW_CATCH_UP_SYNC_INTERVAL", "100ms")
            .stdout(File::create(log.with_extension("stdout")).expect("a file for its output"))
            .stderr(File::create(&log).expect("a file for its log"));
        change(&mut command);
        let child = command.spawn().expect("a program to start");
        // A client that waits for ever would never fail with a message.
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).http_status_as_error(false);
        Server { child, log, addresses: OnceCell::new(), agent: config.build().into() }
    }

    /// Returns the addresses that the server listens on, once it does.
    pub fn addresses(&self) -> &Addresses {
        self.addresses.get_or_init(|| wait_until("serve listens", || self.listening()))
    }

    fn listening(&self) -> Option<Addresses> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(r#""message":"listening""#))?;
        serde_json::from_str(line).ok()
    }

    /// Reads the server's stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// Returns the path of the file with the server's stderr.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// From the read API.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(&self.addresses().read, path)
    }

    /// Reads a 200 from the read API: its body, and the state in its header.
    pub fn bytes(&self, path: &str) -> (Vec<u8>, Option<String>) {
        let answer = self.agent.get(format!("http://{}{path}", self.addresses().read)).call();
        let mut answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(answer.status(), 200, "GET {path}");
        let state = answer.headers().get("x-optview-state").map(|state| state.to_str().expect("text").to_owned());
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec();
        (body.unwrap_or_else(|error| panic!("{path}: {error}")), state)
    }

    /// From the read API: how an answer is marked.
    pub fn marks(&self, path: &str) -> Marks {
        let answer = self.agent.get(format!("http://{}{path}", self.addresses().read)).call();
        let answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        let text = |name: &str| Some(answer.headers().get(name)?.to_str().expect("text").to_owned());
        let state = text("x-optview-state").unwrap_or_else(|| panic!("GET {path} does not say the state"));
        Marks { status: answer.status().as_u16(), state, retry_after: text("retry-after") }
    }

    /// From the operators' address.
    pub fn get_admin(&self, path: &str) -> Answer {
        self.ask(&self.addresses().admin, path)
    }

    fn ask(&self, address: &str, path: &str) -> Answer {
        let answer = self.agent.get(format!("http://{address}{path}")).call();
        let mut answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(answer.headers()["content-type"], "application/json", "GET {path}");
        let body = answer.body_mut().with_config().limit(1 << 30).read_json();
        Answer { status: answer.status().as_u16(), body: body.unwrap_or_else(|error| panic!("{path}: {error}")) }
    }

    /// Reads `/status` from the operators' address.
    pub fn report(&self) -> Report {
        let Answer { status, body } = self.ask(&self.addresses().admin, "/status");
        assert_eq!(status, 200);
        serde_json::from_value(body).expect("a report")
    }

    /// A metric of the operators' address: the sum over its labels, 0 where there is none yet.
    pub fn metric(&self, name: &str) -> u64 {
        let answer = self.agent.get(format!("http://{}/metrics", self.addresses().admin)).call();
        let text = answer.expect("an answer").body_mut().read_to_string().expect("text");
        let is = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
        text.lines().filter(is).map(|line| value(line).expect("a count")).sum()
    }

    /// Reads `/metrics`.
    pub fn metrics(&self) -> String {
        let answer = self.agent.get(format!("http://{}/metrics", self.addresses().admin)).call();
        answer.expect("an answer").body_mut().read_to_string().expect("text")
    }

    /// Waits until the status is as it should be.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        self.wait_at_most(DEADLINE, what, is)
    }

    /// Waits until the status is as it should be, for something that takes longer than [`DEADLINE`].
    pub fn wait_at_most(&self, deadline: Duration, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let start = Instant::now();
        loop {
            let report = self.report();
            if is(&report) {
                return report;
            }
            assert!(start.elapsed() < deadline, "still not: {what}: {report:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn wait_until_live(&self) -> Report {
        self.wait_for("live", |report| report.state == "live")
    }

    /// Waits until all that is on the topics now has been read, can be seen by readers, and is covered by the
    /// checkpoint.
    pub fn wait_until_all_is_kept(&self, rig: &Rig) -> Report {
        let ends: i64 = Topic::ALL.iter().map(|&topic| rig.end(topic)).sum();
        self.wait_for(&format!("{ends} records kept"), |report| {
            report.state == "live" && report.records_kept() == ends
        })
    }

    /// Returns true if the server has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        // Every bash has a kill; not every machine has one beside.
        let sent = Command::new("bash").args(["-c", &format!("kill -s {name} {}", self.child.id())]).status();
        assert!(sent.expect("bash").success());
    }

    /// SIGKILL, as a crash. It must not have ended by itself.
    pub fn kill(mut self) {
        assert!(self.is_running(), "it ended by itself:\n{}", self.log());
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process that ends");
    }

    /// SIGTERM, as an operator. Gives how it ended, and how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("TERM");
        let ended = self.wait();
        (ended, start.elapsed())
    }

    /// Waits until the server ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("serve ends", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{} ends with:\n{}", self.log.display(), lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}
