//! `optview check` as a process beside an in-process broker: each fault in turn is found, by its check and by no other, and nothing is
//! changed by it.

mod faults;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use optview::data_dir;
use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::kafka::KafkaSettings;
use optview::source::kafka::producer::Producer;
use optview::store::OpenStore;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures;

/// A cluster with the three topics, and a directory of the test's own.
struct World {
    settings: KafkaSettings,
    directory: TempDir,
    cluster: MockCluster<'static, DefaultProducerContext>,
}

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> World {
        let cluster = MockCluster::new(1).unwrap();
        for topic in Topic::ALL {
            cluster.create_topic(topic.default_name(), 2, 1).unwrap();
        }
        let settings = KafkaSettings {
            brokers: cluster.bootstrap_servers(),
            topics: TopicNames::default(),
            // The mock cluster holds an empty fetch for this long even if records arrive meanwhile.
            properties: vec![("fetch.wait.max.ms".to_owned(), "10".to_owned())],
        };
        World { settings, directory: tempfile::tempdir().unwrap(), cluster }
    }

    fn data_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn put(&self, topic: Topic, key: &str, value: &str) {
        let mut producer = Producer::new(&self.settings).unwrap();
        producer.send(topic, key, Some(value.as_bytes())).unwrap();
        producer.finish().unwrap();
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_optview")), command, arguments)
    }

    /// Returns a command of this copy of the program.
    fn command_of(&self, program: &Path, command: &str, arguments: &[&str]) -> Command {
        let KafkaSettings { brokers, properties, .. } = &self.settings;
        let properties: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let mut program = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
            program.env_remove(name);
        }
        program
            .arg(command)
            .args(arguments)
            .env("OPTVIEW_BROKERS", brokers)
            .env("OPTVIEW_KAFKA_PROPERTY", properties)
            .env("OPTVIEW_DATA_DIR", self.data_dir())
            .env("OPTVIEW_LISTEN", "127.0.0.1:0")
            .env("OPTVIEW_ADMIN_LISTEN", "127.0.0.1:0")
            // A disk that is nearly full is no part of what is tried here.
            .env("OPTVIEW_MIN_FREE_DISK", "0")
            .stdin(Stdio::null());
        program
    }

    fn check(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command("check", arguments))
    }
}

impl Answer {
    fn of(mut command: Command) -> Answer {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Returns the text and the remedy of a finding with this verdict, named as by [`Answer::with_verdict`].
    fn words_of(&self, verdict: &str, name: &str) -> String {
        let names = self.with_verdict(verdict);
        let at = names.iter().position(|found| found == name).unwrap();
        let found = self.findings().into_iter().filter(|finding| finding["verdict"] == verdict).nth(at).unwrap();
        format!("{}. {}", found["text"].as_str().unwrap(), found["remedy"].as_str().unwrap_or_default())
    }

    fn findings(&self) -> Vec<Value> {
        let json: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr));
        let findings = json["findings"].as_array().unwrap().clone();
        for verdict in ["right", "doubtful", "wrong"] {
            let count = findings.iter().filter(|finding| finding["verdict"] == verdict).count();
            assert_eq!(json[verdict], count, "{json}");
        }
        findings
    }

    /// The findings with this verdict, as `CHECK SUBJECT`.
    fn with_verdict(&self, verdict: &str) -> Vec<String> {
        let found = self.findings().into_iter().filter(|finding| finding["verdict"] == verdict);
        found
            .map(|finding| {
                let subject = finding["subject"].as_str().map(|subject| format!(" {subject}")).unwrap_or_default();
                format!("{}{subject}", finding["check"].as_str().unwrap())
            })
            .collect()
    }
}

