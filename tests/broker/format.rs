//! A store that another version has folded otherwise: shown as it was left, byte for byte, while this version builds its own
//! views; then these, by itself. No register of the old store can be decoded, so whoever tried would fail.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use optview::domain::Topic;
use serde_json::{Value, json};

use crate::Test;
use crate::cluster::{delete_records, delete_topic, put};
use crate::dice::Dice;
use crate::events::{completed, created, job, wait_for_status};
use crate::other_version::{OTHER_FORMAT, fold_otherwise};
use crate::rebuild::marker::Marker;
use crate::rebuild::{check_rebuilt, current, data, generations, kill_and_log, load, planned, run};
use crate::rig::{Rig, wait_until};
use crate::server::{Report, Server};

pub const TESTS: &[Test] = &[
    test!(another_versions_views_are_served_as_they_are_until_this_one_has_built_its_own, Broker),
    test!(kills_while_it_builds_leave_the_old_views_and_it_goes_on, Broker),
    test!(another_versions_store_is_refused_where_that_is_wanted, Broker),
    test!(what_is_frozen_stays_so_where_history_is_gone_until_the_loss_is_accepted, Broker),
    test!(a_topic_made_anew_does_not_take_the_frozen_views_away_unasked, Broker),
    test!(the_version_before_returns_to_its_own_generation_by_itself, Broker),
];

fn generation(rig: &Rig, name: &str) -> PathBuf {
    data(rig).join("generations").join(name)
}

/// The body of a list and of every view in it, of an instance in this state, or a live one.
fn shown(server: &Server, state: Option<&str>) -> Vec<Vec<u8>> {
    let bytes = |path: &str| {
        let (body, header) = server.bytes(path);
        assert_eq!(header.as_deref(), state.or(Some("live")), "{path}");
        body
    };
    let list = bytes("/optimizations?limit=1000");
    let listed: Value = serde_json::from_slice(&list).expect("JSON");
    let ids = listed["optimizations"].as_array().expect("a list").iter();
    let ids: Vec<String> = ids.map(|view| view["id"].as_str().expect("an id").to_owned()).collect();
    assert!(ids.len() >= 2, "there is something to see");
    let views = ids.iter().map(|id| bytes(&format!("/optimizations/{id}")));
    let views: Vec<_> = views.collect();
    [list].into_iter().chain(views).collect()
}

/// A store of so many optimizations as another version would have left it, and what it showed.
fn left(rig: &Rig, optimizations: u32) -> Vec<Vec<u8>> {
    load(rig, optimizations);
    left_of_what_is_there(rig)
}

/// The same, of what the topics have.
fn left_of_what_is_there(rig: &Rig) -> Vec<Vec<u8>> {
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    let before = shown(&server, None);
    assert!(server.stop().0.success());
    fold_otherwise(&generation(rig, "000001"));
    before
}

fn says_the_remedy(report: &Report) -> bool {
    report.last_error.as_ref().is_some_and(|why| why.contains("--accept-loss"))
}

