//! Reads that wait: for a view that is not there yet, for one that the client does not have, and for a position.

mod positions;

use std::time::Duration;

use optview::status::State;
use serde_json::json;
use tokio::time::Instant;

use crate::live_instance::{FOREIGN, Generation, Instance, OWN, SOON, deleted, of_organization, view};

const MISSING_WAIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_view_that_comes_while_its_reader_waits_is_the_answer() {
    let instance = Instance::new(SOON);
    let waiting = instance.spawn_get("/optimizations/a%2Fb", &[OWN]).begun(&instance).await;
    instance.generation.write(vec![view("another", 1)]);
    instance.generation.write(vec![view("a/b", 1)]);
    let answer = waiting.answer().await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!("a/b")));
    assert_eq!(answer.header("x-optview-state"), "live");
    assert_eq!(instance.reader.changes().id_watches(), 0, "nothing is left of the wait");
}

#[tokio::test]
async fn transitions_of_an_optimization_that_comes_while_their_reader_waits_are_the_answer() {
    let instance = Instance::new(SOON);
    let waiting = instance.spawn_get("/optimizations/a%2Fb/transitions", &[OWN]).begun(&instance).await;
    instance.generation.write(vec![view("a/b", 1)]);
    let answer = waiting.answer().await;
    assert_eq!((answer.status, answer.json()), (200, json!({"transitions": []})));
    assert_eq!(instance.reader.changes().id_watches(), 0, "nothing is left of the wait");
}

