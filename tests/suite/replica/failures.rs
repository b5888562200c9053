//! The conduct of a replica when its publisher dies, its topic is not what it was, a record cannot be read, or its directory is another's.

mod reported_reading;
mod versions;

use std::time::Duration;

use bytes::Bytes;
use optview::codec::published_view::ViewsFormat;
use optview::source::views_topic::{ViewsRecord, partition_of};
use optview::status::State;
use optview::store;

use super::topic::MemoryTopic;
use super::world::{self, PublishingInstance, ReplicaInstance, Site};
use super::{check_equal, id_of, optimization, path_of, version_of};
use crate::fixtures::{self, Random};
use crate::live_instance;

/// An instance that has published some views, and a replica of them.
fn published(topic: &MemoryTopic) -> (PublishingInstance, ReplicaInstance) {
    let mut instance = PublishingInstance::new(topic, ViewsFormat::Json);
    let mut replica = ReplicaInstance::new(topic);
    let mut random = Random(7);
    for id in 0..9 {
        instance.write(vec![optimization(id, 1, &mut random)]);
    }
    instance.publish_all(replica.now());
    replica.settle();
    (instance, replica)
}

/// Returns the path of a view that callers of `own` may see.
async fn own_path(site: &Site) -> String {
    for id in 0..9 {
        if site.get(&path_of(id), "own").await.status == 200 {
            return path_of(id);
        }
    }
    panic!("none of the views is of org-1");
}

/// A record of a view that a publisher of this version would not write.
fn foreign(id: u64, version: u64, value: &str) -> ViewsRecord {
    let key = id_of(id).into_bytes();
    let header = |name, value: String| (name, Bytes::from(value));
    ViewsRecord {
        partition: partition_of(&key, 3),
        key,
        value: Some(value.as_bytes().to_vec()),
        headers: vec![
            header("optview-version", version.to_string()),
            header("content-type", "application/json".to_owned()),
        ],
    }
}

#[tokio::test]
async fn the_age_of_a_replica_grows_while_nobody_publishes() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    let fresh = replica.report();
    assert!(fresh.lag_seconds.is_some_and(|lag| lag < 5.0), "{:?}", fresh.lag_seconds);
    assert_eq!((fresh.state, fresh.lag_records, fresh.reads_from), (State::Live, Some(0), "views"));
    replica.pass(Duration::from_secs(29));
    replica.step();
    assert_eq!(replica.report().state, State::Live);
    replica.pass(Duration::from_secs(571));
    replica.step();
    let old = replica.report();
    assert_eq!(old.state, State::Stale);
    assert!(old.lag_seconds.is_some_and(|lag| lag > 599.0), "{:?}", old.lag_seconds);
    assert!(old.last_error.unwrap().contains("its publisher is dead, behind, or cut off"));
    // A publisher that takes over knows nothing newer yet: the views do not become younger by its first mark.
    instance.kill_publisher(ViewsFormat::Json);
    let before = instance.site.reader.get().unwrap().visible_position().text().to_owned();
    instance.publish_step(replica.now());
    while replica.step() > 0 {}
    replica.pass(Duration::from_secs(1));
    replica.step();
    let taken_over = replica.report();
    let is_marked = taken_over.replica.as_ref().unwrap().publisher != old.replica.unwrap().publisher;
    if is_marked {
        assert!(taken_over.lag_seconds.is_some_and(|lag| lag > 599.0), "{:?}", taken_over.lag_seconds);
    }
    instance.publish_all(replica.now());
    replica.settle();
    let answer = replica.site.get(&path_of(1), "own").await;
    assert_eq!(answer.header("x-optview-position"), before);
    assert!(replica.report().lag_seconds.is_some_and(|lag| lag < 5.0));
}

