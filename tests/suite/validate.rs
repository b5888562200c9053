//! `optview validate`: it accepts and refuses what `serve` does, shows the views that the fold gives, and names what a producer
//! has probably not meant.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use optview::codec::Encoding;
use optview::codec::encode::{encode, key};
use optview::synthetic::{Expectation, History, HistorySettings};
use serde_json::{Value, json};

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    /// The codes of the doubts about the only event.
    fn doubts(&self) -> Vec<String> {
        let doubts = self.json()["events"][0]["doubts"].as_array().unwrap().clone();
        doubts.iter().map(|doubt| doubt["code"].as_str().unwrap().to_owned()).collect()
    }
}

/// Runs `optview validate` on a file that stdin gives.
fn validate(file: &[u8], arguments: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    command.args(["validate", "-"]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let file = file.to_vec();
    // A program that refuses its arguments does not read.
    let writing = std::thread::spawn(move || stdin.write_all(&file));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/examples")
}

#[test]
fn every_example_is_understood_without_a_doubt() {
    let mut kinds = std::collections::BTreeSet::new();
    for folder in ["", "protobuf", "confluent"] {
        for entry in fs::read_dir(examples().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let topic = name.split('.').next().unwrap();
            if path.is_dir() || ["README", "records", "tombstones"].contains(&topic) {
                continue;
            }
            let answer = validate(&fs::read(&path).unwrap(), &["--topic", topic, "--json"]);
            assert_eq!(answer.code, Some(0), "{name}: {}{}", answer.stdout, answer.stderr);
            let answer = answer.json();
            assert_eq!((&answer["refused"], &answer["doubtful"]), (&json!(0), &json!(0)), "{name}: {answer}");
            for event in answer["events"].as_array().unwrap() {
                kinds.insert((folder, format!("{}.{}", event["topic"], event["event"])));
            }
        }
    }
    for folder in ["", "protobuf", "confluent"] {
        assert_eq!(kinds.iter().filter(|(held, _)| *held == folder).count(), 15, "{folder:?}: {kinds:?}");
    }
}

#[test]
fn records_of_all_topics_show_their_views_and_transitions() {
    let records = fs::read(examples().join("records.ndjson")).unwrap();
    let answer = validate(&records, &["--view", "--explain", "--json"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let answer = answer.json();
    assert_eq!(answer["unlinked_jobs"], json!(["job-3"]));
    let view = &answer["views"][0];
    assert_eq!(
        (&view["id"], &view["status"], &view["run_count"]),
        (&json!("opt-1"), &json!("succeeded"), &json!(3))
    );
    assert_eq!(answer["views"].as_array().unwrap().len(), 1, "the other one is deleted");
    let statuses = answer["transitions"].as_array().unwrap().iter().map(|held| held["status"].as_str().unwrap());
    assert_eq!(statuses.collect::<Vec<_>>(), ["queued", "running", "running", "running", "succeeded"]);
}

#[test]
fn the_views_of_a_whole_history_are_those_that_its_plan_wants() {
    let settings = HistorySettings { optimizations: 200, concurrent: 50, runs: 3, ..HistorySettings::default() };
    let mut history = History::new(settings);
    let mut lines = String::new();
    for (offset, event) in history.by_ref().enumerate() {
        let mut value = Vec::new();
        encode(&event, Encoding::Json, &mut value);
        let stream = event.body.topic().to_string();
        let line = json!({
            "stream": stream, "topic": stream, "partition": 0, "offset": offset, "timestamp_millis": null,
            "key": key(&event), "value": String::from_utf8(value).unwrap(), "headers": [],
        });
        lines += &format!("{line}\n");
    }
    let answer = validate(lines.as_bytes(), &["--view", "--json"]).json();
    assert_eq!(
        (&answer["refused"], answer["understood"].as_u64()),
        (&json!(0), Some(lines.lines().count() as u64))
    );
    let mut shown = Expectation { deleted: history.expectation().deleted, ..Expectation::default() };
    for view in answer["views"].as_array().unwrap() {
        let status = serde_json::from_value::<Option<String>>(view["status"].clone()).unwrap();
        let status =
            status.map(|text| *optview::domain::Status::ALL.iter().find(|held| held.as_str() == text).unwrap());
        shown.add(status, view["run_count"].as_u64().unwrap(), false);
    }
    assert_eq!(&shown, history.expectation());
}

#[test]
fn what_is_refused_names_the_field_and_what_was_there_and_exits_with_3() {
    let metadata = r#""metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z","sequence":1}"#;
    for (topic, value, reasons) in [
        (
            "optimizations",
            format!(r#"{{"optimizationId":"a",{metadata},"createdd":{{}}}}"#),
            &["none of created", "`createdd`"][..],
        ),
        (
            "optimizations",
            format!(r#"{{"optimizationId":"a",{metadata},"created":{{"organizationId":"o"}}}}"#),
            &["created.project_id"],
        ),
        (
            "jobs",
            format!(r#"{{"job":"a",{metadata},"pending":{{}}}}"#),
            &["job_id", "unknown_field", "job_id is one"],
        ),
        ("jobs", "no JSON".to_owned(), &["send protobuf or JSON"]),
        ("multistart-runs", format!(r#"{{"jobId":"a","runIndex":-1,{metadata},"started":{{}}}}"#), &["runIndex"]),
    ] {
        let answer = validate(value.as_bytes(), &["--topic", topic]);
        assert_eq!(answer.code, Some(3), "{value}: {}{}", answer.stdout, answer.stderr);
        for reason in reasons {
            assert!(answer.stdout.contains(reason), "no {reason:?} for {value}: {}", answer.stdout);
        }
    }
}

#[test]
fn what_was_probably_not_meant_is_named() {
    let created = |fields: &str, at: &str, sequence: u64| {
        format!(
            r#"{{"optimizationId":"a","metadata":{{"eventId":"e","occurredAt":"{at}","sequence":{sequence}}},"created":{{"organizationId":"o","projectId":"p"{fields}}}}}"#
        )
    };
    const AT: &str = "2026-03-01T09:00:00Z";
    let long = format!(r#","name":"{}""#, "n".repeat(900_000));
    for (value, arguments, expected) in [
        (created("", AT, 1), &[][..], &[][..]),
        (created(r#","created_by_mail":"x""#, AT, 1), &[], &["unknown_field"]),
        (created("", "9000-01-01T00:00:00Z", 1), &[], &["future"]),
        (created("", AT, 0), &[], &["no_sequence"]),
        (created("", AT, 1), &["--key", "a"], &[]),
        (created("", AT, 1), &["--key", "\"a\""], &["other_key"]),
        (created(&long, AT, 1), &[], &["long_text"]),
        (created(r#","objectives":{"x":NaN}"#, AT, 1), &[], &["number_became_null"]),
    ] {
        let answer = validate(value.as_bytes(), &[&["--topic", "optimizations", "--json"], arguments].concat());
        assert_eq!(answer.code, Some(0), "{}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.doubts(), expected, "{value:.300} {arguments:?}");
    }
    let job = |kind: &str, sequence: u64, minute: u32| {
        format!(
            r#"{{"jobId":"j","metadata":{{"eventId":"{kind}","occurredAt":"2026-03-01T09:{minute:02}:00Z","sequence":{sequence}}},"{kind}":{{}}}}"#
        )
    };
    let file =
        [job("pending", 1, 0), job("completed", 0, 5), job("failed", 3, 6), job("processing", 4, 7)].join("\n");
    let answer = validate(file.as_bytes(), &["--topic", "jobs"]);
    for doubt in ["outranked: ", "irregular_status: ", "jobs that no optimization of the file links"] {
        assert!(answer.stdout.contains(doubt), "no {doubt:?}: {}", answer.stdout);
    }
}

#[test]
fn a_file_that_cannot_be_judged_says_what_to_give() {
    for (file, arguments, expected) in [
        (&b"{}"[..], &[][..], "--topic optimizations"),
        (b" \n", &["--topic", "jobs"], "there is no event"),
        (b"{}\n{}", &["--topic", "jobs", "--key", "k"], "a file with one event"),
    ] {
        let answer = validate(file, arguments);
        assert_eq!(answer.code, Some(1), "{}", answer.stdout);
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_optview"))
        .args(["validate", "/nowhere/events", "--topic", "jobs"])
        .output();
    let missing = missing.unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/events"), "{missing:?}");
}

// What a producer chose is quoted on the line that it belongs to, and changes no other.
#[test]
fn line_ends_and_escapes_in_what_producers_chose_begin_no_line_and_reach_no_terminal() {
    let forged = "o\n1 events: 1 understood, 0 of them doubtful; 0 refused\u{1b}[2J";
    let metadata = json!({"eventId": "e", "occurredAt": "2026-03-01T09:00:00Z", "sequence": "1"});
    let mut created = json!({"metadata": metadata, "optimizationId": forged, "created": {"organizationId": "a", "projectId": "b"}});
    created["created"][forged] = json!(1);
    let mut refused = json!({"metadata": metadata, "optimizationId": "o"});
    refused[forged] = json!({});
    let file = format!("{created}\n{refused}\n");
    let answer = validate(file.as_bytes(), &["--topic", "optimizations"]);
    assert_eq!(answer.code, Some(3));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    let begins = [
        "line 1: understood",
        "    unknown_field",
        "line 2: refused",
        "    unknown_field",
        "2 events: 1 understood",
    ];
    assert_eq!(lines.len(), begins.len(), "{}", answer.stdout);
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert!(!answer.stdout.contains('\u{1b}') && answer.stdout.contains("o\\u{a}1 events"), "{}", answer.stdout);
}
