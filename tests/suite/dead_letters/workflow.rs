//! The workflow with the real program: a topic of garbage stops, its dead letters are listed, shown, exported, tried again and
//! discarded, and it is read on; first beside an instance that serves them, then at rest.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use optview::domain::{Commit, DeadLetter, Topic, TopicPartition};
use optview::source::archive::decode_line;
use optview::store::OpenStore;
use serde_json::{Value, json};

use crate::fixtures;
use crate::program::{Program, World, after, next_line};

/// A directory with a store whose letters are changed by tools.
pub struct Letters {
    data_dir: PathBuf,
}

impl Letters {
    pub fn of(world: &World) -> Letters {
        Letters { data_dir: world.directory.path().join("data") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = after("true");
        command.arg("dead-letters").args(arguments).arg("--data-dir").arg(&self.data_dir);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("a program to run")
    }

    /// Runs a command with `--json`, and gives its exit code and its answer.
    pub fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let answer = serde_json::from_slice(&output.stdout);
        let answer = answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), answer)
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn failure(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

const LIMITED: [&str; 2] = ["--dead-letter-limit", "20"];

fn is_stopped(status: &Value) -> bool {
    let partitions = status["partitions"].as_array().cloned().unwrap_or_default();
    partitions.iter().any(|one| one["topic"] == "jobs" && one["stop_code"] == "dead_letters")
}

/// Serves a topic of 50 records that nobody understands, of which 21 are read.
fn stopped() -> (World, Program) {
    let world = World::new();
    world.put_garbage(50);
    world.put_optimizations(0, 5);
    let mut program = world.serve(&LIMITED, &[], Stdio::piped());
    let log = program.listening();
    let status = program.wait_for("the topic stops", |status| is_stopped(status) && status["views"] == 5);
    assert_eq!((&status["dead_letters"], &status["state"]), (&json!(21), &json!("stalled")));
    let reason = r#"optview_partition_stop_reason{topic="jobs",partition="0",code="dead_letters"}"#;
    assert!(program.metric(reason) > 0.0);
    // The first of each kind is logged, and the stop; the others are counted.
    next_line(log, |line: &Value| {
        let stop = "the topic's partitions stopped: of the latest 21 records";
        line["message"].as_str().is_some_and(|text| text.starts_with(stop))
    });
    (world, program)
}

#[test]
fn letters_are_listed_shown_exported_discarded_and_read_past_beside_an_instance() {
    let (world, mut program) = stopped();
    let letters = Letters::of(&world);
    let (code, listed) = letters.json(&["list"]);
    assert_eq!((code, &listed["count"], &listed["groups"][0]["count"]), (Some(0), &json!(21), &json!(21)));
    assert_eq!(listed["groups"][0]["newest"]["id"], "jobs/0@20");
    assert!(listed["stopped"]["jobs"].is_string(), "{listed}");
    let text = letters.text(&["list", "--topic", "jobs"]);
    assert!(text.contains("jobs/0@20") && text.contains("`optview dead-letters resume --topic jobs`"), "{text}");
    assert_eq!(letters.json(&["list", "--reason", "no such reason"]).1["count"], 0);

    let (_, shown) = letters.json(&["show", "jobs/0@3"]);
    assert_eq!((&shown["key"], &shown["value"]["is_dump"]), (&json!("job"), &json!(false)));
    assert!(shown["reason"].as_str().unwrap().contains("the payload is not JSON"), "{shown}");
    let text = letters.text(&["show", "jobs/0@3"]);
    assert!(text.starts_with("jobs/0@3\n") && text.contains("\n{\n"), "{text}");

    // Still not understood: the exit code reports it, and nothing is lost.
    let (code, retried) = letters.json(&["retry", "--all"]);
    assert_eq!((code, &retried["refused"], &retried["folded"]), (Some(3), &json!(21), &json!(0)));

    let file = world.directory.path().join("letters.jsonl");
    let (code, exported) = letters.json(&["export", file.to_str().unwrap()]);
    assert_eq!((code, &exported["count"]), (Some(0), &json!(21)));
    check_export(&file);
    let why = letters.failure(&["export", file.to_str().unwrap()], 1);
    assert!(why.contains("is there already") && !why.contains("--force"), "there is no such option: {why}");
    let inside = letters.data_dir.join("letters.jsonl");
    assert!(letters.failure(&["export", inside.to_str().unwrap()], 1).contains("lies in the data directory"));

    let page = program.dead_letters("limit=15");
    assert_eq!((page["dead_letters"].as_array().unwrap().len(), &page["total"]), (15, &json!(21)));
    let next = page["next"].as_str().unwrap();
    assert_eq!(next, "jobs/0@14");
    let page = program.dead_letters(&format!("limit=15&after={next}"));
    assert_eq!((page["dead_letters"].as_array().unwrap().len(), &page["next"]), (6, &Value::Null));

    let (code, done) = letters.json(&["discard", "jobs/0@3", "jobs/0@4", "jobs/0@400", "jobs/0@3"]);
    assert_eq!(done["chosen"], 2);
    assert_eq!((code, &done["discarded"], &done["missing"]), (Some(3), &json!(2), &json!(["jobs/0@400"])));
    assert_eq!(letters.json(&["discard", "--topic", "jobs"]).1["discarded"], 19);
    program.wait_for("they are discarded", |status| status["dead_letters"] == 0 && is_stopped(status));

    let (_, resumed) = letters.json(&["resume", "--topic", "jobs"]);
    assert_eq!(resumed["partitions"], json!(["jobs/0@21"]));
    program.wait_for("it stops again", |status| status["dead_letters"] == 21 && is_stopped(status));
    letters.text(&["resume"]);
    let status = program.wait_for("all is read", |status| status["state"] == "live");
    assert_eq!((&status["dead_letters"], &status["views"]), (&json!(29), &json!(5)));
    assert_eq!(letters.json(&["resume"]).1["partitions"], json!([]));
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
}

fn check_export(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 21);
    for (offset, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["id"], &line["whole"]), (&json!(format!("jobs/0@{offset}")), &json!(true)));
        let record = line["record"].to_string();
        let (record, topic) = decode_line(record.as_bytes()).unwrap();
        assert_eq!((topic.as_ref(), record.position.offset), ("jobs", offset as i64));
        assert_eq!(record.value.as_deref(), Some(&b"{"[..]));
    }
}