#[test]
fn an_instance_that_does_not_know_how_old_it_is_makes_no_replica_younger() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    replica.pass(Duration::from_secs(100));
    // It goes on to write marks, and says in each what it said before.
    instance.publish_all_as_of(replica.now(), Some(Duration::from_secs(80)));
    while replica.step() > 0 {}
    replica.pass(Duration::from_secs(1));
    replica.step();
    let behind = replica.report();
    assert_eq!(behind.state, State::Stale);
    assert!(behind.lag_seconds.is_some_and(|lag| (80.0..90.0).contains(&lag)), "{:?}", behind.lag_seconds);
    instance.publish_all_as_of(replica.now(), None);
    while replica.step() > 0 {}
    replica.pass(Duration::from_secs(1));
    replica.step();
    assert!(replica.report().lag_seconds.is_some_and(|lag| lag > 80.0));
}

#[tokio::test]
async fn a_replica_goes_on_where_it_was_and_serves_while_no_broker_answers() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    let path = own_path(&instance.site).await;
    let position = replica.site.get(&path, "own").await.header("x-optview-position").to_owned();
    assert!(!position.is_empty());
    replica.pass(Duration::from_millis(20));
    replica.step();
    replica.stop(false);
    let given = topic.given();
    topic.set_away(true);
    replica.start();
    replica.pass(Duration::from_secs(60));
    let away = replica.step_until("it is known why", |report| report.last_error.is_some());
    assert_eq!(away.state, State::Stale, "it was complete once");
    assert!(away.lag_seconds.is_some_and(|lag| lag > 59.0), "{:?}", away.lag_seconds);
    assert!(away.last_error.unwrap().contains("all brokers are down"));
    let answer = replica.site.get(&path, "own").await;
    assert_eq!((answer.status, answer.header("x-optview-position")), (200, position.as_str()));
    assert_eq!(answer.header("x-optview-state"), "stale");
    assert_eq!(replica.site.get("/optimizations", "own").await.status, 200);
    assert_eq!(replica.site.get("/optimizations/unknown", "own").await.status, 503);
    topic.set_away(false);
    instance.publish_all(replica.now());
    replica.settle();
    assert!(topic.given() - given < 30, "{} records were read again", topic.given() - given);
    assert_eq!(replica.site.get("/optimizations/unknown", "own").await.status, 404);
    check_equal(&instance.site, &replica.site).await;
}

