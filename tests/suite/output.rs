//! Nothing panics if stdout or stderr is full, or if its reader has gone. A full stdout is a reported error, a reader that has gone
//! ends the command quietly, and the state of stderr makes no difference.

use std::fs::File;
use std::io::{Read as _, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use optview::domain::Topic;
use optview::source::TopicNames;
use optview::source::archive::{ArchiveReader, Manifest};
use optview::source::kafka::KafkaSettings;
use optview::source::kafka::embedded_broker::EmbeddedBroker;
use tempfile::TempDir;

use crate::fixtures;

/// The code of a command whose answer nobody reads to its end.
const READER_GONE: i32 = 141;

fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

fn without_a_reader() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    Stdio::from(writer)
}

/// The exit status of a command, and the text that it wrote to pipes.
#[derive(Debug)]
struct EndedCommand {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A cluster with a history on its topics, and a data directory with a view.
struct World {
    broker: EmbeddedBroker,
    directory: TempDir,
}

impl World {
    fn new() -> World {
        let broker = EmbeddedBroker::start(TopicNames::default(), 1).unwrap();
        let world = World { broker, directory: tempfile::tempdir().unwrap() };
        let opened = fixtures::open(&world.path("data"));
        let optimization = fixtures::optimization("o1", 4, "a name".to_owned(), String::new());
        opened.writer.commit(fixtures::commit_of(vec![optimization]), Vec::new(), 1).unwrap();
        opened.writer.note_caught_up();
        opened.writer.finish().unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The id of an optimization that has been loaded.
    fn an_id(&self) -> String {
        let archive = self.path("archive");
        let mut records = ArchiveReader::new(&archive, &Manifest::read(&archive).unwrap()).map(Result::unwrap);
        let record = records.find(|record| record.position.topic == Topic::Optimizations).expect("there is one");
        String::from_utf8(record.key.unwrap()).unwrap()
    }

    fn run(&self, arguments: &[String], stdout: Stdio, stderr: Stdio) -> EndedCommand {
        let KafkaSettings { brokers, properties, .. } = self.broker.settings();
        let properties: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("OPTVIEW_BROKERS", brokers)
            .env("OPTVIEW_KAFKA_PROPERTY", properties)
            .env("OPTVIEW_DATA_DIR", self.path("data"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let mut child = command.spawn().unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = child.stderr.take() {
            pipe.read_to_string(&mut stderr).unwrap();
        }
        if let Some(mut pipe) = child.stdout.take() {
            pipe.read_to_string(&mut stdout).unwrap();
        }
        EndedCommand { code: child.wait().unwrap().code(), stdout, stderr }
    }

    /// Runs a command once in each way. `run` counts, for what can be made only once.
    fn check(&self, arguments: impl Fn(&str) -> Vec<String>) {
        let mut runs = 0;
        let mut run = |stdout: Stdio, stderr: Stdio| {
            runs += 1;
            self.run(&arguments(&runs.to_string()), stdout, stderr)
        };
        let command = arguments("N").join(" ");
        let usual = run(Stdio::piped(), Stdio::piped());
        assert_eq!(usual.code, Some(0), "{command}: {usual:?}");
        assert!(!usual.stdout.is_empty(), "{command} answers nothing");
        let ended = run(full(), Stdio::piped());
        assert_eq!(ended.code, Some(1), "{command} >/dev/full: {ended:?}");
        assert!(ended.stderr.contains("cannot write the answer to stdout"), "{command}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{command}: {ended:?}");
        let ended = run(without_a_reader(), Stdio::piped());
        assert_eq!(ended.code, Some(READER_GONE), "{command} | true: {ended:?}");
        assert!(!ended.stderr.contains("stdout") && !ended.stderr.contains("panicked"), "{command}: {ended:?}");
        for stderr in [full(), without_a_reader()] {
            let ended = run(Stdio::piped(), stderr);
            assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
            assert!(!ended.stdout.is_empty(), "{command} answers nothing");
        }
        let ended = run(full(), full());
        assert_eq!(ended.code, Some(1), "{command} &>/dev/full");
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_and_version_end_as_any_answer_does() {
    let world = World::new();
    for line in ["--help", "--version", "serve --help", "archive verify --help"] {
        world.check(|_| words(line));
    }
}

#[test]
fn mistakes_exit_with_2_whoever_reads_them() {
    let world = World::new();
    for line in ["", "nonsense", "load --nonsense", "serve --listen nonsense"] {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        for stderr in [full(), without_a_reader()] {
            let ended = world.run(&arguments, Stdio::piped(), stderr);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{line}");
        }
    }
}

#[test]
fn tools_end_as_any_answer_does() {
    let world = World::new();
    for line in [
        "explain o1",
        "explain o1 --json",
        "verify",
        "verify --json",
        "generations",
        "accept-loss",
        "rebuild --status",
        "rebuild --status --json",
    ] {
        world.check(|_| words(line));
    }
    let file = |run: &str| world.path(&format!("snapshot-{run}"));
    world.check(|run| words(&format!("snapshot export {}", text(&file(run)))));
    let directory = |run: &str| world.path(&format!("made-{run}"));
    world
        .check(|run| words(&format!("snapshot import {} --data-dir {}", text(&file("1")), text(&directory(run)))));
}

#[test]
fn what_reads_or_writes_topics_ends_as_any_answer_does() {
    let world = World::new();
    let load = "load --optimizations 20 --runs 1 --partitions 1";
    world.check(|_| words(load));
    let archive = world.path("archive");
    for line in
        ["archive export DIR", "archive export DIR --json", "archive verify DIR", "archive verify DIR --json"]
    {
        world.check(|_| words(&line.replace("DIR", text(&archive))));
    }
    let id = world.an_id();
    world.check(|_| words(&format!("history {id}")));
    world.check(|_| words(&format!("history {id} --from-archive {}", text(&archive))));
}

#[test]
fn a_demo_that_nobody_looks_at_ends_by_itself() {
    let world = World::new();
    let demo = words("demo --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0");
    let ended = world.run(&demo, full(), Stdio::piped());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("optview demo: cannot write the answer to stdout"), "{ended:?}");
    for stderr in [Stdio::piped(), full(), without_a_reader()] {
        let ended = world.run(&demo, without_a_reader(), stderr);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(READER_GONE), ""), "{ended:?}");
    }
}