#[test]
fn the_same_is_done_at_rest_and_letters_that_are_understood_by_now_become_views() {
    let (world, mut program) = stopped();
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
    let letters = Letters::of(&world);
    assert_eq!(letters.json(&["list"]).1["count"], 21);
    // As if the version before had not understood these two records.
    let OpenStore { writer, .. } = fixtures::open(&letters.data_dir);
    let mut held = writer.reader().dead_letters_after(None, 2, usize::MAX).unwrap();
    for (number, letter) in held.iter_mut().enumerate() {
        let pending = json!({
            "metadata": {"eventId": "late", "occurredAt": "2026-03-01T10:00:00Z", "sequence": 2},
            "jobId": format!("job-{number}"), "processing": {},
        });
        letter.value = Some(serde_json::to_vec(&pending).unwrap());
        letter.value_len = letter.value.as_ref().unwrap().len() as u64;
    }
    writer.commit(Commit::default(), held, 1).unwrap();
    writer.finish().unwrap();

    let (code, retried) = letters.json(&["retry", "jobs/0@0"]);
    assert_eq!((code, &retried["folded"], &retried["refused"]), (Some(0), &json!(1), &json!(0)));
    let (code, again) = letters.json(&["retry", "jobs/0@0"]);
    assert_eq!((code, &again["chosen"], &again["missing"]), (Some(3), &json!(0), &json!(["jobs/0@0"])));
    let text = letters.run(&["retry", "--all"]);
    let text = String::from_utf8(text.stdout).unwrap();
    let expected =
        "Of 20 dead letters, 1 are understood now, and are in the views; 19 are still not understood.\n";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(letters.json(&["discard", "--all"]).1["discarded"], 19);
    assert_eq!(letters.json(&["resume"]).1["partitions"], json!(["jobs/0@21"]));

    let mut program = world.serve(&["--dead-letter-limit", "1000"], &[], Stdio::piped());
    let _log = program.listening();
    let status = program.wait_for("all is read", |status| status["state"] == "live");
    assert_eq!(status["dead_letters"], 29);
    for (id, expected) in [(0, "running"), (1, "running"), (2, "queued")] {
        let (code, _, view) = program.read(&format!("/optimizations/optimization-{id}"));
        assert_eq!((code, &view["status"]), (200, &json!(expected)), "{view}");
    }
}

#[test]
fn at_rest_the_place_of_the_error_is_found_within_the_frame_that_is_given() {
    let world = World::new();
    let letters = Letters::of(&world);
    std::fs::create_dir_all(&letters.data_dir).unwrap();
    // Apicurio's frame with an id that auto takes for Confluent's, and a message of protobuf whose first field does not end.
    let value = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0x0A, 0x05, b'x'];
    let letter = DeadLetter {
        position: TopicPartition::new(Topic::Jobs, 0).at(7),
        timestamp_millis: None,
        key: Some(b"\xFFkey".to_vec()),
        headers: vec![("content-type".to_owned(), Some(b"application/x-protobuf".to_vec()))],
        value_len: value.len() as u64,
        value: Some(value),
        reason: "the payload is not protobuf".to_owned(),
    };
    let OpenStore { writer, .. } = fixtures::open(&letters.data_dir);
    writer.commit(Commit::default(), vec![letter], 1).unwrap();
    writer.finish().unwrap();
    let mark = |arguments: &[&str]| {
        let text = letters.text(&[&["show", "jobs/0@7"], arguments].concat());
        text.lines().find_map(|line| line.find("^^ here")).map(|column| (column - 10) / 3)
    };
    assert_eq!(mark(&["--framing", "apicurio"]), Some(9));
    // A key that is no text can be told from another by its bytes only.
    assert_eq!(letters.json(&["show", "jobs/0@7"]).1["key_hex"], "ff6b6579");
    assert!(letters.text(&["show", "jobs/0@7"]).contains("not UTF-8; in hex: ff6b6579\n"));
    assert_ne!(mark(&[]), Some(9), "in the frame that is taken without it, the message begins elsewhere");
}

