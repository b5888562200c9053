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
