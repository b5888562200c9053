//! Streams while the fold is behind: a watcher gets the newest state now and then, and at once when the backlog is gone.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::live_instance::{EventReader, Generation, Instance, OWN, view};

const PATHS: [&str; 2] = ["/optimizations/a/events", "/optimizations/events?initial=true"];

/// The time within which a view is at its watcher while the fold keeps up.
const AT_ONCE: Duration = Duration::from_millis(100);

fn instance() -> Instance {
    Instance::new(Duration::ZERO)
}

/// Opens a stream and reads what there is at first, which is version 1 of a view.
async fn followed(instance: &Instance, path: &str) -> EventReader {
    let mut stream = instance.stream(path, &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    if path.contains("initial") {
        assert_eq!(stream.next().await.unwrap().name, "initial");
    }
    assert!(stream.is_silent().await);
    stream
}

#[tokio::test(start_paused = true)]
async fn a_watcher_rests_while_the_fold_is_behind_and_then_gets_the_newest_view() {
    for path in PATHS {
        let instance = instance();
        instance.generation.write(vec![view("a", 1)]);
        let mut stream = followed(&instance, path).await;
        instance.generation.writer.note_backlog(true);
        for number in 2..9 {
            instance.generation.write(vec![view("a", number)]);
            advance(Duration::from_millis(100)).await;
            assert!(stream.is_silent().await, "{path}: version {number} is not the newest");
        }
        let begun = Instant::now();
        assert_eq!(stream.next_version().await, 8, "{path}");
        assert!(begun.elapsed() <= Duration::from_millis(500), "{path}: it rests for a second");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_view_comes_at_once_when_the_backlog_is_gone() {
    for path in PATHS {
        let instance = instance();
        instance.generation.write(vec![view("a", 1)]);
        let mut stream = followed(&instance, path).await;
        instance.generation.writer.note_backlog(true);
        instance.generation.write(vec![view("a", 2)]);
        advance(AT_ONCE).await;
        assert!(stream.is_silent().await, "{path}");
        instance.generation.writer.note_backlog(false);
        let ended = Instant::now();
        assert_eq!(stream.next_version().await, 2, "{path}");
        assert!(ended.elapsed() <= AT_ONCE, "{path}: {:?}", ended.elapsed());
        // From then on each view comes at once.
        for number in 3..6 {
            instance.generation.write(vec![view("a", number)]);
            let written = Instant::now();
            assert_eq!(stream.next_version().await, number, "{path}");
            assert!(written.elapsed() <= AT_ONCE, "{path}: {:?}", written.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_view_after_a_quiet_time_comes_at_once_also_while_the_fold_is_behind() {
    let instance = instance();
    instance.generation.write(vec![view("a", 1)]);
    let mut stream = instance.stream(PATHS[0], &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    assert!(stream.is_silent().await);
    advance(Duration::from_secs(2)).await;
    instance.generation.writer.note_backlog(true);
    instance.generation.write(vec![view("a", 2)]);
    let written = Instant::now();
    assert_eq!(stream.next_version().await, 2);
    assert!(written.elapsed() <= AT_ONCE, "{:?}", written.elapsed());
}

/// A projector that is replaced in the middle of a backlog cannot say that this has ended.
#[tokio::test(start_paused = true)]
async fn a_switch_ends_every_rest() {
    let mut instance = instance();
    instance.generation.write(vec![view("a", 1)]);
    let mut stream = instance.stream(PATHS[0], &[OWN]).await;
    assert_eq!(stream.next_version().await, 1);
    assert!(stream.is_silent().await);
    instance.generation.writer.note_backlog(true);
    instance.generation.write(vec![view("a", 2)]);
    assert!(stream.is_silent().await);
    let other = Generation::new();
    other.write(vec![view("a", 3)]);
    let _before = instance.switch_to(other);
    let switched = Instant::now();
    assert_eq!(stream.next_version().await, 3);
    assert!(switched.elapsed() <= AT_ONCE, "{:?}", switched.elapsed());
}

/// The log of changes holds the latest ones only. A list that rested for longer would have to be read again.
#[tokio::test(start_paused = true)]
async fn a_list_does_not_rest_for_so_long_that_it_misses_changes() {
    let instance = instance();
    let mut stream = instance.stream("/optimizations/events", &[OWN]).await;
    instance.generation.write(vec![view("first", 1)]);
    assert_eq!(stream.next_version().await, 1);
    assert!(stream.is_silent().await);
    instance.generation.writer.note_backlog(true);
    for round in 0..10_u64 {
        instance.generation.write((0..2_000).map(|number| view(&format!("v{number}"), round + 2)).collect());
        advance(Duration::from_millis(50)).await;
        if !stream.is_silent().await {
            return;
        }
    }
    panic!("more has changed than the log holds");
}
