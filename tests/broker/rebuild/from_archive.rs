//! A rebuild from an archive and what the topics hold beyond it, on a real log of which retention has removed the beginning.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use optview::domain::{Topic, TopicPartition};
use optview::source::archive::Manifest;
use serde_json::Value;

use super::marker::Marker;
use super::{Ran, check_rebuilt, current, data, generations, load, planned, run};
use crate::Test;
use crate::archive::{archive, text};
use crate::cluster::{PutRecord, delete_records, delete_topic, put};
use crate::dice::Dice;
use crate::events::{created, job, renamed, wait_for_status};
use crate::rig::{Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(a_rebuild_from_an_archive_and_the_topics_beyond_it_gives_what_all_of_the_topics_gave, Broker),
    test!(a_rebuild_from_an_archive_goes_on_after_kills, Broker),
    test!(an_archive_that_does_not_go_with_the_topics_is_refused_before_anything_is_built, Broker),
    test!(an_archive_has_what_was_removed_before_it_was_read, Broker),
    test!(damage_that_shows_while_an_archive_is_read_leaves_the_live_generation_as_it_was, Broker),
];

/// Retention as it comes: half of what was archived is gone from one partition, all of it from another, nothing from the
/// third.
fn remove_what_was_archived(rig: &Rig, directory: &Path) {
    for (TopicPartition { topic, partition }, span) in Manifest::read(directory).expect("a manifest").spans() {
        match partition {
            0 => delete_records(rig, topic, partition, span.next / 2),
            1 => delete_records(rig, topic, partition, span.next),
            _ => {}
        }
    }
}

/// Number of records that the topics ever had, since their offsets begin at 0.
fn ever(rig: &Rig) -> i64 {
    Topic::ALL.iter().map(|&topic| rig.end(topic)).sum()
}

fn a_rebuild_from_an_archive_and_the_topics_beyond_it_gives_what_all_of_the_topics_gave(rig: &Rig) {
    load(rig, 500);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    rig.run(&["load", "--optimizations", "200", "--runs", "4", "--seed", "2"]);
    put(rig, &[created("a")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let before = server.get("/optimizations?limit=1000").body;
    remove_what_was_archived(rig, &directory);
    let lost = run(rig, &["rebuild"]);
    assert!(lost.code == Some(1) && lost.error.contains("--from-archive DIR"), "{lost:?}");

    // By a path that the server would take for another one.
    let relative = ["rebuild", "--from-archive", "archive", "--expect-same", "--json"];
    let output =
        rig.optview(&relative).env("OPTVIEW_DATA_DIR", data(rig)).current_dir(rig.directory.path()).output();
    let built = Ran::of(output.expect("a program to run"));
    check_rebuilt(&built, true);
    assert_eq!(built.json["records"].as_i64(), Some(ever(rig)), "{built:?}");
    assert_eq!(server.get("/optimizations?limit=1000").body, before);
    put(rig, &[renamed("a", "later", 2)]);
    wait_until("the live one goes on", || (server.get("/optimizations/a").body["name"] == "later").then_some(()));
    server.wait_until_all_is_kept(rig);
    server.kill();

    // From now on it does without the archive; and it knows from where on it was built.
    let elsewhere = archive(rig, "elsewhere");
    fs::rename(&directory, &elsewhere).expect("a directory that can be moved");
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig).check();
    let lost = run(rig, &["rebuild"]);
    assert!(lost.code == Some(1) && lost.error.contains("views would be lost"), "{lost:?}");
    assert!(server.stop().0.success());
    let tried = run(rig, &["rebuild", "--from-archive", text(&elsewhere), "--dry-run", "--json"]);
    check_rebuilt(&tried, false);
    assert_eq!(run(rig, &["verify"]).code, Some(0));
}

const KILLS: usize = 8;

fn a_rebuild_from_an_archive_goes_on_after_kills(rig: &Rig) {
    load(rig, 2000);
    let marker = Marker::new(rig);
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    let archived = Manifest::read(&directory).expect("a manifest").records();
    let mut dice = Dice::new(5);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| marker.flow());
        let _quiet = marker.stop_at_end();
        let server = Server::start(rig, &[]);
        server.wait_for("past the archive", |report| {
            report.state == "live" && report.records_kept() >= archived as i64
        });
        remove_what_was_archived(rig, &directory);
        let begun =
            run(rig, &["rebuild", "--from-archive", text(&directory), "--detach", "--max-rate", "8000", "--json"]);
        assert_eq!(begun.code, Some(0), "{begun:?}");
        let mut server = Some(server);
        let (mut in_the_archive, mut seen) = (0, 0);
        for kill in 0..KILLS {
            let serving = server.take().unwrap_or_else(|| Server::start(rig, &[]));
            serving.wait_until_live();
            let Some(done) = wait_until("it goes on, or has ended", || records_done(rig)) else { break };
            sleep(Duration::from_millis(dice.below(600) as u64));
            let shown = marker.shown_by(&serving);
            assert!(shown >= seen, "after kill {kill}: {shown} is shown, and {seen} was before");
            seen = shown;
            serving.kill();
            in_the_archive += u32::from(done < archived);
        }
        assert!(in_the_archive >= 2, "{in_the_archive} kills while the archive was played");
        let server = Server::start(rig, &[]);
        wait_until("the rebuild has ended", || planned(rig).is_none().then_some(()));
        assert_eq!(current(rig), "000002");
        server.wait_until_live();
        assert!(marker.shown_by(&server) >= seen);
        marker.stop();
        let sent = traffic.join().expect("traffic that ends well");
        server.wait_until_all_is_kept(rig).check();
        assert_eq!(marker.shown_by(&server), sent);
        let again = run(rig, &["rebuild", "--from-archive", text(&directory), "--dry-run", "--json"]);
        check_rebuilt(&again, false);
        assert_eq!(again.json["records"].as_i64(), Some(ever(rig)), "{again:?}");
    });
}

