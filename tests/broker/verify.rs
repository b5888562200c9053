//! `verify --against-log`: the comparison with the topics finds what no check of the store alone can find, and nothing is left
//! of the generation that was built for it.

use std::path::Path;

use optview::codec::stored_record;
use optview::domain::{Optimization, Topic};
use serde_json::json;

use crate::cluster::{delete_records, put};
use crate::events::{created, job, run_started};
use crate::rebuild::marker::Marker;
use crate::rebuild::{Ran, data, generations, load, planned, run};
use crate::rig::{Process, Rig, wait_until};
use crate::server::Server;
use crate::{Test, fixtures};

pub const TESTS: &[Test] = &[
    test!(what_was_altered_in_a_store_is_named_by_the_log, Broker),
    test!(a_sound_store_is_proven_by_the_log_under_traffic_and_at_rest, Broker),
    test!(a_log_that_lost_its_beginning_proves_nothing, Broker),
    test!(a_proof_that_nobody_waits_for_leaves_nothing, Broker),
];

const AGAINST_LOG: &[&str] = &["verify", "--against-log", "--json"];

fn what_was_altered_in_a_store_is_named_by_the_log(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), created("c"), job("a", "pending", 1), run_started("c", 0)]);
    put(rig, &[job("x", "pending", 1), job("y", "pending", 1), job("z", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    check_proven(&run(rig, AGAINST_LOG), 3, 8);

    alter(&data(rig), "a", |optimization| {
        optimization.created.as_mut().expect("it is created").value.description = Some("In an hour".into());
    });
    alter(&data(rig), "b", |optimization| {
        optimization.created.as_mut().expect("it is created").stamp.source.offset += 1_000;
    });
    alter_parked(&data(rig));
    let by_itself = run(rig, &["verify", "--json"]);
    assert_eq!((by_itself.code, &by_itself.json["problems"]), (Some(0), &json!([])), "{by_itself:?}");
    let waits = "readers see what the topics give, but other parts differ: a job that waits for an optimization";
    let found = json!([
        {"of": "view", "which": "a", "problem": "the topics give another: description"},
        {"of": "record", "which": "b", "problem": "readers see what the topics give, but other parts differ: created"},
        {"of": "record", "which": "j-x", "problem": waits}, {"of": "record", "which": "j-y", "problem": waits},
    ]);
    let counted = json!({"records_replayed": 8, "same": 2, "differing": 1, "only_old": 0, "only_new": 0,
        "unseen": 3, "failed": null});
    let check = |ran: &Ran| {
        let Ran { code, json, .. } = ran;
        assert_eq!((*code, &json["problems"], &json["against_log"]), (Some(3), &found, &counted), "{ran:?}");
        assert_eq!((&json["records"], &json["problems_found"]), (&3.into(), &4.into()), "{ran:?}");
    };
    check(&run(rig, AGAINST_LOG));
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    check(&run(rig, AGAINST_LOG));
    check_nothing_left(rig);
    assert_eq!(server.get("/optimizations/a").body["description"], "In an hour", "it is as it was");
}

/// Changes a record as only a disk, a person, or a bug could: the store still agrees with itself.
fn alter(data: &Path, id: &str, change: impl Fn(&mut Optimization)) {
    let db = fixtures::open_database(data);
    let tree = db.open_tree("optimizations").expect("a tree");
    let held = tree.iter().map(|entry| entry.expect("an entry"));
    let decoded =
        held.map(|(key, value)| (key, stored_record::decode_optimization(&value).expect("an optimization")));
    let (key, mut optimization) =
        decoded.into_iter().find(|(_, optimization)| *optimization.id == *id).expect("it is there");
    change(&mut optimization);
    let mut bytes = Vec::new();
    stored_record::encode_optimization(&optimization, &mut bytes).expect("bytes");
    tree.insert(key, bytes).expect("it is written");
}

/// One job that waits is gone, and another is what a third is.
fn alter_parked(data: &Path) {
    let db = fixtures::open_database(data);
    let tree = db.open_tree("jobs").expect("a tree");
    let other = tree.get("j-z").expect("a store").expect("it is parked");
    assert!(
        tree.remove("j-x").expect("a store").is_some() && tree.insert("j-y", other).expect("a store").is_some()
    );
}

fn a_sound_store_is_proven_by_the_log_under_traffic_and_at_rest(rig: &Rig) {
    load(rig, 2000);
    let marker = Marker::new(rig);
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    let views = server.wait_until_all_is_kept(rig).views;
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| marker.flow());
        let _quiet = marker.stop_at_end();
        check_proven(&run(rig, AGAINST_LOG), views, 0);
        marker.stop();
        let sent = traffic.join().expect("traffic that ends well");
        server.wait_until_all_is_kept(rig).check();
        assert_eq!(marker.shown_by(&server), sent);
    });
    check_nothing_left(rig);
    assert!(server.stop().0.success());
    let all: i64 = Topic::ALL.iter().map(|&topic| rig.count(topic)).sum();
    check_proven(&run(rig, AGAINST_LOG), views, all as u64);
    check_nothing_left(rig);
    let output = rig.optview(&["verify", "--against-log"]).env("OPTVIEW_DATA_DIR", data(rig)).output();
    let output = String::from_utf8(output.expect("a program to run").stdout).expect("text");
    assert!(output.contains("records replayed") && output.ends_with("No problem found.\n"), "{output}");
}