#[test]
fn with_a_sound_deployment_nothing_is_wrong_and_nothing_is_made() {
    let world = World::new();
    let answer = world.check(&["--json"]);
    assert_eq!(answer.code, Some(0), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.with_verdict("wrong"), [""; 0]);
    let right = answer.with_verdict("right");
    for thing in [
        "brokers",
        "topic jobs",
        "history multistart-runs",
        "read optimizations",
        "store",
        "address 127.0.0.1:0",
        "threads",
    ] {
        assert!(right.iter().any(|found| found == thing), "no {thing}: {right:?}");
    }
    assert!(!world.data_dir().exists());
    // The same for people: a line for each finding, and the counts.
    let answer = world.check(&[]);
    assert_eq!(answer.code, Some(0));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert!(lines.len() > 15 && lines.last().unwrap().ends_with(" 0 wrong"), "{}", answer.stdout);
    assert!(
        lines[..lines.len() - 1].iter().all(|line| line.starts_with("right  ") || line.starts_with("doubtful "))
    );
}

#[test]
fn each_fault_is_found_by_its_check_alone() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let none = world.directory.path().join("none");
    for (arguments, wrong) in [
        (&["--topic-jobs", "nowhere"][..], "topic nowhere".to_owned()),
        (&["--listen", &address], format!("address {address}")),
        (&["--dead-letter-topic", "nowhere"], "topic nowhere".to_owned()),
        (&["--admin-listen", "192.0.2.1:9180"], "address 192.0.2.1:9180".to_owned()),
        (&["--min-free-disk", "1000000TiB"], format!("data_dir {}", world.data_dir().display())),
        (&["--from-snapshot", none.to_str().unwrap()], "store".to_owned()),
        (&["--kafka-property", "receive.message.max.bytes=1000000000"], String::new()),
    ] {
        let answer = world.check(&[arguments, &["--json"]].concat());
        let expected: Vec<String> = Some(wrong).filter(|wrong| !wrong.is_empty()).into_iter().collect();
        assert_eq!(answer.code, Some(if expected.is_empty() { 0 } else { 3 }), "{arguments:?}: {}", answer.stderr);
        assert_eq!(answer.with_verdict("wrong"), expected, "{arguments:?}");
        let wrong = answer.findings().into_iter().filter(|finding| finding["verdict"] == "wrong");
        assert!(wrong.into_iter().all(|finding| finding["remedy"].is_string()));
    }
}

#[test]
fn a_topic_of_views_that_is_to_be_made_is_reported_and_is_not_made() {
    let world = World::new();
    for _ in 0..2 {
        let answer = world.check(&["--publish-views", "views", "--views-partitions", "5", "--json"]);
        assert_eq!((answer.code, answer.with_verdict("wrong")), (Some(0), Vec::new()), "{}", answer.stdout);
        let found = answer.findings().into_iter().find(|finding| finding["subject"] == "views").unwrap();
        assert_eq!((&found["check"], &found["verdict"]), (&json!("topic"), &json!("doubtful")), "{found}");
        assert!(found["text"].as_str().unwrap().contains("with 5 partitions"), "{found}");
    }
}

#[test]
fn a_directory_that_another_process_has_and_a_store_of_other_topics_are_wrong() {
    let world = World::new();
    let path = world.data_dir();
    fixtures::open(&path).writer.finish().unwrap();
    let answer = world.check(&["--json"]);
    assert_eq!((answer.code, answer.with_verdict("wrong")), (Some(0), Vec::new()), "{}", answer.stdout);
    let lock = data_dir::lock_data_dir(&path).unwrap();
    let answer = world.check(&["--json"]);
    assert_eq!(
        (answer.code, answer.with_verdict("wrong")),
        (Some(3), vec![format!("data_dir {}", path.display())])
    );
    drop(lock);
    // One that is cut to nothing is moved aside by `serve`, and left as it is by this.
    fs::write(path.join("generations/000001/db"), "").unwrap();
    let answer = world.check(&["--json"]);
    assert!(answer.with_verdict("doubtful").contains(&"store".to_owned()), "{}", answer.stdout);
    assert!(path.join("generations/000001/db").exists());
}

#[test]
fn a_cluster_that_does_not_answer_is_said_in_time_and_the_rest_is_checked_all_the_same() {
    let world = World::new();
    let begin = Instant::now();
    let answer = world.check(&["--brokers", "127.0.0.1:1", "--json"]);
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    assert_eq!((answer.code, answer.with_verdict("wrong")), (Some(3), vec!["brokers 127.0.0.1:1".to_owned()]));
    let right = answer.with_verdict("right");
    assert!(
        right.iter().any(|found| found == "store") && right.iter().any(|found| found == "threads"),
        "{right:?}"
    );
}