/// Number of records that the running rebuild has read, once it reads; `Some(None)` if none is running.
fn records_done(rig: &Rig) -> Option<Option<u64>> {
    let status = run(rig, &["rebuild", "--status", "--json"]).json;
    if status["under_way"] == false && planned(rig).is_none() {
        return Some(None);
    }
    status["progress"]["records_done"].as_u64().filter(|done| *done > 0).map(Some)
}

fn an_archive_has_what_was_removed_before_it_was_read(rig: &Rig) {
    let (directory, server) = archived_and_served(rig);
    assert!(server.stop().0.success());
    put(rig, &[job("a", "waiting", 3), job("a", "completed", 4)]);
    rig.run(&["archive", "export", text(&directory)]);
    put(rig, &[job("b", "completed", 3)]);
    delete_records(rig, Topic::Jobs, 0, 6);
    let server = Server::start(rig, &[]);
    let stalled = server.wait_for("stopped", |report| report.state == "stalled");
    assert!(stalled.last_error.is_some_and(|error| error.contains("optview rebuild --from-archive DIR")));
    assert_eq!(server.get("/optimizations/a").body["status"], "running");
    let built = run(rig, &["rebuild", "--from-archive", text(&directory), "--json"]);
    assert_eq!((built.code, &built.json["cut_over"]), (Some(0), &Value::from(true)), "{built:?}");
    for id in ["a", "b"] {
        assert_eq!(server.get(&format!("/optimizations/{id}")).body["status"], "succeeded");
    }
    assert_eq!(server.wait_until_live().last_error, None);
}

