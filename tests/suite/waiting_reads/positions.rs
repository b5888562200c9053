//! Answers that wait for a position, and the position that each answer has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use optview::status::{FrozenAt, State};
use optview::store::OpenStore;
use tokio::time::Instant;

use crate::fixtures;
use crate::live_instance::{Generation, Instance, OWN, SOON, view};

#[tokio::test]
async fn an_answer_after_a_record_includes_it() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write_at(1, vec![view("a", 1)]);
    let first = instance.get("/optimizations/a", &[OWN]).await;
    assert_eq!(first.header("x-optview-position"), "optimizations:0:0");
    assert_eq!(instance.get("/optimizations", &[OWN]).await.header("x-optview-position"), "optimizations:0:0");
    for path in ["/optimizations/a?after=optimizations:0:1", "/optimizations?after=optimizations:0:1"] {
        let waiting = instance.spawn_get(&format!("{path}&timeout=20s"), &[OWN]);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // A view that is there already is not enough, and neither is another position.
        instance.generation.write(vec![view("b", 1)]);
        instance.generation.write_at(2, vec![view("a", 2)]);
        let answer = waiting.answer().await;
        assert_eq!((answer.status, answer.header("x-optview-after-outcome")), (200, "applied"), "{path}");
        assert_eq!(answer.header("x-optview-position"), "optimizations:0:1");
        assert!(String::from_utf8_lossy(&answer.body).contains("\"name\":\"2\""));
    }
    let headers = [OWN, ("x-optview-after", "optimizations:0:1")];
    assert_eq!(instance.get("/optimizations/a", &headers).await.header("x-optview-after-outcome"), "applied");
}

/// Whoever passes the position of an answer on as `after` gets no less than it showed, and what it claims it shows.
#[test]
fn no_answer_claims_a_position_beyond_what_it_shows() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write_at(1, vec![view("a", 1)]);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let is_over = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let runtime = runtime();
            for path in ["/optimizations/a", "/optimizations"].into_iter().cycle() {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                let answer = runtime.block_on(instance.get(path, &[OWN]));
                let claimed = answer.header("x-optview-position").strip_prefix("optimizations:0:").unwrap();
                let body = answer.json();
                let name = body["name"].as_str().or(body["optimizations"][0]["name"].as_str()).unwrap();
                let (shown, claimed) = (name.parse::<u64>().unwrap(), claimed.parse::<u64>().unwrap() + 1);
                assert!(shown >= claimed, "{path} shows {shown} and claims {claimed}");
                answers.fetch_add(1, Ordering::AcqRel);
            }
        });
        let mut next = 1;
        while !reading.is_finished() && (next < 2_000 || answers.load(Ordering::Acquire) < 2_000) {
            next += 1;
            instance.generation.write_at(next, vec![view("a", next as u64)]);
        }
        is_over.store(true, Ordering::Release);
    });
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_come_in_time_is_a_504_with_the_position() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write_at(7, vec![view("a", 1)]);
    for (query, seconds) in [("after=optimizations:0:7", 5), ("after=optimizations:1:0&timeout=2s", 2)] {
        let begun = Instant::now();
        let answer = instance.get(&format!("/optimizations/a?{query}"), &[OWN]).await;
        assert_eq!((answer.status, begun.elapsed()), (504, Duration::from_secs(seconds)), "{query}");
        assert_eq!(answer.json()["error_code"], "NOT_READ_IN_TIME");
        assert_eq!(answer.json()["detail"]["position"], "optimizations:0:6");
        assert_eq!(answer.header("x-optview-position"), "optimizations:0:6");
        assert_eq!(answer.header("x-optview-state"), "live");
    }
    // One that is stalled may go on any time, but hardly by itself.
    for (state, advice) in [
        (State::Live, "ask again, or wait for longer with `timeout`"),
        (State::Stalled, "ask another instance, or this one again later"),
    ] {
        instance.generation.status.set_state(state);
        let begun = Instant::now();
        let answer = instance.get("/optimizations/a?after=optimizations:0:7", &[OWN]).await;
        assert_eq!((answer.status, begun.elapsed()), (504, Duration::from_secs(5)), "{advice}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&format!(": {advice}")), "{message}");
    }
    let begun = Instant::now();
    assert_eq!(instance.get("/optimizations/a?after=optimizations:0:9", &[]).await.status, 401);
    assert_eq!(instance.get("/optimizations/a?after=x", &[OWN]).await.status, 422);
    assert_eq!(begun.elapsed(), Duration::ZERO, "what is refused does not wait");
}