#[test]
fn mistakes_are_named() {
    let world = World::new();
    let letters = Letters::of(&world);
    for command in ["retry", "discard"] {
        let why = letters.failure(&[command], 2);
        assert!(why.contains("nothing says which dead letters are meant") && why.contains("--all"), "{why}");
    }
    assert!(letters.failure(&["list"], 1).contains("there is no store in"));
    std::fs::create_dir_all(&letters.data_dir).unwrap();
    fixtures::open(&letters.data_dir).writer.finish().unwrap();
    assert!(letters.failure(&["list", "--topic", "other"], 1).contains("its topics are optimizations, jobs"));
    assert!(letters.failure(&["show", "other/0@1"], 1).contains("no topic `other`, but from optimizations, jobs"));
    for id in ["jobs", "jobs/0", "other/0@1", "jobs/0@-1"] {
        assert!(letters.failure(&["show", id], 1).contains("TOPIC/PARTITION@OFFSET"), "{id}");
        assert!(letters.failure(&["retry", id], 1).contains("TOPIC/PARTITION@OFFSET"), "{id}");
    }
    assert!(letters.failure(&["show", "jobs/0@1"], 1).contains("there is no dead letter jobs/0@1"));
    let from = |topic: &str| letters.failure(&["retry", "--from-topic", topic], 1);
    assert!(letters.failure(&["export", "-"], 2).contains("give a file"));
    assert!(from("jobs").contains("is one of the topics that the store is built from"));
    assert!(from("letters").contains("give --brokers"));
    let why = letters.failure(&["retry", "jobs/0@1", "--from-topic", "letters"], 2);
    assert!(why.contains("choose in two ways"), "{why}");
    assert_eq!(letters.text(&["list"]), "There is no such dead letter.\n");
    assert_eq!(letters.json(&["discard", "--all"]).1["discarded"], 0);
}

#[test]
fn a_command_that_is_ended_early_prints_what_is_done_by_then() {
    const LETTERS: usize = 4_000;
    let world = World::new();
    world.put_garbage(LETTERS);
    let mut program = world.serve(&[], &[], Stdio::piped());
    program.listening();
    program.wait_for("all is read", |status| status["dead_letters"] == LETTERS && status["state"] == "live");
    let letters = Letters::of(&world);
    let end_early = |arguments: &[&str]| {
        let mut command = letters.command(arguments);
        let mut command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(command.stderr.take().unwrap()).lines();
        // The first line about its progress.
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains("retrying"), "{line}");
        let kill = format!("kill -s INT {}", command.id());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
        let rest: String = lines.map(Result::unwrap).collect();
        assert!(rest.contains("ended before all was done") && rest.contains("for the rest"), "{rest}");
        let output = command.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{rest}");
        String::from_utf8(output.stdout).unwrap()
    };
    let done: Value = serde_json::from_str(&end_early(&["retry", "--all", "--json"])).unwrap();
    let refused = done["refused"].as_u64().unwrap();
    assert!((500..LETTERS as u64).contains(&refused), "{done}");
    assert_eq!((&done["chosen"], &done["interrupted"]), (&json!(LETTERS), &json!(true)));
    let text = end_early(&["retry", "--all"]);
    assert!(text.starts_with("Of 4000 dead letters, 0 are understood now"), "{text}");
    assert!(text.contains("It was ended before all were done"), "{text}");
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_command_says_that_the_instance_is_silent_and_ends_when_it_is_told_to() {
    let (world, mut program) = stopped();
    let letters = Letters::of(&world);
    program.signal("STOP");
    let mut command = letters.command(&["list"]);
    let mut command = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(command.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("`optview serve` has been silent for 10 s")));
    let kill = format!("kill -s TERM {}", command.id());
    assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("told to stop")), "{rest:?}");
    assert_eq!(command.wait().unwrap().code(), Some(1));
    program.signal("CONT");
    assert_eq!(letters.json(&["list"]).1["count"], 21);
    program.tell_to_stop();
    assert_eq!(program.wait().code(), Some(0));
}