fn another_versions_views_are_served_as_they_are_until_this_one_has_built_its_own(rig: &Rig) {
    rig.create_topics(3);
    let marker = Marker::new(rig);
    let before = left(rig, 300);
    let ends: i64 = Topic::ALL.iter().map(|&topic| rig.end(topic)).sum();

    // As long as no broker answers, nothing else can happen.
    let mut server = Server::start(rig, &["--brokers", "127.0.0.1:1"]);
    let report = server.wait_for("frozen", |report| report.state == "frozen");
    assert_eq!(shown(&server, Some("frozen")), before);
    assert_eq!((report.generation, report.records_kept()), (1, ends));
    assert!(report.partitions.iter().all(|held| held.state == "frozen"), "{report:?}");
    for ready in [server.get("/readyz"), server.get_admin("/readyz")] {
        assert_eq!(
            (ready.status, &ready.body["status"], &ready.body["state"]),
            (200, &json!("frozen"), &json!("frozen"))
        );
    }
    let at = &server.get_admin("/readyz").body["frozen_at"];
    assert_eq!(at["format"], OTHER_FORMAT, "{at}");
    assert!(at["closed_at"].is_string(), "{at}");
    let positions = at["positions"].as_array().expect("positions").iter();
    assert_eq!(positions.map(|at| at["next_offset"].as_i64().expect("an offset")).sum::<i64>(), ends);
    assert_eq!(server.get("/healthz").body["state"], "frozen");
    let report = server.wait_for("why there is nothing yet", |report| report.last_error.is_some());
    let why = report.last_error.expect("it is reported");
    assert!(why.contains("127.0.0.1:1 does not answer") && why.contains("tried again"), "{why}");
    let explained = server.get_admin("/optimizations/any/why");
    assert_eq!(explained.status, 503);
    assert!(
        explained.body["message"].as_str().is_some_and(|why| why.contains("cannot be decoded")),
        "{explained:?}"
    );
    let refused = run(rig, &["verify"]);
    assert!(refused.code == Some(1) && refused.error.contains("cannot be decoded"), "{refused:?}");
    let listed = run(rig, &["generations", "--json"]).json;
    assert_eq!((&listed[0]["frozen"], &listed[0]["format"]), (&json!(true), &json!(OTHER_FORMAT)), "{listed}");
    assert!(server.is_running());
    assert!(server.stop().0.success());

    // While it goes over, what is read never goes back, and never fails.
    let server = Server::start(rig, &[]);
    let address = server.addresses().read.clone();
    server.wait_for("something to be seen", |report| report.views > 0);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| marker.flow());
        let reads = scope.spawn(|| marker.watch(&address));
        let _quiet = marker.stop_at_end();
        server.wait_for("live", |report| report.state == "live" && report.generation == 2);
        sleep(Duration::from_millis(500));
        marker.stop();
        let sent = traffic.join().expect("traffic that ends well");
        reads.join().expect("reads that all are answered");
        server.wait_until_all_is_kept(rig).check();
        assert_eq!(marker.shown_by(&server), sent);
    });
    let ready = server.get_admin("/readyz");
    assert_eq!((ready.status, &ready.body["state"], ready.body.get("frozen_at")), (200, &json!("live"), None));
    let now = shown(&server, None);
    assert_eq!(now.len(), before.len());
    let changed = before[1..].iter().filter(|view| !now.contains(view)).count();
    assert_eq!(changed, 1, "all but the marker are the same, folded anew");
    // It was compared where the old one stood.
    let finished = run(rig, &["rebuild", "--status", "--json"]).json["finished"].clone();
    assert_eq!(
        (&finished["same"], &finished["differing"], &finished["only_old"], &finished["only_new"]),
        (&json!(before.len() - 1), &json!(0), &json!(0), &json!(0)),
        "{finished}"
    );
    assert_eq!(finished["not_compared"], Value::Null);

    assert_eq!((generations(rig).len(), current(rig).as_str()), (2, "000002"));
    let back = run(rig, &["rollback"]);
    let message = format!("generation 000001 has the fold format {OTHER_FORMAT}");
    assert!(back.code == Some(1) && back.error.contains(&message), "{back:?}");
    assert_eq!(run(rig, &["verify"]).code, Some(0));
}

fn kills_while_it_builds_leave_the_old_views_and_it_goes_on(rig: &Rig) {
    let before = left(rig, 2000);
    let mut dice = Dice::new(7);
    let mut hit = 0;
    for _ in 0..8 {
        let server = Server::start(rig, &[]);
        wait_until("it builds", || (planned(rig).is_some() || current(rig) != "000001").then_some(()));
        sleep(Duration::from_millis(dice.below(300) as u64));
        let log = kill_and_log(server);
        if current(rig) != "000001" {
            break;
        }
        hit += 1;
        assert!(!log.contains("the rebuild has ended"), "{log}");
        assert_eq!(planned(rig).as_deref(), Some("000002"));
        assert_eq!(generations(rig).iter().filter(|name| name.contains("damaged")).count(), 0);
    }
    assert!(hit > 1, "kills while it builds: {hit}");
    let server = Server::start(rig, &[]);
    server.wait_for("live", |report| report.state == "live" && report.generation == 2);
    assert_eq!(shown(&server, None), before);
    wait_until("the plan is done", || planned(rig).is_none().then_some(()));
    assert_eq!(run(rig, &["verify"]).code, Some(0));
}

fn another_versions_store_is_refused_where_that_is_wanted(rig: &Rig) {
    let before = left(rig, 50);
    let mut server = Server::start(rig, &["--on-format-change", "refuse"]);
    assert_eq!(server.wait().code(), Some(1));
    let log = server.log();
    let message = format!("generation 000001 has the fold format {OTHER_FORMAT}");
    for part in [message.as_str(), "--on-format-change refuse it is not served", "`optview rebuild`"] {
        assert!(log.contains(part), "no {part}: {log}");
    }
    assert_eq!((generations(rig), planned(rig)), (vec!["000001".to_owned()], None));
    // By hand: tried first, then done.
    let tried = run(rig, &["rebuild", "--dry-run", "--json"]);
    check_rebuilt(&tried, false);
    assert_eq!(tried.json["same"], before.len() - 1, "all but the list");
    assert_eq!(generations(rig), ["000001"]);
    check_rebuilt(&run(rig, &["rebuild", "--expect-same", "--json"]), true);
    let server = Server::start(rig, &["--on-format-change", "refuse"]);
    server.wait_until_live();
    assert_eq!(shown(&server, None), before);
}