#[tokio::test]
async fn every_answer_that_follows_from_what_was_read_has_the_position() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write_at(7, vec![view("a", 1)]);
    for (path, expected) in [
        ("/optimizations/a", 200),
        ("/optimizations/a/transitions", 200),
        ("/optimizations/a/events", 200),
        ("/optimizations", 200),
        ("/optimizations/events", 200),
        ("/projects/p/optimizations/summary", 200),
        ("/optimizations/unknown", 404),
        ("/optimizations/unknown/transitions", 404),
        ("/optimizations/unknown/events", 404),
        ("/optimizations?after=optimizations:0:7&timeout=0", 504),
    ] {
        let answer = instance.send(path, &[OWN]).await;
        let position = answer.headers().get("x-optview-position").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), position), (expected, Some("optimizations:0:6")), "{path}");
    }
}

#[tokio::test]
async fn an_instance_that_was_never_complete_says_how_far_it_is() {
    let mut instance = Instance::new(Duration::ZERO);
    let begun = Generation::catching_up();
    begun.write_at(7, vec![view("a", 1)]);
    let _before = instance.switch_to(begun);
    for (method, path) in [
        (Method::GET, "/optimizations"),
        (Method::GET, "/optimizations/events"),
        (Method::GET, "/projects/p/optimizations/summary"),
        (Method::POST, "/optimizations/statuses"),
        (Method::GET, "/optimizations/unknown"),
    ] {
        let answer = instance.send_as(method, path, &[OWN]).await;
        assert_eq!((answer.status, answer.header("x-optview-position")), (503, "optimizations:0:6"), "{path}");
    }
}

/// An instance that is frozen is so until its operators end that, and nothing that is waited for comes until then.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_ask_an_instance_again_that_reads_nothing() {
    let instance = Instance::new(SOON);
    instance.generation.write_at(7, vec![view("a", 1)]);
    for (asked_at, advice) in [
        (Some("2026-11-28T12:00:00Z"), "ask another instance"),
        (None, "ask another instance, or this one again later"),
    ] {
        let frozen_at =
            FrozenAt { format: 1, own_format: 1, asked_at: asked_at.map(str::to_owned), ..FrozenAt::default() };
        instance.generation.status.set_frozen(frozen_at);
        let begun = Instant::now();
        for (path, expected) in [
            ("/optimizations/unknown", 503),
            ("/optimizations/unknown/transitions", 503),
            ("/optimizations/unknown/events", 503),
            ("/optimizations/a?after=optimizations:0:7", 504),
        ] {
            let answer = instance.get(path, &[OWN]).await;
            assert_eq!((answer.status, begun.elapsed()), (expected, Duration::ZERO), "{path}");
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(message.contains("frozen") && message.ends_with(&format!(": {advice}")), "{path}: {message}");
            let is_retried = answer.headers.contains_key("retry-after");
            assert_eq!(is_retried, expected == 503 && asked_at.is_none(), "{path}");
        }
    }
}

