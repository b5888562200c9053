//! `optview serve` as a process beside an in-process broker, with its stderr in the test's hands.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::KafkaSettings;
use optview::source::kafka::embedded_broker::EmbeddedBroker;
use optview::source::kafka::producer::Producer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest wait for anything that should take seconds.
const DEADLINE: Duration = Duration::from_secs(180);

/// The program's stderr from the first byte that has not been read.
pub type Log = BufReader<ChildStderr>;

/// A cluster of one partition a topic, and a data directory.
pub struct World {
    /// `None`: there is none at its address.
    broker: Option<EmbeddedBroker>,
    settings: KafkaSettings,
    pub directory: TempDir,
}

impl World {
    pub fn new() -> World {
        let broker = EmbeddedBroker::start(TopicNames::default(), 1).unwrap();
        World { settings: broker.settings(), broker: Some(broker), directory: tempfile::tempdir().unwrap() }
    }

    /// Makes a world whose cluster is away.
    pub fn without_broker() -> World {
        let brokers = "127.0.0.1:1".to_owned();
        let settings = KafkaSettings { brokers, topics: TopicNames::default(), properties: Vec::new() };
        World { broker: None, settings, directory: tempfile::tempdir().unwrap() }
    }

    /// Puts one record on a topic.
    pub fn put(&self, topic: Topic, key: &str, message: &Value) {
        let mut producer = self.producer();
        producer.send(topic, key, Some(&serde_json::to_vec(message).unwrap())).unwrap();
        producer.finish().unwrap();
    }

    fn producer(&self) -> Producer {
        assert!(self.broker.is_some(), "there is nobody to take records");
        Producer::new(&self.settings).unwrap()
    }

    /// Puts optimizations with these numbers on the topics, each with a job.
    pub fn put_optimizations(&self, from: usize, to: usize) {
        let mut producer = self.producer();
        for number in from..to {
            let (id, job) = (format!("optimization-{number}"), format!("job-{number}"));
            let created =
                json!({"organizationId": "org-1", "projectId": "prj-1", "name": "Fast", "jobId": job.clone()});
            send(
                &mut producer,
                Topic::Optimizations,
                &id,
                json!({"optimizationId": id.clone(), "created": created}),
            );
            send(&mut producer, Topic::Jobs, &job, json!({"jobId": job.clone(), "pending": {}}));
        }
        producer.finish().unwrap();
    }

    /// Puts records on the topics, each with its key.
    pub fn put_values<'a>(&self, records: impl Iterator<Item = (Topic, &'a str, &'a [u8])>) {
        let mut producer = self.producer();
        records.for_each(|(topic, key, value)| producer.send(topic, key, Some(value)).unwrap());
        producer.finish().unwrap();
    }

    /// Puts so many records on the topic of jobs that nobody can understand.
    pub fn put_garbage(&self, count: usize) {
        let mut producer = self.producer();
        (0..count).for_each(|_| producer.send(Topic::Jobs, "job", Some(b"{")).unwrap());
        assert_eq!(producer.finish().unwrap(), count);
    }

    pub fn serve(&self, arguments: &[&str], variables: &[(&str, &Path)], stderr: Stdio) -> Program {
        self.serve_after("true", arguments, variables, stderr)
    }

    /// Serves in a process that a shell has done something in before, such as lowering a limit.
    pub fn serve_after(
        &self,
        before: &str,
        arguments: &[&str],
        variables: &[(&str, &Path)],
        stderr: Stdio,
    ) -> Program {
        let KafkaSettings { brokers, properties, .. } = &self.settings;
        let properties: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let mut command = after(before);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--sync-interval", "50ms", "--catch-up-sync-interval", "100ms", "--drain-deadline", "100ms"])
            .args(arguments)
            .args(["--brokers", brokers])
            .env("OPTVIEW_KAFKA_PROPERTY", properties)
            .env("OPTVIEW_ADMIN_LISTEN", "127.0.0.1:0")
            .env("OPTVIEW_DATA_DIR", self.directory.path().join("data"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE)).http_status_as_error(false);
        let (child, agent) = (command.spawn().unwrap(), config.build().into());
        Program { child, read: String::new(), admin: String::new(), log: None, agent }
    }
}

/// The program, in a process that a shell has done something in before.
pub fn after(before: &str) -> Command {
    copy_after(Path::new(env!("CARGO_BIN_EXE_optview")), before)
}

