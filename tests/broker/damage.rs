//! A store that is damaged, or begun anew, while retention is at work. Records that the topics no longer have are missing in the
//! views, and that is reported until somebody accepts it.

use std::fs::File;
use std::path::PathBuf;

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::Test;
use crate::cluster::{PutRecord, delete_records, put};
use crate::events::{created, job, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(a_store_that_is_built_anew_after_damage_is_not_ready_until_what_retention_removed_is_accepted, Broker),
    test!(a_rebuild_that_was_told_to_accept_loss_has_accepted_it, Broker),
    test!(an_archive_brings_back_what_is_missing, Broker),
    test!(a_snapshot_says_what_it_is_built_without, Broker),
];

const VIEWS: i64 = 1_000;
const LEFT: i64 = 100;

fn data(rig: &Rig) -> PathBuf {
    rig.directory.path().join("data")
}

fn result(rig: &Rig, arguments: &[&str]) -> Value {
    let output = rig.optview(arguments).arg("--json").arg("--data-dir").arg(data(rig)).output();
    let output = output.expect("a program to run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

fn put_views(rig: &Rig) {
    rig.create_topics(1);
    let views: Vec<PutRecord> = (0..VIEWS).map(|number| created(&format!("o{number}"))).collect();
    put(rig, &views);
    put(rig, &[job("o999", "pending", 1), job("o999", "processing", 2)]);
}

/// Removes all records but the last, as retention does.
fn remove_the_first(rig: &Rig) {
    delete_records(rig, Topic::Optimizations, 0, VIEWS - LEFT);
}

fn read_all_and_stop(rig: &Rig) {
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    check_whole(&server);
    assert!(server.stop().0.success());
}

/// Checks that the instance is live, shows the views that are left, and reports everywhere that they are not complete.
fn check_incomplete(rig: &Rig, server: &Server) {
    let topic = rig.settings.topics.get(Topic::Optimizations);
    let report = server.wait_for("live, and something missing", |report| {
        report.state == "live" && report.views == LEFT as u64 && report.last_error.is_some()
    });
    let text = report.last_error.expect("a text");
    let gone = format!("{topic}/0 from 0 to {}", VIEWS - LEFT);
    for part in [gone.as_str(), "optview accept-loss", "--from-archive"] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let status = server.get_admin("/status").body;
    let [missing] = &status["missing_history"].as_array().expect("a list")[..] else { panic!("{status}") };
    assert!(missing["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{missing}");
    assert_eq!(
        (&missing["topic"], &missing["partition"], &missing["from"], &missing["to"]),
        (&json!(topic), &json!(0), &json!(0), &json!(VIEWS - LEFT))
    );
    for answer in [server.get("/readyz"), server.get_admin("/readyz")] {
        assert_eq!(answer.status, 503, "{answer:?}");
        let message = answer.body["message"].as_str().expect("a message").to_owned();
        assert!(message.starts_with("incomplete: "), "{message}");
    }
    let message = server.get_admin("/readyz").body["message"].to_string();
    assert!(message.contains(&gone), "{message}");
    let public = server.get("/readyz").body.to_string();
    assert!(!public.contains(topic), "anybody may ask: {public}");
    assert_eq!(server.metric("optview_missing_history_records"), (VIEWS - LEFT) as u64);
    // What is there is served all the same.
    wait_for_status(server, "o999", "running");
}

fn check_whole(server: &Server) {
    wait_until("it is ready, and nothing is missing", || {
        let status = server.get_admin("/status").body;
        let says_nothing = status["missing_history"] == json!([]) && status["last_error"].is_null();
        let is_ready = server.get("/readyz").status == 200;
        (is_ready && says_nothing && server.metric("optview_missing_history_records") == 0).then_some(())
    });
}

/// Returns the missing history of the live generation from `generations`.
fn missing_of_live(rig: &Rig) -> Vec<Value> {
    let generations = result(rig, &["generations"]);
    let live = generations.as_array().expect("a list").iter().find(|listed| listed["live"] == true);
    live.expect("a live one")["missing_history"].as_array().expect("a list").clone()
}

fn a_store_that_is_built_anew_after_damage_is_not_ready_until_what_retention_removed_is_accepted(rig: &Rig) {
    put_views(rig);
    read_all_and_stop(rig);
    remove_the_first(rig);
    File::create(data(rig).join("generations/000001/db")).expect("a store that is cut to nothing");
    for _ in 0..2 {
        let server = Server::start(rig, &[]);
        check_incomplete(rig, &server);
        assert_eq!(server.report().generation, 2);
        assert!(server.stop().0.success());
    }
    let [missing] = &missing_of_live(rig)[..] else { panic!("one partition") };
    assert_eq!(missing["accepted_at"], Value::Null);

    let server = Server::start(rig, &[]);
    check_incomplete(rig, &server);
    let accepted = result(rig, &["accept-loss"]);
    assert_eq!(
        (&accepted["generation"], &accepted["accepted"][0]["to"]),
        (&json!("000002"), &json!(VIEWS - LEFT))
    );
    check_whole(&server);
    assert_eq!(result(rig, &["accept-loss"])["accepted"], json!([]), "once is enough");
    server.kill();
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    check_whole(&server);
    assert!(server.stop().0.success());
    let [missing] = &missing_of_live(rig)[..] else { panic!("it is remembered") };
    assert!(missing["accepted_at"].is_string(), "{missing}");
}

fn a_rebuild_with_accept_loss_has_accepted_it(rig: &Rig) {
    put_views(rig);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    remove_the_first(rig);
    result(rig, &["rebuild", "--accept-loss"]);
    let report = server.wait_for("the new generation", |report| report.generation == 2 && report.state == "live");
    assert_eq!(report.views, LEFT as u64);
    check_whole(&server);
    let [missing] = &missing_of_live(rig)[..] else { panic!("it is remembered") };
    assert!(missing["accepted_at"].is_string(), "{missing}");
    // Another lacks no more than this one.
    result(rig, &["rebuild"]);
    server.wait_for("the newest generation", |report| report.generation == 3 && report.state == "live");
    check_whole(&server);
}

fn an_archive_brings_back_what_is_missing(rig: &Rig) {
    put_views(rig);
    let archive = rig.directory.path().join("archive");
    let archive = archive.to_str().expect("a path of text");
    rig.run(&["archive", "export", archive]);
    remove_the_first(rig);
    let server = Server::start(rig, &[]);
    check_incomplete(rig, &server);
    // One that lacks as much as the live one is as little accepted.
    result(rig, &["rebuild"]);
    server.wait_for("the new generation", |report| report.generation == 2 && report.state == "live");
    check_incomplete(rig, &server);
    result(rig, &["rebuild", "--from-archive", archive]);
    server.wait_for("the generation of the archive", |report| report.generation == 3 && report.state == "live");
    check_whole(&server);
    assert_eq!(server.report().views, VIEWS as u64);
    assert_eq!(missing_of_live(rig), Vec::<Value>::new());
}

fn a_snapshot_keeps_the_note_of_missing_records(rig: &Rig) {
    put_views(rig);
    remove_the_first(rig);
    let server = Server::start(rig, &[]);
    check_incomplete(rig, &server);
    let export = |name: &str| {
        let file = rig.directory.path().join(name);
        result(rig, &["snapshot", "export", file.to_str().expect("a path of text")]);
        file
    };
    let before = export("before.snapshot");
    assert!(server.stop().0.success());
    // With no process that serves it, too.
    let accepted = result(rig, &["accept-loss"]);
    assert_eq!(accepted["accepted"][0]["to"], VIEWS - LEFT);
    let after = export("after.snapshot");
    for (file, is_accepted) in [(before, false), (after, true)] {
        std::fs::remove_dir_all(data(rig)).expect("a directory that can be removed");
        let server = Server::start(rig, &["--from-snapshot", file.to_str().expect("a path of text")]);
        server.wait_until_live();
        match is_accepted {
            true => check_whole(&server),
            false => check_incomplete(rig, &server),
        }
        assert!(server.stop().0.success());
    }
}
