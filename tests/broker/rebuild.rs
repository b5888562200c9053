//! Rebuild and rollback as programs, on a real log, with readers and producers that never pause: no read fails, no view goes
//! back, and a kill at any moment leaves one generation or the other, whole.

pub mod from_archive;
pub mod loss;
pub mod marker;

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

use optview::domain::Topic;
use serde_json::Value;

use crate::Test;
use crate::cluster::{delete_records, put};
use crate::dice::Dice;
use crate::events::{created, job, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;
use marker::Marker;

pub const TESTS: &[Test] = &[
    test!(kills_in_each_phase_leave_one_generation_or_the_other_and_the_rebuild_goes_on, Broker),
    test!(no_read_fails_and_no_view_goes_back_over_rebuild_and_rollback, Broker),
    test!(a_rebuild_is_watched_refused_and_aborted, Broker),
    test!(history_that_retention_removed_is_lost_only_where_that_is_accepted, Broker),
    test!(a_store_that_nobody_serves_is_rebuilt_by_the_tool_itself, Broker),
];

const KILLS: usize = 15;
/// The phases that a kill is to hit, with the number of milliseconds from the beginning of each within which it comes.
const PHASES: [(&str, usize); 3] = [("building", 400), ("comparing", 15), ("switching", 40)];

fn kills_in_each_phase_leave_one_generation_or_the_other_and_the_rebuild_goes_on(rig: &Rig) {
    load(rig, 2000);
    let marker = Marker::new(rig);
    let mut dice = Dice::new(4);
    let mut hit = [0; PHASES.len()];
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| marker.flow());
        let _quiet = marker.stop_at_end();
        let mut seen = 0;
        for kill in 0..KILLS {
            let server = Server::start(rig, &[]);
            server.wait_until_live();
            let shown = marker.shown_by(&server);
            assert!(shown >= seen, "after kill {kill}: {shown} is shown, and {seen} was before");
            let (phase, within) = PHASES[kill % PHASES.len()];
            wait_for_phase(rig, &server, phase);
            sleep(Duration::from_millis(dice.below(within) as u64));
            seen = marker.shown_by(&server);
            let (before, planned) = (current(rig), planned(rig));
            let log = kill_and_log(server);
            let last =
                log.lines().filter_map(|line| line.split("rebuilding: ").nth(1)).next_back().unwrap_or_default();
            let has_ended = log.contains("the rebuild has ended");
            let at = PHASES.iter().position(|(phase, _)| !has_ended && last.starts_with(phase));
            at.into_iter().for_each(|at| hit[at] += 1);
            let now = current(rig);
            assert!(now == before || Some(&now) == planned.as_ref(), "{now} after {before}, {planned:?} planned");
            assert!(rig.directory.path().join("data/generations").join(&now).join("db").exists());
        }
        assert!(hit.iter().all(|&hits| hits > 0), "kills in {PHASES:?}: {hit:?}");
        let server = Server::start(rig, &[]);
        server.wait_until_live();
        assert!(marker.shown_by(&server) >= seen);
        wait_until("the last rebuild has gone on to its end", || planned(rig).is_none().then_some(()));
        check_rebuilt(&run(rig, &["rebuild", "--json"]), true);
        assert_eq!(generations(rig).len(), 2, "the live one and the one before: {:?}", generations(rig));
        marker.stop();
        let sent = traffic.join().expect("traffic that ends well");
        server.wait_until_all_is_kept(rig).check();
        assert_eq!(marker.shown_by(&server), sent);
        check_rebuilt(&run(rig, &["rebuild", "--dry-run", "--json"]), false);
        let proven = run(rig, &["verify", "--against-log", "--json"]);
        assert_eq!((proven.code, &proven.json["against_log"]["unseen"]), (Some(0), &Value::from(0)), "{proven:?}");
    });
}

pub fn kill_and_log(server: Server) -> String {
    let path = server.log_path();
    server.kill();
    fs::read_to_string(path).expect("its log")
}

/// Begins a rebuild wherever none is under way.
fn wait_for_phase(rig: &Rig, server: &Server, phase: &str) {
    let line = format!("rebuilding: {phase}");
    let begun = || server.log().matches("rebuilding: building").count();
    let mut asked_at = None;
    while !server.log().contains(&line) {
        if planned(rig).is_none() && asked_at != Some(begun()) {
            asked_at = Some(begun());
            let asked = run(rig, &["rebuild", "--detach", "--max-rate", "20000"]);
            assert_eq!(asked.code, Some(0), "{asked:?}");
        }
        sleep(Duration::from_millis(1));
    }
}

