//! The rig that the tests against a real Kafka share: a broker, topics and a directory of each test's own, records in and out,
//! the program itself as a process, and waiting for a condition instead of sleeping.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::producer::Producer;
use optview::source::kafka::{KafkaSettings, admin};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::cpu::cpu_seconds;

/// The longest wait for anything that should take seconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The origin of the broker.
#[derive(Clone, Copy)]
pub enum Brokers {
    There(&'static str),
    Started,
}

static SHARED: Mutex<Option<Kafka>> = Mutex::new(None);

impl Brokers {
    pub fn of_environment() -> Option<Brokers> {
        match std::env::var("OPTVIEW_TEST_KAFKA").ok().filter(|value| !value.is_empty())? {
            start if start == "start" => Some(Brokers::Started),
            address => Some(Brokers::There(address.leak())),
        }
    }

    /// Starts the shared broker where that is asked for, once a test needs it.
    pub fn address(self) -> String {
        match self {
            Brokers::There(address) => address.to_owned(),
            Brokers::Started => {
                let mut shared = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
                shared.get_or_insert_with(Kafka::start).address.clone()
            }
        }
    }
}

/// Statics are not dropped, so `main` has to ask for it.
pub fn stop_shared_broker() {
    drop(SHARED.lock().unwrap_or_else(|broken| broken.into_inner()).take());
}

/// A broker of `tests/kafka/broker`. A test that kills one starts its own.
pub struct Kafka {
    pub address: String,
    directory: TempDir,
    /// The client properties that the broker demands.
    properties: Vec<(String, String)>,
    /// The files that the properties refer to.
    certificates: Option<TempDir>,
}

impl Kafka {
    pub fn start() -> Kafka {
        // It looks every half second, not every 15 s, for what it can compact.
        Kafka::start_with(&["log.cleaner.backoff.ms=500".to_owned()])
    }

    /// Starts a broker with further server properties, `KEY=VALUE`.
    pub fn start_with(properties: &[String]) -> Kafka {
        let directory = tempfile::tempdir().expect("a directory for the broker");
        let address = broker("start", directory.path(), properties).expect("a broker that starts");
        Kafka { address, directory, properties: Vec::new(), certificates: None }
    }

    pub fn spoken_to_with(mut self, properties: Vec<(String, String)>, certificates: TempDir) -> Kafka {
        (self.properties, self.certificates) = (properties, Some(certificates));
        self
    }
}

impl Kafka {
    /// Kills the broker, as a crash would.
    pub fn kill(&self) {
        broker("kill", self.directory.path(), &[]).expect("a broker that can be killed");
    }

    /// Starts the broker again, with its address and its data.
    pub fn restart(&self) {
        broker("start", self.directory.path(), &[]).expect("a broker that starts again");
    }

    /// A further broker in its cluster.
    pub fn join(&self) -> Kafka {
        let directory = tempfile::tempdir().expect("a directory for the broker");
        let first = self.directory.path().display().to_string();
        let address = broker("join", directory.path(), &[first]).expect("a broker that joins");
        Kafka { address, directory, properties: Vec::new(), certificates: None }
    }

    /// Stops the broker's process, whose connections stay open.
    pub fn freeze(&self) {
        broker("freeze", self.directory.path(), &[]).expect("a broker that can be frozen");
    }

    pub fn thaw(&self) {
        broker("thaw", self.directory.path(), &[]).expect("a broker that can go on");
    }

    /// Changes rights with Kafka's own command for access control lists.
    pub fn change_rights(&self, arguments: &[&str]) {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        broker("acls", self.directory.path(), &arguments).expect("rights that can be changed");
    }

    /// Starts the broker again with its data, at another address, and returns that.
    pub fn move_to_another_port(&self) -> String {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        self.move_to(&free.to_string())
    }

