//! History that the topics no longer give: what a rebuild would lose is refused with a count, whatever the reason; what was
//! lost on purpose is kept, and can be shown.

use std::time::Duration;

use optview::domain::{Register, Topic};
use serde_json::{Value, json};

use super::{Ran, check_rebuilt, current, data, generations, load, planned, run};
use crate::Test;
use crate::cluster::{delete_records, delete_topic, put};
use crate::events::{completed, created, job, renamed, wait_for_status};
use crate::fixtures;
use crate::rig::{DEADLINE, Rig, wait_until};
use crate::server::Server;

pub const TESTS: &[Test] = &[
    test!(a_rebuild_of_a_topic_made_anew_is_refused_with_a_count_and_what_was_lost_is_kept, Broker),
    test!(what_no_look_at_the_topics_shows_is_counted_when_the_views_are_compared, Broker),
    test!(a_generation_that_cannot_catch_up_is_shown_frozen_and_left_again, Broker),
    test!(a_rebuild_whose_broker_goes_away_says_what_it_waits_for, BrokerOfItsOwn),
];

/// Checks that it ended with 1, that the error has all of these parts, and that readers see what they saw.
fn check_refused(rig: &Rig, ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.code == Some(1) && ran.error.contains(part), "no {part}: {ran:?}");
    }
    assert_eq!(planned(rig), None);
}

/// The statuses of some optimizations.
fn statuses(server: &Server, ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| server.get(&format!("/optimizations/{id}")).body["status"].clone()).collect()
}

