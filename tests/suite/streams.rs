//! Streams of views: what a client sees of them is never older than what it has seen, and in the end what there is; a slow client gets
//! the newest state; nobody learns of what they may not see.

use std::collections::BTreeMap;
use std::time::Duration;

use optview::status::State;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::live_instance::{
    EventReader, FOREIGN, Generation, Instance, OWN, StreamEvent, deleted, of_organization, view,
};

const EVENTS: &str = "/optimizations/a/events";

fn instance() -> Instance {
    Instance::new(Duration::ZERO)
}

#[tokio::test]
async fn the_view_comes_first_and_then_each_new_one() {
    let instance = instance();
    instance.generation.write_at(1, vec![view("a", 1)]);
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-optview-state", "live"),
    ] {
        assert_eq!(stream.headers[name], value);
    }
    let first = stream.next().await.unwrap();
    assert_eq!(first.data, instance.get("/optimizations/a", &[OWN]).await.json(), "the bytes of a read by id");
    assert!(first.id.ends_with("@optimizations:0:0"), "{}", first.id);
    for next in 2..5 {
        instance.generation.write_at(next, vec![view("a", next as u64), view("b", next as u64)]);
        assert_eq!(stream.next_version().await, next as u64);
    }
    assert!(stream.is_silent().await);
    instance.generation.write(vec![deleted("a", 9)]);
    let last = stream.next().await.unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("gone", &json!({})));
    assert_eq!(stream.next().await, None, "the stream is over");
    assert_eq!(instance.reader.changes().id_watches(), 0);
}

#[tokio::test]
async fn a_slow_client_gets_the_newest_state_and_nothing_piles_up() {
    let instance = instance();
    instance.generation.write(vec![view("a", 1)]);
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    for number in 2..100 {
        instance.generation.write(vec![view("a", number)]);
    }
    assert_eq!(stream.next_version().await, 99);
    assert!(stream.is_silent().await);
}

