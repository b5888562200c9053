//! `history` as a program, on a real log: its last state is the one that `serve` serves, and it ends where the log
//! ends.

use std::fs;
use std::path::Path;

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::Test;
use crate::archive::{archive, text};
use crate::cluster::{PutRecord, delete_records, put};
use crate::events::{completed, created, deleted, failed, job, run_started, wait_for_status};
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(history_ends_with_what_is_served_and_shows_the_view_as_it_was, Broker),
    test!(history_reads_once_more_for_a_job_that_is_named_late, Broker),
    test!(history_of_an_archive_is_that_of_the_topics_and_needs_no_cluster, Broker),
    test!(history_of_a_log_that_was_cut_says_so_and_of_an_unknown_id_fails, Broker),
];

/// Returns the JSON output of `optview history`.
fn history(rig: &Rig, arguments: &[&str]) -> Value {
    let output = rig.run(&[&["history"], arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("JSON on stdout, and no more")
}

fn events(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().expect("a list of events");
    events.iter().map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
}

fn history_ends_with_what_is_served_and_shows_the_view_as_it_was(rig: &Rig) {
    rig.create_topics(2);
    let of_a = [
        created("a"),
        job("a", "pending", 1),
        run_started("a", 0),
        run_started("a", 1),
        failed("a", 2),
        job("a", "pending", 3),
        completed("a", 4),
    ];
    let of_others: Vec<PutRecord> = (0..500)
        .flat_map(|number| [created(&format!("b{number}")), job(&format!("b{number}"), "pending", 1)])
        .collect();
    put(rig, &of_others);
    for record in &of_a {
        // The records are sent one after another, so that their timestamps show their order.
        put(rig, std::slice::from_ref(record));
    }
    let server = Server::start(rig, &[]);
    wait_for_status(&server, "a", "succeeded");
    let answer = history(rig, &["a"]);
    assert_eq!(answer["view"], server.get("/optimizations/a").body);
    assert_eq!(events(&answer).len(), of_a.len(), "{answer}");
    let all: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    let searched = answer["searched"].as_array().expect("a list of partitions");
    assert_eq!(searched.iter().filter_map(|partition| partition["records"].as_i64()).sum::<i64>(), all);

    let failed =
        answer["events"].as_array().and_then(|events| events.iter().find(|event| event["event"] == "failed"));
    let failed = failed.expect("it failed once");
    assert_eq!(failed["changes"]["status"], json!({"old": "queued", "new": "failed"}));
    let place =
        |offset: i64| format!("{}:{}:{offset}", failed["topic"].as_str().expect("a name"), failed["partition"]);
    let offset = failed["offset"].as_i64().expect("an offset");
    let then = history(rig, &["a", "--as-of", &place(offset)]);
    assert_eq!(then.as_object().expect("an object").len(), 1);
    assert_eq!((&then["view"]["status"], &then["view"]["run_count"]), (&json!("failed"), &json!(2)));
    let before = history(rig, &["a", "--as-of", &place(offset - 1)]);
    assert_eq!(before["view"]["status"], "queued");
    let time = failed["timestamp"].as_str().expect("a time");
    assert_eq!(history(rig, &["a", "--as-of", time])["view"]["status"], "queued");
    assert_eq!(history(rig, &["a", "--as-of", "2026-01-01T00:00:00Z"]), json!({"view": null}));

    put(rig, &[deleted("a")]);
    let answer = history(rig, &["a"]);
    assert_eq!((&answer["view"], events(&answer).last().map(String::as_str)), (&Value::Null, Some("deleted")));
}

fn history_reads_once_more_for_a_job_that_is_named_late(rig: &Rig) {
    rig.create_topics(1);
    let names_it = json!({"metadata": {"eventId": "last", "occurredAt": "2026-03-01T09:00:09Z"}, "jobId": "j-x", "optimizationId": "a", "waiting": {}});
    let filler: Vec<PutRecord> = (0..3000).map(|run_index| run_started("b", run_index)).collect();
    put(rig, &filler);
    put(rig, &[created("a"), job("x", "pending", 1), run_started("x", 0)]);
    put(rig, &[PutRecord::new(Topic::Jobs, "j-x", names_it.to_string())]);
    put(rig, &filler);
    let answer = history(rig, &["a"]);
    let mut kinds = events(&answer);
    kinds.sort();
    assert_eq!(kinds, ["created", "pending", "started", "waiting"], "{answer}");
    let searched = answer["searched"].as_array().expect("a list of partitions");
    assert_eq!(searched.iter().filter_map(|partition| partition["records"].as_i64()).sum::<i64>(), 6004);
}

fn history_of_an_archive_is_that_of_the_topics_and_needs_no_cluster(rig: &Rig) {
    rig.run(&["load", "--optimizations", "300", "--partitions", "2"]);
    put(rig, &[created("a"), job("a", "pending", 1), run_started("a", 0)]);
    put(rig, &[failed("a", 2)]);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    let of_archive = |directory: &Path, arguments: &[&str]| {
        let mut command = rig.optview(&[&["history", "a", "--json"], arguments].concat());
        command.args(["--from-archive", text(directory)]).env_remove("OPTVIEW_BROKERS");
        for topic in ["OPTIMIZATIONS", "JOBS", "MULTISTART_RUNS"] {
            command.env_remove(format!("OPTVIEW_TOPIC_{topic}"));
        }
        command.output().expect("a program to run")
    };
    let answer_to = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&of_archive(&directory, arguments).stdout).expect("JSON on stdout, and no more")
    };
    let answer = history(rig, &["a"]);
    assert_eq!(answer_to(&[]), answer);
    let pending =
        answer["events"].as_array().and_then(|events| events.iter().find(|event| event["event"] == "pending"));
    let pending = pending.expect("it was pending once");
    let name = rig.settings.topics.get(Topic::Jobs);
    let place = format!("{name}:{}:{}", pending["partition"], pending["offset"]);
    let then = answer_to(&["--as-of", &place]);
    assert_eq!((&then, &then["view"]["status"]), (&history(rig, &["a", "--as-of", &place]), &json!("queued")));

    // Records in the archive are still shown after the topics have lost them.
    let offset = pending["offset"].as_i64().expect("an offset");
    delete_records(rig, Topic::Jobs, pending["partition"].as_i64().expect("a number") as i32, offset + 1);
    assert_eq!(answer_to(&[]), answer);
    assert_ne!(history(rig, &["a"]), answer);

    let file = directory.join("000001.ndjson.zst");
    let mut bytes = fs::read(&file).expect("a file of the archive");
    bytes[50] ^= 1;
    fs::write(&file, bytes).expect("a file that can be changed");
    let output = of_archive(&directory, &[]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{error}");
    assert!(error.contains("000001.ndjson.zst: its SHA-256 is"), "{error}");
    let output = of_archive(&archive(rig, "nowhere"), &[]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(2) && error.contains("--from-archive"), "{error}");
}

fn history_of_a_log_that_was_cut_says_so_and_of_an_unknown_id_fails(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1), job("a", "processing", 2)]);
    delete_records(rig, Topic::Jobs, 0, 1);
    let output = rig.run(&["history", "a"]);
    let shown = String::from_utf8(output.stdout).expect("text");
    let name = rig.settings.topics.get(Topic::Jobs);
    assert!(shown.starts_with(&format!("warning: the log of {name}/0 begins at 1, written at 20")), "{shown}");
    assert!(shown.contains("job j-a processing") && !shown.contains("job j-a pending"), "{shown}");

    let output = rig.optview(&["history", "nobody"]).output().expect("a program to run");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    for part in ["\"nobody\"", "2 records", name, "earlier events are gone"] {
        assert!(error.contains(part), "no {part} in {error}");
    }
    for (as_of, part) in [(format!("{name}/0@9"), "has no record at 9"), (format!("{name}:0:0"), "begins at 1")] {
        let output = rig.optview(&["history", "a", "--as-of", &as_of]).output().expect("a program to run");
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains(part), "no {part} in {error}");
    }
    let output = rig.optview(&["history", "a", "--as-of", "nothing/0@0"]).output().expect("a program to run");
    assert_eq!(output.status.code(), Some(2));
    let output = rig.optview(&["history", "a", "--brokers", "127.0.0.1:1"]).output().expect("a program to run");
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.code() == Some(1) && error.contains("check --brokers"), "{error}");
}