#[tokio::test]
async fn a_replica_that_has_not_read_all_gives_no_lists_and_denies_nothing() {
    let topic = MemoryTopic::new(3);
    let mut instance = PublishingInstance::new(&topic, ViewsFormat::Json);
    let mut random = Random(7);
    for id in 0..9 {
        instance.write(vec![optimization(id, 1, &mut random)]);
    }
    topic.set_missing(true);
    let mut replica = ReplicaInstance::new(&topic);
    replica.step();
    replica.pass(Duration::from_secs(1));
    replica.step();
    let missing = replica.step_until("it is known why", |report| report.last_error.is_some());
    assert_eq!(missing.state, State::Starting);
    assert!(missing.last_error.unwrap().contains("there is no topic `views`: is its name right?"));
    assert_eq!(replica.site.get("/optimizations", "own").await.status, 503);
    topic.set_missing(false);
    // All views are there, and no mark says what they cover.
    instance.publish_views(replica.now());
    for _ in 0..50 {
        replica.step();
        replica.pass(Duration::from_millis(100));
        assert_ne!(replica.report().state, State::Live);
    }
    let path = own_path(&instance.site).await;
    assert_eq!(replica.site.get(&path, "own").await.status, 200, "what is there is shown");
    assert_eq!(replica.site.get("/optimizations", "own").await.status, 503);
    assert_eq!(replica.site.get("/optimizations/unknown", "own").await.status, 503);
    instance.publish_all(replica.now());
    replica.settle();
    check_equal(&instance.site, &replica.site).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_shown_is_counted_and_the_instance_is_not_current_until_it_is_replaced() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    let (shown, version) = (replica.site.get(&path_of(3), "own").await, 1_000_000);
    topic.put(foreign(3, version, r#"{"id":"o 3/é","a_new_field":1}"#));
    let report = replica.step_until("it is noticed", |report| report.state == State::Stale);
    let source = report.replica.unwrap();
    assert_eq!((source.unreadable_views, source.unreadable[0].id.as_str()), (1, id_of(3).as_str()));
    assert!(source.unreadable[0].reason.contains("unknown field"), "{:?}", source.unreadable);
    assert!(report.last_error.unwrap().contains("cannot be shown"));
    assert_eq!(replica.site.get(&path_of(3), "own").await.body, shown.body, "the view is as it was");
    assert_eq!(replica.site.get("/optimizations/unknown", "own").await.status, 503, "it may be that one");
    // It is not forgotten by a restart.
    replica.pass(Duration::from_millis(20));
    replica.step();
    replica.stop(false);
    replica.start();
    for _ in 0..20 {
        replica.step();
        replica.pass(Duration::from_millis(50));
    }
    assert_eq!(replica.report().replica.unwrap().unreadable_views, 1);
    assert_ne!(replica.report().state, State::Live);
    // Whoever publishes next mends it, as a publisher compares the topic with its views first.
    instance.kill_publisher(ViewsFormat::Flat);
    instance.publish_all(replica.now());
    replica.settle();
    check_equal(&instance.site, &replica.site).await;
}

#[tokio::test]
async fn a_topic_that_was_created_again_makes_the_store_anew_and_no_empty_list_is_called_current() {
    for removes_records in [false, true] {
        let topic = MemoryTopic::new(3);
        let (mut instance, mut replica) = published(&topic);
        let before = replica.site.get("/optimizations", "own").await;
        // While it is down, so that it does not see the records before.
        match removes_records {
            false => topic.recreate(),
            true => {
                instance.write(vec![optimization(1, 2, &mut Random(5))]);
                instance.publish_all(replica.now());
                topic.remove_records();
            }
        }
        let report = replica.step_until("it is noticed", |report| report.state == State::Stale);
        assert!(report.last_error.unwrap().contains("made anew"), "{removes_records}");
        for _ in 0..20 {
            replica.step();
            replica.pass(Duration::from_millis(20));
            let list = replica.site.get("/optimizations", "own").await;
            assert_eq!((list.status, &list.body), (200, &before.body), "the old views are shown");
            assert_eq!(list.header("x-optview-state"), "stale");
        }
        // The process ends in the middle of it, and goes on.
        replica.stop(true);
        replica.start();
        assert_eq!(replica.site.get("/optimizations", "own").await.body, before.body);
        instance.kill_publisher(ViewsFormat::Json);
        instance.write(vec![optimization(2, 2, &mut Random(3))]);
        instance.publish_all(replica.now());
        replica.settle();
        check_equal(&instance.site, &replica.site).await;
        replica.stop(false);
        replica.start();
        instance.publish_all(replica.now());
        replica.settle();
        check_equal(&instance.site, &replica.site).await;
    }
}

#[tokio::test]
async fn a_replica_that_was_away_for_longer_than_nulls_are_kept_shows_no_view_that_is_gone() {
    for is_stopped in [true, false] {
        check_that_nulls_are_not_missed(is_stopped).await;
    }
}

/// The replica is stopped, or no broker answers it, while the null of a view comes and is compacted away.
async fn check_that_nulls_are_not_missed(is_stopped: bool) {
    let topic = MemoryTopic::new(3);
    topic.set_retention(Duration::from_secs(600));
    let (mut instance, mut replica) = published(&topic);
    let gone = path_of(1);
    let key = if replica.site.get(&gone, "own").await.status == 200 { "own" } else { "foreign" };
    replica.pass(Duration::from_millis(20));
    replica.step();
    match is_stopped {
        true => replica.stop(false),
        false => topic.set_away(true),
    }
    instance.write(vec![live_instance::deleted(&id_of(1), 2)]);
    instance.publish_all(replica.now());
    assert!(topic.last(id_of(1).as_bytes()).unwrap().value.is_none());
    topic.compact(false);
    // It comes after the last few records, which are never compacted.
    for id in 2..9 {
        instance.write(vec![optimization(id, 3, &mut Random(id))]);
        instance.publish_all(replica.now());
    }
    topic.compact(true);
    assert_eq!(topic.last(id_of(1).as_bytes()), None, "nothing of it is left");
    if is_stopped {
        replica.start();
    }
    assert_eq!(replica.site.get(&gone, key).await.status, 200, "it does not know yet");
    for _ in 0..601 {
        replica.pass(Duration::from_secs(1));
        if !is_stopped {
            replica.step();
        }
    }
    topic.set_away(false);
    // If it goes on, the topic may be read to its end before the cluster has described it.
    topic.set_mute(!is_stopped);
    instance.publish_all(replica.now());
    replica.step_until("it is made anew", |report| {
        assert_ne!(report.state, State::Live, "it may have missed something");
        report.last_error.as_ref().is_some_and(|error| error.contains("made anew"))
    });
    topic.set_mute(false);
    replica.settle();
    assert_eq!(replica.site.get(&gone, key).await.status, 404);
    check_equal(&instance.site, &replica.site).await;
}

#[test]
fn a_store_is_of_events_or_of_views_and_says_what_to_do() {
    let topic = MemoryTopic::new(3);
    let (_instance, mut replica) = published(&topic);
    replica.stop(false);
    let begin = std::time::Instant::now();
    let refused = loop {
        match store::open(replica.directory(), fixtures::CACHE_BYTES) {
            Err(error) if error.to_string().contains("held by another") && begin.elapsed().as_secs() < 20 => {}
            opened => break opened.err().expect("it is no store of events"),
        }
    };
    assert!(!refused.is_damage());
    let text = refused.to_string();
    assert!(text.contains("is made of a topic of views") && text.contains("--from-views"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    fixtures::open(directory.path()).writer.finish().unwrap();
    let error = world::open(directory.path(), &topic, &replica.site).err().expect("it is no store of views");
    let text = format!("{error:#}");
    assert!(text.contains("is made of events") && text.contains("without --from-views"), "{text}");
    // Nothing of either was changed.
    fixtures::open(directory.path()).writer.finish().unwrap();
    replica.start();
    replica.settle();
}

#[tokio::test]
async fn what_needs_the_events_is_refused_with_the_kind_of_the_instance() {
    let topic = MemoryTopic::new(3);
    let (instance, replica) = published(&topic);
    let position = replica.site.get(&path_of(1), "own").await.header("x-optview-position").to_owned();
    for path in [
        format!("{}/transitions", path_of(1)),
        "/optimizations/unknown/transitions".to_owned(),
        format!("{}?after={position}&strict=true", path_of(1)),
    ] {
        let answer = replica.site.get(&path, "own").await;
        let body = answer.json();
        assert_eq!(answer.status, 501, "{path}: {body}");
        assert_eq!(
            (body["error_code"].as_str(), body["detail"]["reads_from"].as_str()),
            (Some("NOT_OFFERED"), Some("views")),
            "{body}"
        );
        assert!(instance.site.get(&path, "own").await.status < 500);
    }
    let waited = replica.site.get(&format!("/optimizations?after={position}"), "own").await;
    assert_eq!((waited.status, waited.header("x-optview-after-outcome")), (200, ""), "nobody knows");
    let beyond = replica.site.get("/optimizations?after=optimizations:0:99&timeout=10ms", "own").await;
    assert_eq!(beyond.status, 504);
}

#[tokio::test]
async fn a_topic_that_no_mark_can_ever_cover_is_refused_at_once() {
    let topic = MemoryTopic::new(3);
    let mut early = ReplicaInstance::new(&topic);
    let status = async |replica: &ReplicaInstance, place: &str| {
        let answer = replica.site.get(&format!("/optimizations/x?after={place}&timeout=0"), "own").await;
        (answer.status, answer.json()["message"].as_str().unwrap().to_owned())
    };
    early.step();
    assert_eq!(status(&early, "optimisations:0:1").await.0, 504, "no mark has named the topics yet");
    let (_instance, replica) = published(&topic);
    for place in ["optimizations:0:99", "optimizations:7:0", "jobs:0:0"] {
        assert_eq!(status(&replica, place).await.0, 504, "{place} may come");
    }
    let (found, message) = status(&replica, "optimizations:0:1,optimisations:0:1").await;
    assert_eq!(found, 422, "{message}");
    assert_eq!(
        message,
        "after: the views are made from jobs, multistart-runs, optimizations, not from optimisations"
    );
}