fn a_log_that_lost_its_beginning_proves_nothing(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b")]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    delete_records(rig, Topic::Optimizations, 0, 1);
    let lost = run(rig, AGAINST_LOG);
    assert_eq!((lost.code, &lost.json["problems"], &lost.json["records"]), (Some(1), &json!([]), &2.into()));
    let gone = format!("{}/0 from 0 to 1", rig.settings.topics.get(Topic::Optimizations));
    for message in [&lost.error, lost.json["against_log"]["failed"].as_str().expect("why")] {
        for part in ["cannot prove the store", &gone, "1 views would be lost", "--dry-run --accept-loss"] {
            assert!(message.contains(part), "no {part:?}: {message}");
        }
    }
    check_nothing_left(rig);
}

fn a_proof_that_nobody_waits_for_leaves_nothing(rig: &Rig) {
    load(rig, 200);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let first = begin_slowly(rig);
    for second in [AGAINST_LOG, &["rebuild"]] {
        let refused = run(rig, second);
        assert!(refused.code == Some(1) && refused.error.contains("is being made already"), "{refused:?}");
    }
    assert_eq!(first.stop().code(), Some(1));
    let said = std::fs::read_to_string(rig.directory.path().join("stderr")).expect("what it said");
    assert!(said.contains("what was built to compare with is removed"), "{said}");
    wait_until("nothing is left of it", || nothing_left(rig).then_some(()));

    // A killed process cannot remove what it has built.
    let killed = begin_slowly(rig);
    killed.kill();
    wait_until("nothing is left of it", || nothing_left(rig).then_some(()));

    let of_killed_server = begin_slowly(rig);
    server.kill();
    drop(of_killed_server);
    assert!(!nothing_left(rig));
    let server = Server::start(rig, &[]);
    server.wait_until_live();
    assert!(nothing_left(rig), "the next start does not go on with it: {:?}", generations(rig));
    assert!(server.stop().0.success());

    let without_server = begin_slowly(rig);
    assert_eq!(without_server.stop().code(), Some(1));
    check_nothing_left(rig);
}

/// One that takes minutes, once it has begun to build.
fn begin_slowly(rig: &Rig) -> Process {
    let data = data(rig);
    let data = data.to_str().expect("a path of text");
    let begun = rig.spawn(&["verify", "--against-log", "--max-rate", "20", "--data-dir", data]);
    wait_until("it builds", || (generations(rig).len() == 2).then_some(()));
    begun
}

/// `replayed`: 0 where that is not known.
fn check_proven(ran: &Ran, views: u64, replayed: u64) {
    let Ran { code, json, .. } = ran;
    assert_eq!((*code, &json["problems"]), (Some(0), &json!([])), "{ran:?}");
    let against_log = &json["against_log"];
    assert_eq!((&json["views"], &against_log["same"]), (&views.into(), &views.into()), "{ran:?}");
    for none in ["differing", "only_old", "only_new", "unseen"] {
        assert_eq!(against_log[none], 0, "{ran:?}");
    }
    let read = against_log["records_replayed"].as_u64().unwrap_or_default();
    assert!(read == replayed || (replayed == 0 && read > 0), "{ran:?}");
}

fn nothing_left(rig: &Rig) -> bool {
    generations(rig) == ["000001"] && planned(rig).is_none()
}

fn check_nothing_left(rig: &Rig) {
    assert_eq!((generations(rig), planned(rig)), (vec!["000001".to_owned()], None));
}