fn what_is_frozen_stays_so_where_history_is_gone_until_the_loss_is_accepted(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "pending", 1), completed("b", 1)]);
    let before = left_of_what_is_there(rig);
    delete_records(rig, Topic::Optimizations, 0, 1);
    let mut server = Server::start(rig, &[]);
    let report = server.wait_for("why it stays frozen", says_the_remedy);
    assert_eq!(report.state, "frozen");
    let gone = format!("{}/0 from 0 to 1", rig.settings.topics.get(Topic::Optimizations));
    let why = report.last_error.expect("it is said");
    for part in [gone.as_str(), "optview rebuild --accept-loss", "is shown as it was left"] {
        assert!(why.contains(part), "no {part}: {why}");
    }
    assert!(server.log().contains(&gone), "it is in the log");
    assert_eq!(server.get_admin("/healthz").body["last_error"], why);
    assert_eq!(shown(&server, Some("frozen")), before);
    assert!(server.is_running());
    let refused = run(rig, &["rebuild"]);
    assert!(refused.code == Some(1) && refused.error.contains(&gone), "{refused:?}");
    let lost = run(rig, &["rebuild", "--accept-loss", "--json"]);
    assert_eq!((lost.code, &lost.json["cut_over"]), (Some(0), &Value::from(true)), "{lost:?}");
    assert!(lost.json["not_compared"].is_string(), "{lost:?}");
    assert_eq!(server.get("/optimizations/a").status, 404);
    assert_eq!(server.get("/optimizations/b").body["status"], "succeeded");
    assert_eq!(server.wait_until_live().last_error, None);
}

fn a_topic_made_anew_does_not_take_the_frozen_views_away_unasked(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "pending", 1), completed("a", 2)]);
    let before = left_of_what_is_there(rig);
    delete_topic(rig, Topic::Jobs);
    rig.create_topics(1);
    for records in [&[job("b", "pending", 1)][..], &[job("b", "processing", 2), job("b", "waiting", 3)]] {
        put(rig, records);
        let server = Server::start(rig, &[]);
        let report = server.wait_for("why it stays frozen", says_the_remedy);
        let why = report.last_error.expect("it is said");
        // The topic is too short at first, and then has other records.
        let is_said = why.contains("0 from 1 to 2") || why.contains("the topic was deleted and created again");
        assert!(is_said, "{why}");
        assert_eq!(shown(&server, Some("frozen")), before);
        assert!(server.stop().0.success());
    }
    let server = Server::start(rig, &[]);
    server.wait_for("why it stays frozen", says_the_remedy);
    wait_until("nothing is under way", || {
        let ran = run(rig, &["rebuild", "--accept-loss", "--json"]);
        assert!(ran.code == Some(0) || ran.error.contains("is being made already"), "{ran:?}");
        (ran.code == Some(0)).then_some(())
    });
    assert_eq!(server.wait_until_live().last_error, None);
    assert_eq!(server.get("/optimizations/a").body["status"], "queued");
    assert_eq!(server.get("/optimizations/b").body["status"], "running");
}

fn the_version_before_returns_to_its_own_generation_by_itself(rig: &Rig) {
    rig.create_topics(1);
    put(rig, &[created("a"), created("b"), job("a", "pending", 1)]);
    let server = Server::start(rig, &[]);
    server.wait_until_all_is_kept(rig);
    check_rebuilt(&run(rig, &["rebuild", "--json"]), true);
    put(rig, &[completed("a", 2)]);
    wait_for_status(&server, "a", "succeeded");
    server.wait_until_all_is_kept(rig);
    let before = shown(&server, None);
    assert!(server.stop().0.success());
    // To the version before, the live one is what a newer one has folded.
    fold_otherwise(&generation(rig, "000002"));
    let server = Server::start(rig, &[]);
    server.wait_for("live", |report| report.state == "live" && report.generation == 1);
    assert_eq!(shown(&server, None), before, "it has caught up first");
    assert_eq!((generations(rig).len(), current(rig).as_str()), (2, "000001"));
}