    /// Starts the broker again with its data, at this address.
    pub fn move_to(&self, address: &str) -> String {
        let (_, port) = address.rsplit_once(':').expect("an address");
        self.kill();
        let ports = self.directory.path().join("ports");
        let held = std::fs::read_to_string(&ports).expect("the broker's ports");
        let (_, controller) = held.trim().split_once(' ').expect("two of them");
        std::fs::write(&ports, format!("{port} {controller}\n")).expect("other ports");
        broker("start", self.directory.path(), &[]).expect("a broker that starts again")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // What it kept is deleted anyway, so it need not take the time to stop well.
        let _ = broker("kill", self.directory.path(), &[]);
    }
}

fn broker(verb: &str, directory: &Path, properties: &[String]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker");
    let output = Command::new(script)
        .arg(verb)
        .arg(directory)
        .args(properties)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The topics, the directory and the broker of one test.
pub struct Rig {
    /// The broker of a test that needs one of its own.
    pub own_broker: Option<Kafka>,
    pub settings: KafkaSettings,
    /// Deleted with the rig.
    pub directory: TempDir,
}

/// A record as a consumer gets it.
pub struct ConsumedRecord {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: Vec<u8>,
}

impl Rig {
    pub fn new(test: &str, brokers: Brokers, own_broker: Option<Kafka>) -> Rig {
        // A broker that is used again still has the topics of earlier runs.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_nanos();
        let name = |topic: Topic| format!("{}-{now:x}-{}", &test[..test.len().min(60)], topic.default_name());
        let topics = TopicNames::new(name(Topic::Optimizations), name(Topic::Jobs), name(Topic::MultistartRuns));
        let (brokers, properties) = match &own_broker {
            Some(own) => (own.address.clone(), own.properties.clone()),
            None => (brokers.address(), Vec::new()),
        };
        let settings = KafkaSettings { brokers, topics, properties };
        Rig { own_broker, settings, directory: tempfile::tempdir().expect("a directory for the test") }
    }

    /// Makes a rig on this broker, with topics of the same names as another rig's.
    pub fn of(broker: &Kafka, other: &Rig) -> Rig {
        let settings = KafkaSettings { brokers: broker.address.clone(), ..other.settings.clone() };
        Rig { own_broker: None, settings, directory: tempfile::tempdir().expect("a directory for the test") }
    }

    pub fn create_topics(&self, partitions: i32) {
        admin::ensure_topics(&self.settings, partitions).expect("topics");
    }

    /// The program with this rig's broker and topics, and none of the environment's own settings.
    pub fn optview(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        let properties = self.settings.properties.iter().map(|(key, value)| format!("{key}={value}\n"));
        command
            .args(arguments)
            .env("OPTVIEW_KAFKA_PROPERTY", properties.collect::<String>())
            .env("OPTVIEW_BROKERS", &self.settings.brokers)
            .env("OPTVIEW_TOPIC_OPTIMIZATIONS", self.settings.topics.get(Topic::Optimizations))
            .env("OPTVIEW_TOPIC_JOBS", self.settings.topics.get(Topic::Jobs))
            .env("OPTVIEW_TOPIC_MULTISTART_RUNS", self.settings.topics.get(Topic::MultistartRuns))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end. If it fails, the panic contains its stderr.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.optview(arguments).output().expect("a program to run");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts the program. Its output goes to the files `stdout` and `stderr` of the rig's directory.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        let file = |name: &str| File::create(self.directory.path().join(name)).expect("a file for its output");
        let mut command = self.optview(arguments);
        command.stdout(file("stdout")).stderr(file("stderr"));
        Process(command.spawn().expect("a program to start"))
    }

    /// Puts records on a topic, as (key, value).
    pub fn produce(&self, topic: Topic, records: &[(&str, &str)]) {
        let mut producer = Producer::new(&self.settings).expect("a producer");
        for (key, value) in records {
            producer.send(topic, key, Some(value.as_bytes())).expect("a record that is taken");
        }
        assert_eq!(producer.finish().expect("records that are delivered"), records.len());
    }

    /// Returns the number of records in a topic.
    pub fn count(&self, topic: Topic) -> i64 {
        offsets(&self.consumer(), self.settings.topics.get(topic)).iter().map(|(low, high)| high - low).sum()
    }

    /// Returns the sum of the end offsets of a topic's partitions.
    pub fn end(&self, topic: Topic) -> i64 {
        self.end_of(self.settings.topics.get(topic))
    }

    /// Returns the sum of the end offsets of the partitions of the topic of this name.
    pub fn end_of(&self, name: &str) -> i64 {
        offsets(&self.consumer(), name).iter().map(|(_, high)| high).sum()
    }

    /// Every record of a topic, up to where it ends now.
    pub fn consume(&self, topic: Topic) -> Vec<ConsumedRecord> {
        self.messages(topic)
            .into_iter()
            .map(|message| ConsumedRecord {
                partition: message.partition(),
                offset: message.offset(),
                key: String::from_utf8(message.key().unwrap_or_default().to_vec()).expect("a text"),
                value: message.payload().unwrap_or_default().to_vec(),
            })
            .collect()
    }

    /// Reads all records of a topic, with their headers and timestamps.
    pub fn messages(&self, topic: Topic) -> Vec<OwnedMessage> {
        let name = self.settings.topics.get(topic);
        let consumer = self.consumer();
        let mut assignment = TopicPartitionList::new();
        let mut left = 0;
        for (partition, (low, high)) in (0..).zip(offsets(&consumer, name)) {
            assignment.add_partition_offset(name, partition, Offset::Offset(low)).expect("an offset");
            left += high - low;
        }
        consumer.assign(&assignment).expect("an assignment");
        let start = Instant::now();
        let mut consumed = Vec::new();
        while (consumed.len() as i64) < left {
            assert!(start.elapsed() < DEADLINE, "{name}: {} of {left} records", consumed.len());
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            consumed.push(message.expect("a record").detach());
        }
        consumed
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.settings.client_config();
        config.set("group.id", "optview-tests").set("enable.auto.commit", "false");
        config.create().expect("a consumer")
    }
}

/// The program as a process, which does not outlive the test.
pub struct Process(Child);

impl Process {
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.0.id().to_string())
    }

    /// SIGKILL, as a crash.
    pub fn kill(mut self) {
        self.0.kill().expect("a process to kill");
        self.0.wait().expect("a process that ends");
    }

    /// Waits until the process ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        wait_until("it ends", || self.0.try_wait().expect("a child"))
    }

    /// SIGTERM, as whoever runs it would.
    pub fn stop(mut self) -> ExitStatus {
        // Every bash has a kill; not every machine has one beside.
        let sent = Command::new("bash").args(["-c", &format!("kill {}", self.0.id())]).status().expect("bash");
        assert!(sent.success());
        wait_until("it ends", || self.0.try_wait().expect("a child"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition returns a value, and returns that. It panics if the condition does not hold in time.
pub fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "after {} s, still not: {what}", DEADLINE.as_secs());
        sleep(Duration::from_millis(20));
    }
}

/// The low and the high watermark of each partition.
fn offsets(consumer: &BaseConsumer, topic: &str) -> Vec<(i64, i64)> {
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).expect("metadata");
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    // A leader that was just made may not know yet that it is one.
    let watermarks = |partition| {
        let asked = || consumer.fetch_watermarks(topic, partition, DEADLINE).ok();
        wait_until(&format!("the watermarks of {topic}/{partition} are known"), asked)
    };
    (0..partitions as i32).map(watermarks).collect()
}