/// A browser asks for its page's sake by OPTIONS, with the address of the request that it will send.
#[tokio::test(start_paused = true)]
async fn what_no_view_answers_waits_for_no_position() {
    let instance = Instance::new(Duration::ZERO);
    let begun = Instant::now();
    for (method, path, status) in [
        (Method::OPTIONS, "/optimizations/a", 204),
        (Method::OPTIONS, "/optimizations", 204),
        (Method::OPTIONS, "/optimizations/statuses", 204),
        (Method::DELETE, "/optimizations/a", 405),
        (Method::POST, "/optimizations", 405),
        (Method::GET, "/healthz", 200),
    ] {
        let answer = instance.send_as(method.clone(), &format!("{path}?after=optimizations:0:7"), &[OWN]).await;
        assert_eq!((answer.status, begun.elapsed()), (status, Duration::ZERO), "{method} {path}");
    }
    for (method, path) in [(Method::HEAD, "/optimizations/a"), (Method::POST, "/optimizations/statuses")] {
        let answer = instance.send_as(method, &format!("{path}?after=optimizations:0:7"), &[OWN]).await;
        assert_eq!(answer.status, 504, "{path}");
    }
}

#[tokio::test]
async fn a_record_that_no_view_shows_is_told_apart_from_one_that_was_applied() {
    let instance = Instance::new(Duration::ZERO);
    let names = ["optimizations", "jobs", "multistart-runs"].map(str::to_owned);
    let writer = &instance.generation.writer;
    writer.note_topics(&names).unwrap();
    writer.commit(fixtures::commit_of(Vec::new()), vec![fixtures::dead_letter(4, b"{".to_vec())], 1).unwrap();
    let parked = optview::domain::PartitionOffset { topic: optview::domain::Topic::Jobs, partition: 0, offset: 5 };
    writer.note_unlinked(parked, "job-1");
    fixtures::wait_until_written(writer, 1);
    let next = std::collections::BTreeMap::from([(optview::domain::NamedPartition::new("jobs", 0), 9)]);
    writer.note_position(std::sync::Arc::new(optview::domain::ReadPosition::new(next))).unwrap();
    let outcome = async |query: &str| {
        let answer = instance.get(&format!("/optimizations?{query}&timeout=20s"), &[OWN]).await;
        (answer.status, answer.header("x-optview-after-outcome").to_owned())
    };
    for (offset, expected) in [("3", "applied"), ("4", "dead_letter"), ("5", "parked")] {
        assert_eq!(outcome(&format!("after=jobs:0:{offset}")).await, (200, expected.to_owned()));
        let strict = instance.get(&format!("/optimizations?after=jobs:0:{offset}&strict=true"), &[OWN]).await;
        assert_eq!(strict.status, if expected == "applied" { 200 } else { 422 }, "{expected}");
        assert_eq!(strict.header("x-optview-position"), "jobs:0:8", "{expected}");
        assert_eq!(strict.header("x-optview-after-outcome"), expected);
    }
    assert_eq!(outcome("after=jobs:0:3&after=jobs:0:5,jobs:0:4").await.1, "dead_letter", "the worst");
    let answer = instance.get("/optimizations?after=job:0:3", &[OWN]).await;
    assert_eq!(answer.status, 422, "there is no such topic");
    // Once its job is linked, views show the record.
    let mut linking = view("a", 1);
    linking.link(&std::sync::Arc::from("job-1"), fixtures::stamp(1));
    writer.commit(fixtures::commit_of(vec![linking]), Vec::new(), 2).unwrap();
    fixtures::wait_until_written(writer, 2);
    assert_eq!(outcome("after=jobs:0:5&strict=true").await, (200, "applied".to_owned()));
}

/// After a restart the position is that of the last checkpoint, and a parked record is found by what it has set.
#[tokio::test]
async fn a_parked_record_is_found_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let job = fixtures::job(8);
    let parked = optview::domain::Commit {
        optimizations: Vec::new(),
        jobs: vec![("job-1".into(), Some(std::sync::Arc::new(job.clone())))],
    };
    writer.commit(parked, Vec::new(), 1).unwrap();
    writer.finish().unwrap();
    let reader = fixtures::open(directory.path()).writer.reader();
    let source = job.history()[0].stamp.source;
    assert!(reader.is_parked(source).unwrap());
    assert!(!reader.is_parked(optview::domain::PartitionOffset { offset: 7, ..source }).unwrap());
}
