//! Streams over time: what a client goes on with, heartbeats, and credentials that end.

use std::time::Duration;

use crate::live_instance::{Instance, OWN, view};

fn instance() -> Instance {
    Instance::new(Duration::ZERO)
}

/// Readers see a view some time before they see that its record has been read.
#[tokio::test]
async fn an_event_goes_on_only_where_all_is_known_that_its_view_may_hold() {
    let ahead = instance();
    ahead.generation.write_at(3, vec![view("a", 3)]);
    ahead.generation.write_ahead(5, vec![view("a", 5)]);
    let event = ahead.stream("/optimizations/a/events", &[OWN]).await.next().await.unwrap();
    assert_eq!((event.version(), event.id.ends_with("@optimizations:0:4")), (5, true), "{}", event.id);
    let behind = instance();
    behind.generation.write_at(4, vec![view("a", 4)]);
    let mut stream = behind.stream("/optimizations/a/events", &[OWN, ("last-event-id", &event.id)]).await;
    assert!(stream.is_silent().await, "it may have seen more");
    behind.generation.write_at(6, vec![view("a", 6)]);
    assert_eq!(stream.next_version().await, 6);
}

/// A stream whose client is slow, or whose views change all the time, always has something to send, and never waits.
#[tokio::test(start_paused = true)]
async fn whoever_may_not_read_any_more_gets_nothing_more_also_of_what_was_there_to_be_sent() {
    let key = |name: &str, more: &str| format!("[[keys]]\nkey = {name:?}\norganizations = [\"org-1\"]\n{more}\n");
    let expires = chrono::Utc::now() + Duration::from_millis(1500);
    let keys = key("own", "") + &key("short", &format!("expires = {}", expires.to_rfc3339()));
    let instance = Instance::with_keys(Duration::ZERO, &keys);
    let short = ("x-api-key", "short");
    // More than one chunk of a stream holds.
    let views = |version| (0..300).map(|number| view(&format!("v{number}"), version)).collect::<Vec<_>>();
    instance.generation.write(views(1));
    let one = "/optimizations/v0/events";
    let list = "/optimizations/events?initial=true&limit=1000";
    let mut streams = Vec::new();
    for (path, key) in [(one, short), (one, OWN), (list, short), (list, OWN)] {
        let mut stream = instance.stream(path, &[key]).await;
        assert_eq!(stream.next_version().await, 1);
        streams.push(stream);
    }
    while instance.get(one, &[short]).await.status != 401 {
        std::thread::sleep(Duration::from_millis(10));
    }
    instance.generation.write(views(2));
    tokio::time::advance(Duration::from_secs(15)).await;
    let mut streams = streams.into_iter();
    let mut next = || streams.next().unwrap();
    let (mut ended, mut own) = (next(), next());
    assert_eq!(ended.next().await, None);
    assert_eq!(own.next_version().await, 2);
    for (mut stream, is_whole) in [(next(), false), (next(), true)] {
        let mut events = Vec::new();
        while events.len() < 299
            && let Some(event) = stream.next().await
        {
            assert!(is_whole || event.version() == 1, "only what was sent before");
            events.push(event);
        }
        assert_eq!(events.len() == 299, is_whole, "{}", events.len());
    }
}

/// Changes that follow each other closely are gathered. A heartbeat that comes meanwhile must not take the place of the last one.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_between_two_changes_loses_neither() {
    let instance = instance();
    let mut stream = instance.stream("/optimizations/events", &[OWN]).await;
    assert!(stream.is_silent().await);
    tokio::time::advance(Duration::from_millis(14_990)).await;
    instance.generation.write(vec![view("a", 1)]);
    assert_eq!(stream.next_version().await, 1);
    assert!(stream.is_silent().await);
    tokio::time::advance(Duration::from_millis(5)).await;
    instance.generation.write(vec![view("a", 2)]);
    assert!(stream.is_silent().await, "it is gathered");
    tokio::time::advance(Duration::from_millis(5)).await;
    let next = tokio::time::timeout(Duration::from_secs(10), stream.next_version()).await;
    assert_eq!(next.expect("the last change"), 2);
}

/// The list is chosen on another thread, while this one writes.
#[tokio::test]
async fn what_changes_while_a_list_is_chosen_is_in_it_or_comes_after_it() {
    let instance = instance();
    for round in 0..50 {
        let id = format!("v{round}");
        let mut opening = Box::pin(instance.stream("/optimizations/events?initial=true&limit=1000", &[OWN]));
        // Now and then it is chosen at once.
        let opened = tokio::select! {
            biased;
            stream = &mut opening => Some(stream),
            () = std::future::ready(()) => None,
        };
        instance.generation.write(vec![view(&id, 1)]);
        let mut stream = match opened {
            Some(stream) => stream,
            None => opening.await,
        };
        while stream.next().await.expect("an event").data["id"] != id {}
    }
}
