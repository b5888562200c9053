//! A snapshot of a store that `serve` holds while records come, and a replica that begins with it.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use optview::domain::Topic;
use serde_json::Value;

use crate::Test;
use crate::cluster::put;
use crate::events::{completed, created, deleted, failed, job, run_started};
use crate::rig::Rig;
use crate::server::Server;

pub const TESTS: &[Test] = &[test!(a_replica_begins_with_a_snapshot_and_shows_what_its_source_shows, Broker)];

const IDS: u32 = 400;

fn tool(rig: &Rig, data: &str, arguments: &[&str]) -> Output {
    let data = rig.directory.path().join(data);
    rig.optview(arguments).arg("--json").arg("--data-dir").arg(data).output().expect("a program to run")
}

fn result(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the records of one part of the life of each id.
fn lives(part: u32) -> Vec<crate::cluster::PutRecord> {
    (0..IDS)
        .flat_map(|number| {
            let id = format!("o{number}");
            match (part, number % 3) {
                (0, _) => vec![job(&id, "pending", 1), created(&id), run_started(&id, part)],
                (1, 0) => vec![completed(&id, 2), run_started(&id, part)],
                (1, 1) => vec![failed(&id, 2)],
                (2, 1) => vec![job(&id, "pending", 3), run_started(&id, part)],
                (2, 2) => vec![deleted(&id)],
                (part, _) => vec![run_started(&id, part)],
            }
        })
        .collect()
}

fn views(server: &Server) -> Vec<(u16, Value)> {
    (0..IDS)
        .map(|number| {
            let answer = server.get(&format!("/optimizations/o{number}"));
            let mut body = answer.body;
            // An error has an id of its own.
            body.as_object_mut().expect("an object").remove("correlation_id");
            (answer.status, body)
        })
        .collect()
}

fn a_replica_begins_with_a_snapshot_and_shows_what_its_source_shows(rig: &Rig) {
    rig.create_topics(3);
    put(rig, &lives(0));
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let file = rig.directory.path().join("views.snapshot");
    let file = file.to_str().expect("a text");
    let ended = AtomicBool::new(false);
    let exported = std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..6).for_each(|part| put(rig, &lives(part)));
            ended.store(true, Ordering::Release);
        });
        let mut exported = Vec::new();
        while exported.is_empty() || !ended.load(Ordering::Acquire) {
            exported.push(result(&tool(rig, "data", &["snapshot", "export", file, "--force"])));
        }
        exported
    });
    let exported = exported.last().expect("one at least").clone();
    server.wait_until_all_is_kept(rig);
    let expected = views(&server);
    assert!(
        expected.iter().any(|(status, _)| *status == 200) && expected.iter().any(|(status, _)| *status == 404)
    );
    let end: i64 = Topic::ALL.iter().map(|topic| rig.end(*topic)).sum();
    let read: i64 = exported["positions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|at| at["next_offset"].as_i64().expect("a number"))
        .sum();
    assert!(read <= end, "{exported}");
    assert!(server.stop().0.success());
    let offline = result(&tool(rig, "data", &["snapshot", "export", &format!("{file}.offline")]));
    assert_eq!(offline["views"], expected.iter().filter(|(status, _)| *status == 200).count());

    let imported = result(&tool(rig, "imported", &["snapshot", "import", file]));
    assert_eq!((&imported["views"], &imported["positions"]), (&exported["views"], &exported["positions"]));
    let again = tool(rig, "imported", &["snapshot", "import", file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a store already"));
    for data in ["imported", "begun"] {
        let data_dir = rig.directory.path().join(data);
        let data_dir = data_dir.to_str().expect("a text");
        let replica = Server::start(rig, &["--data-dir", data_dir, "--from-snapshot", file]);
        replica.wait_until_all_is_kept(rig);
        assert!(views(&replica) == expected, "{data}");
        let logged = if data == "begun" { "has been made of a snapshot" } else { "--from-snapshot is ignored" };
        assert!(replica.log().contains(logged), "{}", replica.log());
        let verified = result(&tool(rig, data, &["verify"]));
        assert_eq!(verified["problems_found"], 0, "{verified}");
        assert!(replica.stop().0.success());
    }
}