fn no_read_fails_and_no_view_goes_back_over_rebuild_and_rollback(rig: &Rig) {
    load(rig, 2000);
    let marker = Marker::new(rig);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let address = server.addresses().read.clone();
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| marker.flow());
        let reads = scope.spawn(|| marker.watch(&address));
        let _quiet = marker.stop_at_end();
        let built = run(rig, &["rebuild", "--json"]);
        check_rebuilt(&built, true);
        assert_eq!(built.json["generation"], "000002");
        assert_eq!(current(rig), "000002");
        let tried = run(rig, &["rebuild", "--dry-run", "--json"]);
        check_rebuilt(&tried, false);
        assert_eq!(generations(rig), ["000001", "000002"]);
        let back = run(rig, &["rollback", "--json"]);
        assert_eq!((back.code, &back.json["generation"]), (Some(0), &Value::from("000001")), "{back:?}");
        assert_eq!(current(rig), "000001");
        assert_eq!(server.get("/readyz").status, 200);
        marker.stop();
        let sent = traffic.join().expect("traffic that ends well");
        let watched = reads.join().expect("reads that all are answered");
        server.wait_until_all_is_kept(rig).check();
        assert_eq!(marker.shown_by(&server), sent);
        assert!(watched.answers > 100, "{watched:?}");
        assert!(watched.longest_gap < Duration::from_secs(1), "{watched:?}");
        assert!(watched.longest_standstill < Duration::from_secs(1), "{watched:?}");
    });
    assert_eq!(run(rig, &["verify"]).code, Some(0));
}

fn a_rebuild_is_watched_refused_and_aborted(rig: &Rig) {
    load(rig, 100);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let nothing = run(rig, &["rebuild", "--abort"]);
    assert!(nothing.code == Some(1) && nothing.error.contains("no rebuild is under way"), "{nothing:?}");
    let begun = run(rig, &["rebuild", "--detach", "--json", "--max-rate", "20"]);
    assert_eq!((begun.code, &begun.json["phase"]), (Some(0), &Value::from("building")), "{begun:?}");
    let status = || run(rig, &["rebuild", "--status", "--json"]).json;
    assert_eq!(status()["under_way"], true);
    let total = wait_until("it is known how much there is", || status()["progress"]["records_total"].as_u64());
    let all: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    assert_eq!(total, all as u64);
    let measured = |name: &str| server.metric(&format!("optview_rebuild_{name}"));
    assert_eq!((measured("phase"), measured("records_expected")), (1, total));
    for second in [&["rebuild"][..], &["rebuild", "--dry-run"], &["rebuild", "--max-rate", "20"]] {
        let refused = run(rig, second);
        assert!(refused.code == Some(1) && refused.error.contains("is being made already"), "{refused:?}");
    }
    assert_eq!(generations(rig), ["000001", "000002"]);
    let aborted = run(rig, &["rebuild", "--abort", "--json"]);
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    assert!(aborted.json["failed"].as_str().is_some_and(|why| why.contains("aborted")), "{aborted:?}");
    assert_eq!((generations(rig), planned(rig)), (vec!["000001".to_owned()], None));
    assert_eq!((&status()["under_way"], measured("phase")), (&Value::from(false), 0));
    let nothing_yet = run(rig, &["rebuild", "--until", "2020-01-01T00:00:00Z", "--json"]);
    let Ran { code, json, .. } = &nothing_yet;
    assert_eq!(
        (*code, &json["cut_over"], &json["same"]),
        (Some(3), &Value::from(false), &Value::from(0)),
        "{json}"
    );
    assert_eq!(json["only_old"], server.report().views, "{json}");
    let none = run(rig, &["rollback"]);
    assert!(none.code == Some(1) && none.error.contains("no generation to go back to"), "{none:?}");
    assert_eq!(current(rig), "000001");
    check_rebuilt(&run(rig, &["rebuild", "--keep", "0", "--json"]), true);
    assert_eq!(generations(rig), ["000002"], "nothing holds what was live before");
}

fn history_that_retention_removed_is_lost_only_where_that_is_accepted(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "pending", 1), job("b", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    delete_records(rig, Topic::Optimizations, 0, 1);
    let refused = run(rig, &["rebuild"]);
    let gone = format!("{}/0 from 0 to 1", rig.settings.topics.get(Topic::Optimizations));
    for part in [gone.as_str(), "1 views would be lost", "--accept-loss", "--from-archive"] {
        assert!(refused.code == Some(1) && refused.error.contains(part), "no {part}: {refused:?}");
    }
    for kept in [&["--expect-same"][..], &["--dry-run"]] {
        let tried = run(rig, &[&["rebuild", "--accept-loss", "--json"], kept].concat());
        assert_eq!((tried.code, &tried.json["cut_over"]), (Some(3), &Value::from(false)), "{tried:?}");
        assert_eq!(
            (&tried.json["same"], &tried.json["only_old"]),
            (&Value::from(1), &Value::from(1)),
            "{tried:?}"
        );
        assert_eq!(tried.json["examples"][0]["id"], "a");
        assert_eq!(server.get("/optimizations/a").status, 200);
    }
    let lost = run(rig, &["rebuild", "--accept-loss", "--json"]);
    assert_eq!((lost.code, &lost.json["cut_over"]), (Some(0), &Value::from(true)), "{lost:?}");
    assert_eq!(server.get("/optimizations/a").status, 404);
    assert_eq!(server.get("/optimizations/b").status, 200);
    put(rig, &[job("b", "processing", 2)]);
    wait_for_status(&server, "b", "running");
    assert_eq!(run(rig, &["rollback"]).code, Some(0));
    assert_eq!(server.get("/optimizations/a").status, 200, "it still had it");
    assert_eq!(server.get("/optimizations/b").body["status"], "running", "it has caught up first");
}

