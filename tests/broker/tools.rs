//! Tools on a store that `serve` holds, and on the same store once it does not: nobody sees a difference.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{completed, created, deleted, failed, job, run_started};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(tools_say_the_same_through_serve_and_without_it, Broker),
    test!(what_a_killed_serve_left_is_in_nobodys_way, Broker),
];

fn data(rig: &Rig) -> PathBuf {
    rig.directory.path().join("data")
}

/// Runs a tool with its result as JSON.
fn tool(rig: &Rig, arguments: &[&str]) -> Output {
    rig.optview(arguments).arg("--json").arg("--data-dir").arg(data(rig)).output().expect("a program to run")
}

fn result(rig: &Rig, arguments: &[&str]) -> String {
    let output = tool(rig, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the result of `generations` without the values that change on the disk by themselves.
fn generations(rig: &Rig) -> Value {
    let mut generations: Value = serde_json::from_str(&result(rig, &["generations"])).expect("JSON");
    for generation in generations.as_array_mut().expect("a list") {
        assert!(generation["bytes"].take().as_u64() > Some(0), "{generation}");
    }
    generations
}

fn lives(rig: &Rig) {
    let mut events = vec![created("a"), job("a", "pending", 1), failed("a", 3), created("gone"), deleted("gone")];
    // Once it has ended, it should not run again.
    events.extend([job("a", "processing", 4), run_started("a", 0), run_started("a", 5)]);
    events
        .extend((0..200).flat_map(|number| [created(&format!("o{number}")), completed(&format!("o{number}"), 2)]));
    put(rig, &events);
}

fn tools_answer_the_same_through_serve_and_without_it(rig: &Rig) {
    rig.create_topics(3);
    lives(rig);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let socket = data(rig).join("control.sock");
    let mode = fs::metadata(&socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let commands: [&[&str]; 4] = [&["explain", "a"], &["explain", "gone"], &["explain", "o7"], &["verify"]];
    let through_serve: Vec<String> = commands.iter().map(|arguments| result(rig, arguments)).collect();
    let generations_of_serve = generations(rig);
    let unknown = tool(rig, &["explain", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));

    let why = server.get_admin("/optimizations/a/why");
    let explained: Value = serde_json::from_str(&through_serve[0]).expect("JSON");
    assert_eq!((why.status, &why.body), (200, &explained));
    assert_eq!(explained["view"], server.get("/optimizations/a").body);
    assert!(explained["transitions"].as_array().expect("a list").iter().any(|at| !at["odd"].is_null()));
    let missing = server.get_admin("/optimizations/nobody/why");
    assert_eq!((missing.status, &missing.body["error_code"]), (404, &"NOT_FOUND".into()));
    let verified: Value = serde_json::from_str(&through_serve[3]).expect("JSON");
    assert_eq!((&verified["records"], &verified["views"]), (&202.into(), &201.into()), "{verified}");
    assert_eq!(verified["partitions_bounded"], 9, "{verified}");

    assert!(server.stop().0.success());
    assert!(!socket.exists());
    for (arguments, expected) in commands.iter().zip(&through_serve) {
        assert_eq!(&result(rig, arguments), expected, "{arguments:?}");
    }
    assert_eq!(generations(rig), generations_of_serve);
    assert_eq!(tool(rig, &["explain", "nobody"]).stderr, unknown.stderr);
}

fn what_a_killed_serve_left_is_in_nobodys_way(rig: &Rig) {
    rig.create_topics(1);
    lives(rig);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let explained = result(rig, &["explain", "a"]);
    server.kill();
    assert!(data(rig).join("control.sock").exists(), "it could not be removed");
    assert_eq!(result(rig, &["explain", "a"]), explained, "the store is opened here");
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert_eq!(result(rig, &["explain", "a"]), explained);
    wait_until("nothing is wrong", || tool(rig, &["verify"]).status.success().then_some(()));
    assert!(server.stop().0.success());
}