#[test]
fn mistakes_in_the_options_are_named_as_serve_names_them() {
    let world = World::new();
    let answer = world.check(&["--listen", "0.0.0.0:8080", "--sync-interval", "often"]);
    assert_eq!(answer.code, Some(2));
    for option in ["--listen", "--sync-interval"] {
        assert!(answer.stderr.contains(option), "{}", answer.stderr);
    }
}

#[test]
fn a_sample_says_what_producers_send() {
    let world = World::new();
    let metadata = json!({"eventId": "e", "occurredAt": "2026-03-01T09:00:00Z", "sequence": "1"});
    let created = json!({"metadata": metadata, "optimizationId": "o", "created": {"organizationId": "a", "projectId": "b", "jobId": "j"}});
    world.put(Topic::Optimizations, "o", &created.to_string());
    world.put(Topic::Jobs, "other", &json!({"metadata": metadata, "jobId": "j", "pending": {}}).to_string());
    for number in 0..3 {
        let metadata = json!({"eventId": number.to_string(), "occurredAt": "2126-03-01T09:00:00Z"});
        world.put(Topic::Jobs, "j", &json!({"metadata": metadata, "jobId": "j", "processing": {}}).to_string());
    }
    world.put(Topic::MultistartRuns, "j", "{}");
    let answer = world.check(&["--sample", "10", "--json"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stdout);
    assert_eq!(answer.with_verdict("wrong"), ["sample multistart-runs"]);
    let texts: Vec<String> =
        answer.findings().iter().map(|finding| finding["text"].as_str().unwrap().to_owned()).collect();
    for text in [
        "its newest 1 records are understood: 1 JSON",
        "its newest 4 records are understood: 4 JSON",
        "3 of its newest 4 records have the oddity future; ",
        "3 of its newest 4 records have the oddity no_sequence; ",
        "1 of its newest 4 records have the oddity other_key; ",
        "of its newest 1 records, 1 are not understood: 1: event: none of started, completed, failed, canceled is set",
    ] {
        assert!(texts.iter().any(|found| found.starts_with(text)), "no {text}: {texts:#?}");
    }
}

#[test]
fn beside_a_running_serve_what_that_has_taken_is_not_wrong() {
    let world = World::new();
    let (read, admin) = (free_address(), free_address());
    let addresses = ["--listen", &read, "--admin-listen", &admin];
    let mut serve = world.command("serve", &addresses).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !is_open(&world.data_dir()) && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = world.check(&[&addresses[..], &["--json"]].concat());
    // Its position is compared with the topics, which end before it in another cluster.
    let other = World::new();
    let elsewhere = other.settings.brokers.as_str();
    world.put(Topic::Jobs, "j", "{}");
    let begin = Instant::now();
    let compared = loop {
        let compared = world.check(&[&addresses[..], &["--json", "--brokers", elsewhere]].concat());
        if compared.code == Some(3) || begin.elapsed() > Duration::from_secs(60) {
            break compared;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    serve.kill().unwrap();
    serve.wait().unwrap();
    let wrong = compared.with_verdict("wrong");
    assert!(wrong.contains(&"store".to_owned()) || wrong.contains(&"cluster".to_owned()), "{}", compared.stdout);
    assert_eq!((answer.code, answer.with_verdict("wrong")), (Some(0), Vec::new()), "{}", answer.stdout);
    let taken = answer
        .findings()
        .into_iter()
        .filter(|finding| finding["text"].as_str().unwrap().contains("it is taken for"));
    assert_eq!(taken.count(), 2, "{}", answer.stdout);
}

/// Returns true once `serve` has a store and answers tools there.
fn is_open(data_dir: &Path) -> bool {
    data_dir.join("CURRENT").exists() && data_dir.join("control.sock").exists()
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().to_string()
}