/// Two optimizations, in a log of three records of jobs that is archived, and one more.
fn archived_and_served(rig: &Rig) -> (PathBuf, Server) {
    rig.create_topics(1);
    put(
        rig,
        &[created("a"), created("b"), job("a", "pending", 1), job("b", "pending", 1), job("a", "processing", 2)],
    );
    let directory = archive(rig, "archive");
    rig.run(&["archive", "export", text(&directory)]);
    put(rig, &[job("b", "processing", 2)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    (directory, server)
}

/// Checks that a rebuild is refused with all of these parts in its error, and changes nothing.
fn check_refused(rig: &Rig, directory: &Path, parts: &[&str]) {
    let refused = run(rig, &["rebuild", "--from-archive", text(directory)]);
    for part in parts {
        assert!(refused.code == Some(1) && refused.error.contains(part), "no {part}: {refused:?}");
    }
    assert_eq!((generations(rig), planned(rig)), (vec!["000001".to_owned()], None), "{refused:?}");
}

fn copied(rig: &Rig, directory: &Path, name: &str) -> PathBuf {
    let other = archive(rig, name);
    fs::create_dir(&other).expect("a directory");
    for file in fs::read_dir(directory).expect("an archive") {
        let file = file.expect("a file");
        fs::copy(file.path(), other.join(file.file_name())).expect("a copy");
    }
    other
}

/// A copy with another word in its manifest.
fn altered(rig: &Rig, directory: &Path, old: &str, new: &str) -> PathBuf {
    let other = copied(rig, directory, new);
    let manifest = fs::read_to_string(other.join("MANIFEST.json")).expect("a manifest");
    assert!(manifest.contains(old), "{manifest}");
    fs::write(other.join("MANIFEST.json"), manifest.replace(old, new)).expect("a manifest");
    other
}

fn an_archive_that_does_not_go_with_the_topics_is_refused_before_anything_is_built(rig: &Rig) {
    let (directory, server) = archived_and_served(rig);
    let (jobs, cluster) = (
        rig.settings.topics.get(Topic::Jobs).to_owned(),
        Manifest::read(&directory).expect("a manifest").cluster_id,
    );
    check_refused(rig, &archive(rig, "nowhere"), &["it has no MANIFEST.json", "correct --from-archive"]);
    let other = altered(rig, &directory, &cluster, "another");
    check_refused(rig, &other, &["of the cluster another, and this one is", "archive import"]);
    let other = altered(rig, &directory, &jobs, "other-jobs");
    check_refused(rig, &other, &["of the topic `other-jobs`, and not of"]);
    let cut = copied(rig, &directory, "cut");
    fs::remove_file(cut.join("000001.ndjson.zst")).expect("a file that is there");
    check_refused(rig, &cut, &["000001.ndjson.zst: cannot be read", "restore it from a copy"]);
    delete_records(rig, Topic::Jobs, 0, 4);
    let gap = format!("{jobs}/0: the records from 3 to 4 were removed before they were read");
    check_refused(rig, &directory, &["nothing was built", &gap, "--accept-loss"]);
    put(rig, &[job("b", "completed", 3)]);
    wait_for_status(&server, "b", "succeeded");

    delete_topic(rig, Topic::Jobs);
    rig.create_topics(1);
    let is_another = [
        format!("{jobs}/0: the topic was deleted and created again: its id was "),
        "so that other records have the offsets of those that were read".to_owned(),
    ];
    let [id, why] = &is_another;
    check_refused(rig, &directory, &[id, why, "an archive of the present topics"]);
    let others: Vec<PutRecord> = (1..=9).map(|sequence| job("other", "processing", sequence)).collect();
    put(rig, &others);
    // As many records as there were make no difference.
    check_refused(rig, &directory, &["nothing was built", id, why]);
    assert_eq!(server.get("/optimizations/a").body["status"], "running", "as it was");
}

fn damage_that_shows_while_an_archive_is_read_leaves_the_live_generation_as_it_was(rig: &Rig) {
    let (directory, server) = archived_and_served(rig);
    rig.run(&["archive", "export", text(&directory)]);
    for (number, place) in [(2, "the archive cannot be read"), (1, "the new generation cannot be built")] {
        let damaged = copied(rig, &directory, &format!("damaged-{number}"));
        let name = format!("00000{number}.ndjson.zst");
        let mut bytes = fs::read(damaged.join(&name)).expect("a file of the archive");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(damaged.join(&name), bytes).expect("a file that can be changed");
        check_refused(rig, &damaged, &[place, &format!("{name}: its SHA-256 is"), "optview archive verify"]);
    }
    assert_eq!(server.get("/optimizations/a").body["status"], "running");
    assert_eq!(server.get("/readyz").status, 200);
    check_rebuilt(&run(rig, &["rebuild", "--from-archive", text(&directory), "--json"]), true);
}