/// A copy of the program, in a process that a shell has done something in before.
pub fn copy_after(program: &Path, before: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{before} && exec \"$0\" \"$@\"")]).arg(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

fn send(producer: &mut Producer, topic: Topic, key: &str, mut message: Value) {
    message["metadata"] = json!({"eventId": key, "occurredAt": "2026-03-01T09:00:00Z", "sequence": 1});
    producer.send(topic, key, Some(&serde_json::to_vec(&message).unwrap())).unwrap();
}

pub struct Program {
    child: Child,
    pub read: String,
    admin: String,
    /// The program's log, unless the test has taken it.
    log: Option<Log>,
    agent: ureq::Agent,
}

impl Program {
    /// Reads its log as far as it takes to know where it listens. Gives the log, unread from there on.
    pub fn listening(&mut self) -> Log {
        let fields = self.next_line("listening");
        self.admin = fields["admin"].as_str().unwrap().to_owned();
        self.read = fields["read"].as_str().unwrap().to_owned();
        self.log.take().expect("it has been read")
    }

    /// Reads its log up to the line with this message.
    pub fn next_line(&mut self, message: &str) -> Value {
        let child = &mut self.child;
        let begin = || BufReader::new(child.stderr.take().expect("its stderr is a pipe"));
        let log = self.log.get_or_insert_with(begin);
        let mut line = String::new();
        while log.read_line(&mut line).unwrap() > 0 {
            let fields: Value = serde_json::from_str(&line).unwrap_or_default();
            if fields["message"] == message {
                return fields;
            }
            line.clear();
        }
        panic!("it ended before it said: {message}");
    }

    /// Waits until it listens at an address that it was given. False where it has ended instead.
    pub fn listens_at(&mut self, admin: &str) -> bool {
        admin.clone_into(&mut self.admin);
        let begin = Instant::now();
        loop {
            if self.has_ended().is_some() {
                return false;
            }
            if self.agent.get(format!("http://{admin}/healthz")).call().is_ok() {
                return true;
            }
            assert!(begin.elapsed() < DEADLINE, "it does not listen at {admin}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// From the read API: the status, the headers' `retry-after`, and the body.
    pub fn read(&self, path: &str) -> (u16, Option<String>, Value) {
        let mut answer = self.agent.get(format!("http://{}{path}", self.read)).call().unwrap();
        let retry_after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
        (answer.status().as_u16(), retry_after, answer.body_mut().read_json().unwrap())
    }

    /// Reads `/metrics`.
    pub fn metrics(&self) -> String {
        self.get("/metrics").1
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.get_of(&self.admin, path)
    }

    /// Reads from one of the program's addresses, on a new connection.
    pub fn get_of(&self, address: &str, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("http://{address}{path}")).header("connection", "close");
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Reads a page of `/dead-letters` with these parameters.
    pub fn dead_letters(&self, query: &str) -> Value {
        let (status, body) = self.get(&format!("/dead-letters?{query}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn ready(&self) -> (u16, Value) {
        let (status, body) = self.get("/readyz");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// The value of a metric, written as it is shown with its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits until its status is as it should be.
    pub fn wait_for(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status: Value = serde_json::from_str(&self.get("/status").1).unwrap();
            if is(&status) {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "still not: {what}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads the rest of stderr until the program ends.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().expect("its stderr is a pipe").read_to_string(&mut text).unwrap();
        text
    }

    /// Asks for a path of the read API, with this correlation id. Gives the status.
    pub fn read_as(&self, path: &str, correlation_id: &str) -> u16 {
        let request =
            self.agent.get(format!("http://{}{path}", self.read)).header("x-correlation-id", correlation_id);
        request.call().unwrap().status().as_u16()
    }

    /// SIGTERM.
    pub fn tell_to_stop(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, signal: &str) {
        // Every bash has a kill; not every machine has one beside.
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the program ends.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_while(|_| std::thread::sleep(Duration::from_millis(20)))
    }

    /// Waits until the program ends, and calls `again` over and over meanwhile.
    pub fn wait_while(&mut self, again: impl Fn(&Program)) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(ended) = self.has_ended() {
                return ended;
            }
            assert!(begin.elapsed() < DEADLINE, "it does not end");
            again(self);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the rest of a log, once the program has ended.
pub fn rest_of(mut log: Log) -> String {
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    text
}

/// Reads a log on to the line that is looked for.
pub fn next_line(log: Log, is: impl Fn(&Value) -> bool + Send + 'static) -> Value {
    let (found, line) = channel();
    // On a thread of its own: a log that has no such line is never at its end.
    std::thread::spawn(move || {
        let lines = log.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
        if let Some(line) = { lines }.find(|line| is(line)) {
            // Where nobody waits for it any more, the test has failed.
            let _ = found.send(line);
        }
    });
    line.recv_timeout(DEADLINE).expect("a line of the log")
}

/// Returns the position and the checkpoint of a topic's only partition.
pub fn positions(status: &Value, topic: &str) -> Option<(i64, Option<i64>)> {
    let partitions = status["partitions"].as_array()?;
    let partition = partitions.iter().find(|partition| partition["topic"] == topic)?;
    Some((partition["position"].as_i64()?, partition["checkpoint"].as_i64()))
}