fn a_store_that_nobody_serves_is_rebuilt_by_the_tool_itself(rig: &Rig) {
    load(rig, 100);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let before = server.get("/optimizations?limit=1000").body;
    // One that a kill interrupts is gone on with by whoever asks for it next.
    assert_eq!(run(rig, &["rebuild", "--detach", "--max-rate", "50"]).code, Some(0));
    wait_until("it is under way", || (generations(rig).len() == 2).then_some(()));
    server.kill();
    let without =
        rig.optview(&["rebuild"]).env("OPTVIEW_DATA_DIR", data(rig)).env_remove("OPTVIEW_BROKERS").output();
    let without = String::from_utf8(without.expect("a program to run").stderr).expect("text");
    assert!(without.contains("--brokers"), "{without}");
    let waits = run(rig, &["rebuild", "--status", "--json"]);
    assert_eq!(
        (&waits.json["generation"], &waits.json["under_way"]),
        (&Value::from("000002"), &Value::from(false))
    );
    assert_eq!(run(rig, &["rebuild", "--abort"]).code, Some(0));
    assert_eq!((generations(rig), planned(rig)), (vec!["000001".to_owned()], None));
    let detached = run(rig, &["rebuild", "--detach"]);
    assert!(detached.code == Some(1) && detached.error.contains("without --detach"), "{detached:?}");
    let built = run(rig, &["rebuild", "--json"]);
    check_rebuilt(&built, true);
    let number = built.json["generation"].as_str().expect("a number").to_owned();
    assert_eq!(current(rig), number);
    let back = run(rig, &["rollback", "--json"]);
    assert_eq!((back.code, current(rig).as_str()), (Some(0), "000001"), "{back:?}");
    let forth = run(rig, &["rollback", "--json", "--to", &number]);
    assert_eq!((forth.code, current(rig)), (Some(0), number), "{forth:?}");
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert_eq!(server.get("/optimizations?limit=1000").body, before);
}

/// The end of a tool.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    /// The last line on stdout, where that is JSON.
    pub json: Value,
    pub error: String,
}

/// Runs a tool on the directory that [`Server::start`] serves.
pub fn run(rig: &Rig, arguments: &[&str]) -> Ran {
    Ran::of(rig.optview(arguments).env("OPTVIEW_DATA_DIR", data(rig)).output().expect("a program to run"))
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = String::from_utf8(output.stdout).expect("text");
        let last = text.lines().last().unwrap_or_default();
        Ran {
            code: output.status.code(),
            json: serde_json::from_str(last).unwrap_or_default(),
            error: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// It found nothing that differs.
pub fn check_rebuilt(ran: &Ran, cut_over: bool) {
    let Ran { code, json, .. } = ran;
    assert_eq!(*code, Some(0), "{ran:?}");
    assert_eq!((&json["phase"], &json["cut_over"]), (&Value::from("done"), &Value::from(cut_over)), "{ran:?}");
    for none in ["differing", "only_old", "only_new"] {
        assert_eq!(json[none], 0, "{ran:?}");
    }
    assert!(json["same"].as_u64().is_some_and(|same| same > 0), "{ran:?}");
}

pub fn load(rig: &Rig, optimizations: u32) {
    rig.run(&["load", "--optimizations", &optimizations.to_string(), "--runs", "4", "--partitions", "3"]);
}

pub fn data(rig: &Rig) -> PathBuf {
    rig.directory.path().join("data")
}

pub fn current(rig: &Rig) -> String {
    fs::read_to_string(data(rig).join("CURRENT")).expect("a live generation").trim().to_owned()
}

/// The generation that a rebuild makes, where one is under way.
pub fn planned(rig: &Rig) -> Option<String> {
    let plan = fs::read(data(rig).join("REBUILD")).ok()?;
    let plan: Value = serde_json::from_slice(&plan).expect("a plan, whole at any moment");
    Some(format!("{:06}", plan["generation"].as_u64().expect("a number")))
}

pub fn generations(rig: &Rig) -> Vec<String> {
    let entries = fs::read_dir(data(rig).join("generations")).expect("generations");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}
