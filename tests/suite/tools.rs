//! Tools on a data directory that no process serves: what they print, how they end, and that they leave it as it is.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use optview::data_dir::{self, DataDirError};
use optview::domain::Topic;
use optview::store::{self, OpenError};
use serde_json::{Value, json};

use crate::fixtures;

fn optview(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(arguments).arg("--data-dir").arg(directory).output().expect("a program to run")
}

fn json(arguments: &[&str], directory: &Path) -> (Option<i32>, Value) {
    let output = optview(&[arguments, &["--json"]].concat(), directory);
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// Runs a tool that must fail, and returns its stderr.
fn failure(arguments: &[&str], directory: &Path) -> String {
    let output = optview(arguments, directory);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

fn written() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let opened = fixtures::open(directory.path());
    data_dir::note_topics(&opened.path, |topic: Topic| format!("team.{}", topic.default_name()));
    let optimization = fixtures::optimization("o1", 4, "a name".to_owned(), String::new());
    opened.writer.commit(fixtures::commit_of(vec![optimization]), Vec::new(), 1).unwrap();
    opened.writer.note_caught_up();
    opened.writer.finish().unwrap();
    directory
}

#[test]
fn explain_names_the_topics_as_the_cluster_does() {
    let directory = written();
    let (code, explained) = json(&["explain", "o1"], directory.path());
    assert_eq!(code, Some(0));
    assert_eq!((&explained["id"], &explained["view"]["name"]), (&json!("o1"), &json!("a name")));
    assert_eq!(explained["fields"]["name"]["topic"], "team.optimizations");
    assert_eq!(explained["fields"]["name"]["offset"], 4);
    let table = optview(&["explain", "o1"], directory.path());
    let text = String::from_utf8(table.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("name ")).expect("its line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..5], ["name", "\"a", "name\"", "details_changed", "team.optimizations/0@4"], "{text}");
}

#[test]
fn verify_ends_with_3_where_it_finds_a_problem() {
    let directory = written();
    let (code, verified) = json(&["verify"], directory.path());
    assert_eq!((code, &verified["records"], &verified["problems"]), (Some(0), &json!(1), &json!([])));
    let db = fixtures::open_database(directory.path());
    db.open_tree("optimizations").unwrap().insert(0_u32.to_be_bytes(), b"\x01").unwrap();
    drop(db);
    let (code, verified) = json(&["verify"], directory.path());
    assert_eq!((code, &verified["problems_found"]), (Some(3), &json!(1)));
    let text = String::from_utf8(optview(&["verify"], directory.path()).stdout).unwrap();
    assert!(text.contains("Problems found: 1\n") && text.contains("o1"), "{text}");
}

#[test]
fn verify_compares_nothing_with_a_log_that_it_cannot_read_or_has_no_address_of() {
    let directory = written();
    let unknown = optview(&["verify", "--against-log", "--json"], directory.path());
    let why = String::from_utf8(unknown.stderr).unwrap();
    assert!(unknown.status.code() == Some(1) && why.contains("give --brokers"), "{why}");
    let report: Value =
        serde_json::from_slice(unknown.stdout.split(|byte| *byte == b'\n').nth_back(1).unwrap()).unwrap();
    assert_eq!(
        (&report["records"], &report["problems"]),
        (&json!(1), &json!([])),
        "its own checks are told all the same"
    );

    let db = fixtures::open_database(directory.path());
    db.open_tree("optimizations").unwrap().insert(0_u32.to_be_bytes(), b"\x01").unwrap();
    drop(db);
    let text = optview(&["verify", "--against-log"], directory.path());
    assert_eq!(text.status.code(), Some(3));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("Problems found: 1\n"), "{text}");
    assert!(text.ends_with("Not compared with the topics: what cannot be read cannot be compared\n"), "{text}");
    assert!(directory.path().join("generations/000001").is_dir());
}

#[test]
fn verify_reports_a_store_that_cannot_be_opened_and_leaves_it_there() {
    let directory = written();
    data_dir::condemn(&directory.path().join("generations/000001"), "a test says so").unwrap();
    let (code, verified) = json(&["verify"], directory.path());
    assert_eq!((code, &verified["records"]), (Some(3), &json!(0)));
    let problem = verified["problems"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("a test says so"), "{problem}");
    assert!(directory.path().join("generations/000001").is_dir());
    assert!(failure(&["explain", "o1"], directory.path()).contains("a test says so"));
}

#[test]
fn generations_are_listed_with_those_that_were_moved_aside() {
    let directory = written();
    let (code, listed) = json(&["generations"], directory.path());
    assert_eq!((code, listed.as_array().unwrap().len()), (Some(0), 1));
    let first = &listed[0];
    assert_eq!(
        (&first["generation"], &first["live"], &first["views"]),
        (&json!("000001"), &json!(true), &json!(1))
    );
    assert_eq!(first["format"], optview::codec::stored_record::FORMAT);
    assert!(first["bytes"].as_u64().unwrap() > 0 && first["created_at"].is_string(), "{first}");
    data_dir::condemn(&directory.path().join("generations/000001"), "a test says so").unwrap();
    fixtures::open(directory.path()).writer.finish().unwrap();
    let (_, listed) = json(&["generations"], directory.path());
    let named: Vec<_> =
        listed.as_array().unwrap().iter().map(|held| (&held["generation"], &held["live"])).collect();
    assert_eq!(named, [(&json!("000001.damaged-1"), &json!(false)), (&json!("000002"), &json!(true))]);
    assert_eq!(listed[0]["views"], 1);
    assert!(listed[0]["damage"].as_str().unwrap().contains("a test says so"));
    let text = String::from_utf8(optview(&["generations"], directory.path()).stdout).unwrap();
    assert!(text.lines().count() == 3 && text.contains("damaged: "), "{text}");
}

#[test]
fn a_directory_without_a_store_is_an_error_and_gets_none() {
    let directory = tempfile::tempdir().unwrap();
    for directory in [directory.path(), &directory.path().join("missing")] {
        for arguments in [&["explain", "o1"][..], &["verify"], &["generations"]] {
            let why = failure(arguments, directory);
            assert!(why.contains(&format!("there is no store in {}", directory.display())), "{why}");
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_id_that_is_unknown_or_a_jobs_is_an_error_that_explains_it() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let mut optimization = fixtures::optimization("o1", 1, String::new(), String::new());
    optimization.link(&"j1".into(), fixtures::stamp(1));
    let mut commit = fixtures::commit_of(vec![optimization]);
    commit.jobs.push(("j2".into(), Some(Arc::new(fixtures::job(7)))));
    writer.commit(commit, Vec::new(), 1).unwrap();
    writer.finish().unwrap();
    let waits = failure(&["explain", "j2"], directory.path());
    let expected = "\"j2\" is a job that no optimization links: it is pending since 1970-01-01T00:00:07Z, by optimizations/0@7";
    assert!(waits.contains(expected) && waits.contains("All of it is kept"), "{waits}");
    assert!(failure(&["explain", "o2"], directory.path()).contains("no event of an optimization \"o2\""));
    assert!(failure(&["explain", "j1"], directory.path()).contains("it is a job of o1: explain that"));
}

#[test]
fn looking_opens_no_store_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let missing = store::open_existing(directory.path(), fixtures::CACHE_BYTES).err();
    assert!(matches!(missing, Some(OpenError::DataDir(DataDirError::Missing { .. }))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
