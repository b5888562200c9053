//! An in-process cluster, the events that tests put on it, and `optview serve` beside it as a process.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::KafkaSettings;
use optview::source::kafka::producer::Producer;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest wait for anything that should take seconds. (That a broker is away shows after half a minute.)
const DEADLINE: Duration = Duration::from_secs(120);

/// The broker that leads the topic of jobs. Another one leads the others.
const BROKER_OF_JOBS: i32 = 2;

/// A cluster of two brokers with one partition a topic, and a directory.
pub struct World {
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: KafkaSettings,
    directory: TempDir,
    /// Number of events that were put on the topics, which is the sequence of the last one, too.
    events: Cell<u32>,
}

impl World {
    pub fn new() -> World {
        let cluster = MockCluster::new(2).unwrap();
        let topics = TopicNames::default();
        for topic in Topic::ALL {
            cluster.create_topic(topics.get(topic), 1, 1).unwrap();
            let leader = if topic == Topic::Jobs { BROKER_OF_JOBS } else { 1 };
            cluster.partition_leader(topics.get(topic), 0, Some(leader)).unwrap();
        }
        // The mock cluster holds an empty fetch for this long even if records arrive meanwhile.
        let properties = vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())];
        let settings = KafkaSettings { brokers: cluster.bootstrap_servers(), topics, properties };
        World { cluster, settings, directory: tempfile::tempdir().unwrap(), events: Cell::new(0) }
    }

    /// Returns the folder for the files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Takes the broker away that leads the topic of jobs.
    pub fn lose_broker_of_jobs(&self) {
        self.cluster.broker_down(BROKER_OF_JOBS).unwrap();
    }

    /// Takes all brokers away.
    pub fn lose_brokers(&self) {
        self.cluster.broker_down(1).unwrap();
        self.lose_broker_of_jobs();
    }

    /// Brings the brokers back.
    pub fn bring_brokers_back(&self) {
        self.cluster.broker_up(1).unwrap();
        self.cluster.broker_up(BROKER_OF_JOBS).unwrap();
    }

    /// Puts an event on the topics: `created` makes an optimization of `prj-1` with this id, `run` begins a run of its job, `deleted`
    /// deletes it, and all else is what its job becomes.
    pub fn put(&self, id: &str, what: &str) {
        let job_id = format!("job-{id}");
        let (topic, key, message) = match what {
            "created" => return self.create(id, json!({"name": format!("Fast charge {id}")})),
            "deleted" => (Topic::Optimizations, id, json!({"optimizationId": id, "deleted": {}})),
            "run" => {
                let message = json!({"jobId": job_id, "runIndex": 0, "started": {}});
                (Topic::MultistartRuns, job_id.as_str(), message)
            }
            "completed" => {
                let metrics = json!({"metrics": {"Charge time [s]": 2874.918273}});
                (Topic::Jobs, job_id.as_str(), json!({"jobId": job_id, "completed": metrics}))
            }
            "failed" => {
                let failed = json!({"error": "solver did not converge", "errorCode": "SOLVER_ERROR"});
                (Topic::Jobs, job_id.as_str(), json!({"jobId": job_id, "failed": failed}))
            }
            became => (Topic::Jobs, job_id.as_str(), json!({"jobId": job_id, became: {}})),
        };
        self.send(topic, key, message);
    }

    /// Puts the creation of an optimization on its topic. It is of `org-1` and `prj-1` unless `created` has others, and links the job
    /// `job-ID`.
    pub fn create(&self, id: &str, created: Value) {
        let mut whole = json!({
            "organizationId": "org-1", "projectId": "prj-1", "kind": "optimize", "createdByEmail": "ada@example.com",
            "objectives": {"Fast charge": {"weight": 1}}, "jobId": format!("job-{id}"),
        });
        let fields = created.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        self.send(Topic::Optimizations, id, json!({"optimizationId": id, "created": whole}));
    }

    /// Each event comes a minute after the one before, so that all that follows from them is the same in each run.
    fn send(&self, topic: Topic, key: &str, mut message: Value) {
        let number = self.events.get() + 1;
        let occurred_at = format!("2026-03-01T{:02}:{:02}:00Z", 9 + number / 60, number % 60);
        message["metadata"] =
            json!({"eventId": format!("event-{number}"), "occurredAt": occurred_at, "sequence": number});
        let mut producer = Producer::new(&self.settings).unwrap();
        producer.send(topic, key, Some(&serde_json::to_vec(&message).unwrap())).unwrap();
        producer.finish().unwrap();
        self.events.set(number);
    }

    /// Starts `serve` with a data directory of its own.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let number = fs::read_dir(self.directory()).unwrap().count();
        let file = |name: &str| self.directory().join(format!("{name}-{number}"));
        let KafkaSettings { brokers, properties, .. } = &self.settings;
        let properties: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let log = file("serve.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--sync-interval", "50ms", "--catch-up-sync-interval", "100ms", "--drain-deadline", "100ms"])
            .args(arguments)
            .args(["--brokers", brokers])
            .arg("--data-dir")
            .arg(file("data"))
            .env("OPTVIEW_KAFKA_PROPERTY", properties)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).http_status_as_error(false);
        let mut server =
            Server { child, log, read: String::new(), admin: String::new(), agent: config.build().into() };
        server.find_addresses();
        server
    }

    /// Starts `serve`, and waits until readers see all that is on the topics.
    pub fn serve_all(&self, arguments: &[&str]) -> Server {
        let server = self.serve(arguments);
        server.wait_for("everything is read", |status| self.is_all_read(status));
        server
    }

    fn is_all_read(&self, status: &Value) -> bool {
        let positions = status["partitions"].as_array().map(|all| all.iter().map(|held| &held["checkpoint"]));
        let read: i64 = positions.into_iter().flatten().filter_map(Value::as_i64).sum();
        status["state"] == "live" && read == i64::from(self.events.get())
    }
}

/// `optview serve` as a process, which does not outlive the test.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// The address of the read API, as `HOST:PORT`.
    pub read: String,
    admin: String,
    agent: ureq::Agent,
}

impl Server {
    /// Returns the base of the read API's addresses.
    pub fn base(&self) -> String {
        format!("http://{}", self.read)
    }

    /// Waits until it listens.
    fn find_addresses(&mut self) {
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == "listening") {
                line["read"].as_str().unwrap().clone_into(&mut self.read);
                line["admin"].as_str().unwrap().clone_into(&mut self.admin);
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < DEADLINE, "it does not listen:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its status is as it should be.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let status: Value = serde_json::from_str(&self.get_admin("/status")).unwrap();
            if is(&status) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "still not: {what}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it is in this state.
    pub fn wait_until(&self, state: &str) {
        self.wait_for(state, |status| status["state"] == state);
    }

    /// Reads from the operators' address.
    pub fn get_admin(&self, path: &str) -> String {
        let mut answer = self.agent.get(format!("http://{}{path}", self.admin)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
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