fn a_rebuild_of_a_topic_made_anew_is_refused_with_a_count_and_what_was_lost_is_kept(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b")]);
    put(
        rig,
        &[job("a", "pending", 1), job("b", "processing", 2), job("early", "pending", 1), job("a", "waiting", 3)],
    );
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    delete_topic(rig, Topic::Jobs);
    rig.create_topics(1);
    put(rig, &[completed("a", 4)]);

    // The text of the stopped partition contains what to do, and exactly that is done here.
    let server = Server::start(rig, &[]);
    let jobs = rig.settings.topics.get(Topic::Jobs);
    let stalled = server.wait_for("stopped", |report| report.is_stopped(jobs, 0) && report.state == "stalled");
    let said = stalled.last_error.expect("it is said");
    for part in [jobs, "`optview rebuild`", "`optview rebuild --accept-loss`", "`optview rollback --frozen`"] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    let refused = run(rig, &["rebuild"]);
    let gone = format!("{jobs}/0");
    let counted = "0 views would be lost, and 2 or more would miss events, and so would 1 jobs that wait";
    check_refused(rig, &refused, &[&gone, counted, "created again", "--accept-loss", "--from-archive"]);
    let unproven = run(rig, &["verify", "--against-log", "--json"]);
    let why = unproven.json["against_log"]["failed"].as_str().unwrap_or_default();
    assert!(unproven.code != Some(0) && why.contains("cannot prove"), "{unproven:?}");
    assert_eq!(
        (generations(rig), statuses(&server, &["a", "b"])),
        (vec!["000001".into()], vec![json!("running"); 2])
    );

    let losses = json!({"views": 0, "gone_back": 1, "records": 1, "parked_jobs": 1, "examples": ["b (status)"]});
    let tried = run(rig, &["rebuild", "--accept-loss", "--dry-run", "--json"]);
    assert_eq!((tried.code, &tried.json["losses"]), (Some(3), &losses), "{tried:?}");
    let built = run(rig, &["rebuild", "--accept-loss", "--json"]);
    assert_eq!((built.code, &built.json["cut_over"], &built.json["losses"]), (Some(0), &json!(true), &losses));
    assert_eq!(server.wait_until_live().last_error, None);
    assert_eq!(statuses(&server, &["a", "b"]), [json!("succeeded"), json!("queued")]);

    // Nothing removes the one that has more, and it can be seen.
    let again = run(rig, &["rebuild", "--keep", "0", "--json"]);
    check_rebuilt(&again, true);
    assert_eq!(again.json["spared"], json!(["000001"]), "{again:?}");
    assert_eq!(generations(rig), ["000001", "000003"]);
    let listed = run(rig, &["generations", "--json"]).json;
    assert_eq!(listed[0]["holds_more"]["replaced_by"], "000002", "{listed}");
    check_refused(
        rig,
        &run(rig, &["rollback"]),
        &["000001 cannot be brought up to date", &gone, "rollback --frozen --to 000001"],
    );
    check_refused(rig, &run(rig, &["generations", "--remove", "1"]), &["has more than generation 000002"]);
    assert_eq!(run(rig, &["rollback", "--frozen"]).code, Some(0));
    assert_eq!(statuses(&server, &["a", "b"]), vec![json!("running"); 2]);
    assert_eq!(server.bytes("/optimizations/b").1.as_deref(), Some("frozen"));
    assert!(server.stop().0.success());

    let server = Server::start(rig, &[]);
    let report = server.wait_for("frozen after a restart, too", |report| report.state == "frozen");
    assert!(report.last_error.is_some_and(|said| said.contains("`optview rebuild`")));
    assert_eq!(statuses(&server, &["a", "b"]), vec![json!("running"); 2]);
    check_refused(rig, &run(rig, &["rebuild"]), &[&gone, "--accept-loss"]);
    let left = run(rig, &["rebuild", "--accept-loss", "--json"]);
    assert_eq!((left.code, &left.json["cut_over"]), (Some(0), &json!(true)), "{left:?}");
    assert_eq!(server.wait_until_live().last_error, None);
    put(rig, &[job("b", "failed", 5)]);
    wait_for_status(&server, "b", "failed");
    let removed = run(rig, &["generations", "--remove", "1", "--accept-loss"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert!(!generations(rig).contains(&"000001".to_owned()));
}

fn what_no_look_at_the_topics_shows_is_counted_when_the_views_are_compared(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    assert!(server.stop().0.success());
    // What a topic had once and has no more, as after compaction: nothing at its ends shows that.
    let writer = fixtures::open(&data(rig)).writer;
    let mut renamed = writer.optimization("b").expect("a store").expect("an optimization");
    let name = "a later name".to_owned().into_boxed_str();
    renamed.name = Some(Box::new(Register::new(name, fixtures::stamp(50))));
    let vanishing = fixtures::optimization("vanishing", 1, "a name".to_owned(), String::new());
    writer.commit(fixtures::commit_of(vec![renamed, vanishing]), Vec::new(), 1).expect("a store");
    writer.finish().expect("a store");

    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let refused = run(rig, &["rebuild"]);
    let counted = "1 views would be lost, 1 would go back";
    check_refused(
        rig,
        &refused,
        &[counted, "vanishing (not there)", "b (name)", "--from-archive", "--accept-loss"],
    );
    assert_eq!((generations(rig), current(rig)), (vec!["000001".to_owned()], "000001".to_owned()));
    assert_eq!(server.get("/optimizations/b").body["name"], "a later name");
    let accepted = run(rig, &["rebuild", "--accept-loss", "--json"]);
    assert_eq!((accepted.code, &accepted.json["losses"]["views"]), (Some(0), &json!(1)), "{accepted:?}");
    assert_eq!(server.get("/optimizations/vanishing").status, 404);
}

fn a_generation_that_cannot_catch_up_is_shown_frozen_and_left_again(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    check_rebuilt(&run(rig, &["rebuild", "--json"]), true);
    put(rig, &[job("a", "processing", 2), job("a", "waiting", 3), renamed("a", "later", 2)]);
    server.wait_until_all_is_kept(rig);
    delete_records(rig, Topic::Jobs, 0, 2);
    let jobs = format!("{}/0 from 1 to 2", rig.settings.topics.get(Topic::Jobs));
    check_refused(
        rig,
        &run(rig, &["rollback"]),
        &["cannot be brought up to date", &jobs, "rollback --frozen --to 000001"],
    );
    assert_eq!(current(rig), "000002");
    let shown = run(rig, &["rollback", "--frozen", "--json"]);
    assert_eq!((shown.code, &shown.json["frozen"]), (Some(0), &json!(true)), "{shown:?}");
    assert_eq!(statuses(&server, &["a"]), ["queued"]);
    put(rig, &[completed("a", 4)]);
    // The one that can be brought up to date is, and takes its place.
    let back = run(rig, &["rollback", "--to", "2", "--json"]);
    assert_eq!((back.code, current(rig).as_str()), (Some(0), "000002"), "{back:?}");
    assert_eq!(statuses(&server, &["a"]), ["succeeded"]);
    let report = server.wait_until_live();
    assert_eq!((report.last_error, report.generation), (None, 2));
}

fn a_rebuild_whose_broker_goes_away_says_what_it_waits_for(rig: &Rig) {
    load(rig, 200);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let begun = run(rig, &["rebuild", "--detach", "--json", "--max-rate", "200"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let status = || run(rig, &["rebuild", "--status", "--json"]).json;
    wait_until("it is being built", || status()["progress"]["records_done"].as_u64().filter(|done| *done > 0));
    let broker = rig.own_broker.as_ref().expect("a broker of its own");
    broker.kill();
    let said = wait_until("it says what it waits for", || {
        status()["progress"]["waiting_for"].as_str().map(str::to_owned)
    });
    assert!(said.contains("the new generation reads nothing, or not all"), "{said}");
    assert!(server.log().contains("the rebuild waits"), "it is in the log");
    broker.restart();
    wait_until("it waits no more", || {
        let status = status();
        (status["under_way"] == false || status["progress"]["waiting_for"].is_null()).then_some(())
    });
    let begin = std::time::Instant::now();
    while status()["under_way"] == true {
        assert!(begin.elapsed() < 3 * DEADLINE, "{}", status());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(current(rig), "000002", "{}", status());
}