/// A client writes and reads at once: whichever comes first, it is never told that there is no such view.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_creates_and_reads_at_once_never_gets_a_404() {
    let instance = Instance::new(SOON);
    for number in 0..1_000 {
        let id = format!("race-{number}");
        let waiting = instance.spawn_get(&format!("/optimizations/{id}"), &[OWN]);
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
        instance.generation.write(vec![view(&id, 1)]);
        let answer = waiting.answer().await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(id)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_takes_the_same_time_whatever_the_reason() {
    let instance = Instance::new(MISSING_WAIT);
    instance.generation.write(vec![view("known", 1), deleted("gone", 1)]);
    let mut bodies = Vec::new();
    let ids = [("unknown", OWN), ("gone", OWN), ("known", FOREIGN), ("unknown", FOREIGN)];
    let paths = ["", "/transitions", "/events"]
        .into_iter()
        .flat_map(|below| ids.map(|(id, key)| (format!("/optimizations/{id}{below}"), key)));
    for (path, key) in paths {
        let begun = Instant::now();
        let answer = instance.get(&path, &[key]).await;
        // Tokio's paused clock advances by itself while every task waits, and by no more than that.
        assert_eq!((answer.status, begun.elapsed()), (404, MISSING_WAIT), "{path}");
        bodies.push(answer.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    let begun = Instant::now();
    for path in ["/optimizations/known", "/optimizations/known/transitions"] {
        assert_eq!(instance.get(path, &[OWN]).await.status, 200);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "what is there does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_caller_may_not_see_does_not_shorten_the_wait() {
    let instance = Instance::new(MISSING_WAIT);
    let begun = Instant::now();
    let waiting = instance.spawn_get("/optimizations/theirs", &[FOREIGN]).begun(&instance).await;
    instance.generation.write(vec![view("theirs", 1)]);
    instance.generation.write(vec![deleted("theirs", 2)]);
    assert_eq!(waiting.answer().await.status, 404);
    assert_eq!(begun.elapsed(), MISSING_WAIT);
    let waiting = instance.spawn_get("/optimizations/moves", &[FOREIGN]).begun(&instance).await;
    instance.generation.write(vec![of_organization("org-2", "moves", 1)]);
    assert_eq!(waiting.answer().await.status, 200, "what they may see does");
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_where_nothing_can_come() {
    for (state, is_closed, wait) in [
        (State::Frozen, false, SOON),
        (State::Stopping, false, SOON),
        (State::Live, true, SOON),
        (State::Live, false, Duration::ZERO),
    ] {
        let instance = Instance::new(wait);
        instance.generation.status.set_state(state);
        if is_closed {
            instance.reader.changes().close();
        }
        let begun = Instant::now();
        let answer = instance.get("/optimizations/unknown", &[OWN]).await;
        assert_eq!(answer.status, if state == State::Live { 404 } else { 503 });
        assert_eq!(begun.elapsed(), Duration::ZERO, "{state:?}");
        let long = format!("/optimizations/{}", "x".repeat(1025));
        instance.get(&long, &[OWN]).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "no id is so long");
    }
    // While catching up it can come, though not finding it proves nothing.
    let instance = Instance::new(MISSING_WAIT);
    instance.generation.status.set_state(State::CatchingUp);
    let begun = Instant::now();
    assert_eq!(instance.get("/optimizations/unknown", &[OWN]).await.status, 503);
    assert_eq!(begun.elapsed(), MISSING_WAIT);
}

#[tokio::test]
async fn who_waits_is_answered_by_the_generation_that_has_come_meanwhile() {
    let mut instance = Instance::new(SOON);
    let waiting = instance.spawn_get("/optimizations/a", &[OWN]).begun(&instance).await;
    let other = Generation::new();
    other.write(vec![view("a", 1)]);
    let _before = instance.switch_to(other);
    assert_eq!(waiting.answer().await.status, 200);
    let waiting = instance.spawn_get("/optimizations/b", &[OWN]).begun(&instance).await;
    instance.generation.write(vec![view("b", 1)]);
    assert_eq!(waiting.answer().await.status, 200, "its changes wake, too");
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_change() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write(vec![view("a", 1)]);
    let first = instance.get("/optimizations/a?wait=30s", &[OWN]).await;
    assert_eq!(first.status, 200, "the client has nothing yet");
    let etag: &'static str = first.header("etag").to_owned().leak();
    let headers: &'static [_] = vec![OWN, ("if-none-match", etag)].leak();
    for (change, expected) in [(view("a", 2), 200), (deleted("a", 3), 404)] {
        let waiting = instance.spawn_get(
            "/optimizations/a?wait=30s",
            if expected == 200 {
                headers
            } else {
                let etag = instance.get("/optimizations/a", &[OWN]).await.header("etag").to_owned().leak() as &str;
                vec![OWN, ("if-none-match", etag)].leak()
            },
        );
        let waiting = waiting.begun(&instance).await;
        instance.generation.write(vec![view("another", 1)]);
        instance.generation.write(vec![change]);
        assert_eq!(waiting.answer().await.status, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_without_a_change_is_a_304_when_its_time_is_over_or_the_process_stops() {
    let instance = Instance::new(Duration::ZERO);
    instance.generation.write(vec![view("a", 1)]);
    let etag = instance.get("/optimizations/a", &[OWN]).await.header("etag").to_owned();
    let headers = [OWN, ("if-none-match", &*etag)];
    for (wait, seconds) in [("30s", 30), ("7", 7), ("0s", 0)] {
        let begun = Instant::now();
        let answer = instance.get(&format!("/optimizations/a?wait={wait}"), &headers).await;
        assert_eq!((answer.status, begun.elapsed()), (304, Duration::from_secs(seconds)), "{wait}");
    }
    let begun = Instant::now();
    let headers: &'static [_] = vec![OWN, ("if-none-match", etag.leak())].leak();
    let waiting = instance.spawn_get("/optimizations/a?wait=30s", headers).begun(&instance).await;
    instance.reader.changes().close();
    assert_eq!((waiting.answer().await.status, begun.elapsed()), (304, Duration::ZERO));
    assert_eq!(instance.get("/optimizations/a?wait=1h", &[OWN]).await.status, 422);
}

#[tokio::test]
async fn a_wrong_key_is_one_failed_attempt_whatever_the_request_waits_for() {
    let instance = Instance::new(Duration::ZERO);
    for number in 0..100 {
        let answer = instance.get("/optimizations/a?after=optimizations:0:7", &[("x-api-key", "wrong")]).await;
        assert_eq!(answer.status, 401, "attempt {number}");
    }
}

#[tokio::test]
async fn a_parameter_is_known_by_its_name_and_not_by_how_that_is_written() {
    let instance = Instance::new(Duration::ZERO);
    for query in ["%61fter=optimizations", "after", "a%66ter=optimizations:0:7&timeout=0"] {
        let answer = instance.get(&format!("/optimizations/a?{query}"), &[OWN]).await;
        let expected = if query.ends_with("=0") { 504 } else { 422 };
        assert_eq!(answer.status, expected, "{query}");
    }
}

/// A `wiat=30s` that changes nothing would look as if nothing had changed for 30 s.
#[tokio::test(start_paused = true)]
async fn a_parameter_that_a_view_does_not_know_is_named() {
    let instance = Instance::new(Duration::from_secs(1));
    instance.generation.write(vec![view("a", 1)]);
    for (path, expected) in [
        ("/optimizations/a?wiat=30s&wait=0", Some("wiat")),
        ("/optimizations/a?wait=0&after=optimizations:0:0&timeout=0&strict=false", None),
        ("/optimizations/a", None),
        ("/optimizations/unknown?wiat=30s", Some("wiat")),
        ("/optimizations/a/transitions?wait=1s", Some("wait")),
    ] {
        let answer = instance.get(path, &[OWN]).await;
        let named = answer.headers.get("x-optview-ignored").map(|value| value.to_str().unwrap());
        assert_eq!(named, expected, "{path}: {}", answer.status);
    }
    let stream = instance.stream("/optimizations/a/events?initial=true", &[OWN]).await;
    assert_eq!(stream.headers["x-optview-ignored"], "initial");
}