#[tokio::test]
async fn a_client_that_comes_again_gets_what_it_has_not_seen() {
    let instance = instance();
    instance.generation.write_at(1, vec![view("a", 1)]);
    let id = instance.stream(EVENTS, &[OWN]).await.next().await.unwrap().id;
    let mut again = instance.stream(EVENTS, &[OWN, ("last-event-id", &id)]).await;
    assert!(again.is_silent().await, "it has the view");
    instance.generation.write_at(2, vec![view("a", 2)]);
    assert_eq!(again.next_version().await, 2);
    let mut again = instance.stream(EVENTS, &[OWN, ("last-event-id", &id)]).await;
    assert_eq!(again.next_version().await, 2, "what changed in between");
    let last_offset = format!("1@optimizations:0:{}", i64::MAX);
    let mut beyond = instance.stream(EVENTS, &[OWN, ("last-event-id", &last_offset)]).await;
    assert!(beyond.is_silent().await, "no view is so new");
    for nonsense in ["x", "@", "1@x", "0000000000000000@"] {
        let mut stream = instance.stream(EVENTS, &[OWN, ("last-event-id", nonsense)]).await;
        assert_eq!(stream.next_version().await, 2, "{nonsense}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_behind_shows_nothing_until_it_has_come_to_what_the_client_has_seen() {
    let ahead = instance();
    ahead.generation.write_at(5, vec![view("a", 5)]);
    let id = ahead.stream(EVENTS, &[OWN]).await.next().await.unwrap().id;
    let behind = instance();
    behind.generation.status.set_state(State::CatchingUp);
    behind.generation.write_at(3, vec![view("a", 3)]);
    let mut stream = behind.stream(EVENTS, &[OWN, ("last-event-id", &id)]).await;
    assert!(stream.is_silent().await);
    behind.generation.write_at(4, vec![view("a", 4)]);
    assert!(stream.is_silent().await);
    behind.generation.write_at(5, vec![view("a", 5)]);
    assert!(stream.is_silent().await, "it is the one that the client has");
    behind.generation.write_at(6, vec![view("a", 6)]);
    assert_eq!(stream.next_version().await, 6);
    // Where a live instance never comes there, as where the topics were made anew, that is reported, after a while.
    behind.generation.status.set_state(State::Live);
    let beyond = id.replace(":4", ":99");
    let mut stream = behind.stream(EVENTS, &[OWN, ("last-event-id", &beyond)]).await;
    assert_eq!(stream.next().await.unwrap().name, "reset");
    assert_eq!(stream.next_version().await, 6);
}

#[tokio::test]
async fn a_frozen_generation_that_is_older_shows_nothing_to_whoever_has_seen_more() {
    let mut instance = instance();
    instance.generation.write_at(5, vec![view("a", 5)]);
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    assert_eq!(stream.next_version().await, 5);
    let older = Generation::new();
    older.write_at(2, vec![view("a", 2)]);
    older.status.set_state(State::Frozen);
    let _before = instance.switch_to(older);
    assert_eq!(stream.next_of_all().await.unwrap().name, "state");
    assert_eq!(stream.next_of_all().await.unwrap().data, json!({"state": "frozen"}));
    assert!(stream.is_silent().await);
    let mut fresh = instance.stream(EVENTS, &[OWN]).await;
    assert_eq!(fresh.next_version().await, 2, "who has seen nothing gets what there is");
    let newer = Generation::new();
    newer.write_at(7, vec![view("a", 7)]);
    let _older = instance.switch_to(newer);
    for stream in [&mut stream, &mut fresh] {
        assert_eq!(stream.next_version().await, 7);
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_process_stops_or_its_caller_may_not_see_the_view_any_more() {
    let instance = instance();
    instance.generation.write(vec![view("a", 1), view("b", 1)]);
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    instance.generation.write(vec![of_organization("org-2", "a", 2)]);
    assert_eq!(stream.next().await.unwrap().name, "gone");
    assert_eq!(stream.next().await, None);
    assert_eq!(instance.get(EVENTS, &[OWN]).await.status, 404);
    assert_eq!(instance.get(EVENTS, &[]).await.status, 401);
    let mut one = instance.stream("/optimizations/b/events", &[OWN]).await;
    let mut list = instance.stream("/optimizations/events", &[OWN]).await;
    assert_eq!(one.next_version().await, 1);
    instance.reader.changes().close();
    assert_eq!(one.next().await, None);
    assert_eq!(list.next().await.map(|event| event.name), Some("reset".to_owned()));
    assert_eq!(list.next().await, None);
}

#[tokio::test]
async fn a_stream_of_a_view_that_is_not_there_yet_waits_for_it() {
    let instance = Instance::new(Duration::from_secs(20));
    let waiting = instance.spawn_get(EVENTS, &[OWN]).begun(&instance).await;
    instance.generation.write(vec![view("a", 1)]);
    // The body of a stream ends with the process.
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    instance.reader.changes().close();
    let answer = waiting.answer().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
}

/// The list as a client knows it from the events: its views by id, and whether they are all of them by now.
#[derive(Default)]
struct KnownList(BTreeMap<String, Value>, bool);

impl KnownList {
    fn take(&mut self, event: &StreamEvent) {
        match event.name.as_str() {
            "" => drop(self.0.insert(event.data["id"].as_str().unwrap().to_owned(), event.data.clone())),
            "removed" => drop(self.0.remove(event.data["id"].as_str().unwrap())),
            "reset" => *self = KnownList::default(),
            "initial" => self.1 = true,
            other => panic!("{other}: {event:?}"),
        }
    }

    async fn take_until(&mut self, stream: &mut EventReader, name: &str) {
        loop {
            let event = stream.next().await.expect("an event");
            self.take(&event);
            if event.name == name || event.data["id"] == name {
                return;
            }
        }
    }
}

async fn listed(instance: &Instance, path: &str, key: (&str, &str)) -> BTreeMap<String, Value> {
    let page = instance.get(path, &[key]).await.json();
    let views = page["optimizations"].as_array().unwrap().iter();
    views.map(|view| (view["id"].as_str().unwrap().to_owned(), view.clone())).collect()
}

#[tokio::test]
async fn a_list_is_followed_from_what_matches_now() {
    let instance = instance();
    instance.generation.write(vec![view("a", 1), view("b", 1), of_organization("org-2", "c", 1)]);
    let mut stream = instance.stream("/optimizations/events?initial=true", &[OWN]).await;
    let mut known = KnownList::default();
    let mut only_new = instance.stream("/optimizations/events", &[OWN]).await;
    let mut others = instance.stream("/optimizations/events?project_id=another", &[OWN]).await;
    known.take_until(&mut stream, "initial").await;
    assert_eq!(known.0, listed(&instance, "/optimizations", OWN).await);
    assert_eq!(known.0.len(), 2);
    assert!(only_new.is_silent().await && others.is_silent().await);
    instance.generation.write(vec![view("d", 1), deleted("a", 2), of_organization("org-2", "b", 2)]);
    let mut names = Vec::new();
    for _ in 0..3 {
        let event = stream.next().await.unwrap();
        known.take(&event);
        names.push((event.name, event.data["id"].as_str().unwrap().to_owned()));
    }
    names.sort();
    let expected = [("", "d"), ("removed", "a"), ("removed", "b")];
    assert_eq!(names, expected.map(|(name, id)| (name.to_owned(), id.to_owned())));
    assert_eq!(known.0, listed(&instance, "/optimizations", OWN).await);
    let events = [only_new.next().await.unwrap(), only_new.next().await.unwrap(), only_new.next().await.unwrap()];
    assert_eq!(events.iter().filter(|event| event.name == "removed").count(), 2);
    assert!(others.is_silent().await);
}

#[tokio::test]
async fn a_list_goes_on_after_the_last_event_or_begins_again() {
    let instance = instance();
    let mut stream = instance.stream("/optimizations/events", &[OWN]).await;
    stream.is_silent().await;
    instance.generation.write(vec![view("a", 1)]);
    let id = stream.next().await.unwrap().id;
    drop(stream);
    instance.generation.write(vec![view("b", 1), of_organization("org-2", "c", 1)]);
    let mut again = instance.stream("/optimizations/events", &[OWN, ("last-event-id", &id)]).await;
    assert_eq!(again.next().await.unwrap().data["id"], "b", "what came in between");
    for unknown in ["x", "0000000000000000-0"] {
        let path = "/optimizations/events?initial=true";
        let mut stream = instance.stream(path, &[OWN, ("last-event-id", unknown)]).await;
        assert_eq!(stream.next().await.unwrap().name, "reset");
        let mut known = KnownList::default();
        known.take_until(&mut stream, "initial").await;
        assert_eq!(known.0.len(), 2);
    }
    let stream = instance.stream("/optimizations/events?statuss=failed&initial=false&status=failed", &[OWN]).await;
    assert_eq!(stream.headers["x-optview-ignored"], "statuss");
    let other = instance.get("/optimizations/events", &[OWN, ("x-organization-id", "org-2")]).await;
    assert!(other.status == 404 && other.json()["message"].to_string().contains("no such organization"));
    assert_eq!(instance.get("/optimizations/events?status=x", &[OWN]).await.status, 422);
    assert_eq!(instance.get("/optimizations/events?initial=maybe", &[OWN]).await.status, 422);
}

/// One change of a world of a few optimizations of two organizations.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, u8)>),
    Read(usize),
    ComeAgain,
    Switch,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = proptest::collection::vec((0..4_u8, 0..4_u8), 1..4);
    let step = prop_oneof![
        4 => changes.prop_map(Step::Write),
        2 => (1..4_usize).prop_map(Step::Read),
        1 => Just(Step::ComeAgain),
        1 => Just(Step::Switch),
    ];
    proptest::collection::vec(step, 1..14)
}

/// The optimization with this number after a change of this kind.
fn changed(number: u8, kind: u8, version: u64) -> optview::domain::Optimization {
    let id = format!("o{number}");
    match kind {
        0 => deleted(&id, version),
        1 => of_organization("org-2", &id, version),
        _ => of_organization("org-1", &id, version),
    }
}

async fn follow_list(steps: Vec<Step>) {
    let mut instance = instance();
    let path = "/optimizations/events?initial=true";
    let mut stream = instance.stream(path, &[OWN]).await;
    let (mut known, mut version, mut last_id) = (KnownList::default(), 0, String::new());
    let mut state = BTreeMap::new();
    for step in steps {
        match step {
            Step::Write(changes) => {
                version += 1;
                let changes: BTreeMap<u8, u8> = changes.into_iter().collect();
                state.extend(changes.clone());
                let written = changes.into_iter().map(|(number, kind)| changed(number, kind, version)).collect();
                instance.generation.write(written);
            }
            Step::Read(count) => {
                for _ in 0..count {
                    if stream.is_silent().await {
                        break;
                    }
                    let event = stream.next().await.unwrap();
                    last_id.clone_from(&event.id);
                    known.take(&event);
                }
            }
            Step::ComeAgain if !last_id.is_empty() => {
                stream = instance.stream(path, &[OWN, ("last-event-id", &last_id)]).await;
            }
            Step::ComeAgain => {
                known = KnownList::default();
                stream = instance.stream(path, &[OWN]).await;
            }
            Step::Switch => {
                let other = Generation::new();
                let all = state.iter().map(|(number, kind)| changed(*number, *kind, version)).collect();
                other.write(all);
                drop(instance.switch_to(other));
            }
        }
    }
    instance.generation.write(vec![of_organization("org-1", "last", version + 1)]);
    known.take_until(&mut stream, "last").await;
    // A gap may have come with the last change. The list is chosen again on another thread, during which the stream is silent.
    while !known.1 || !stream.is_silent().await {
        known.take(&stream.next().await.unwrap());
    }
    assert_eq!(known.0, listed(&instance, "/optimizations?limit=1000", OWN).await);
    assert!(known.0.values().all(|view| view["organization_id"] == "org-1"));
}

/// A client of one view, which reads now and then, comes again, and lives through switches to generations that are behind.
async fn follow_view(steps: Vec<Step>) {
    let mut instance = instance();
    let (mut next, mut seen, mut id) = (1, 0, String::new());
    instance.generation.write_at(next, vec![view("a", 1)]);
    let mut stream = instance.stream(EVENTS, &[OWN]).await;
    for step in steps {
        match step {
            Step::Write(_) => {
                next += 1;
                instance.generation.write_at(next, vec![view("a", next as u64)]);
            }
            Step::Read(_) => {
                if !stream.is_silent().await {
                    let event = stream.next().await.unwrap();
                    assert!(event.version() > seen, "{} after {seen}", event.version());
                    (seen, id) = (event.version(), event.id);
                }
            }
            Step::ComeAgain => stream = instance.stream(EVENTS, &[OWN, ("last-event-id", &id)]).await,
            Step::Switch => {
                // It is some records behind, and comes to them later.
                let behind = (next - 2).max(1);
                let other = Generation::new();
                other.status.set_state(State::CatchingUp);
                other.write_at(behind, vec![view("a", behind as u64)]);
                drop(instance.switch_to(other));
                next = behind;
            }
        }
    }
    instance.generation.status.set_state(State::Live);
    while (next as u64) <= seen {
        next += 1;
        instance.generation.write_at(next, vec![view("a", next as u64)]);
    }
    next += 1;
    instance.generation.write_at(next, vec![view("a", next as u64)]);
    while seen < next as u64 {
        let event = stream.next().await.unwrap();
        assert!(event.version() > seen, "{} after {seen}", event.version());
        seen = event.version();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whoever_follows_a_list_knows_it_in_the_end(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(follow_list(steps));
    }

    #[test]
    fn no_view_goes_back_and_the_last_is_the_newest(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(follow_view(steps));
    }
}

#[tokio::test]
async fn nobody_learns_of_what_they_may_not_see() {
    let instance = instance();
    let mut foreign = instance.stream("/optimizations/events?initial=true", &[FOREIGN]).await;
    assert_eq!(foreign.next().await.unwrap().name, "initial");
    instance.generation.write(vec![view("a", 1)]);
    instance.generation.write(vec![deleted("a", 2)]);
    instance.generation.write(vec![of_organization("org-2", "b", 1)]);
    assert_eq!(foreign.next().await.unwrap().data["id"], "b", "nothing of org-1 before it");
}
