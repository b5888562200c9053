use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn written(ids: &[&str]) -> Vec<Arc<str>> {
    ids.iter().map(|id| Arc::from(*id)).collect()
}

fn note(changes: &ViewChanges, ids: &[&str]) {
    let written = written(ids);
    let scopes = changes.is_log_on().then(|| vec![ScopeChange::default(); ids.len()]);
    changes.note(written.iter(), scopes);
}

/// Returns true if a future is ready now.
fn is_ready(future: impl Future<Output = ()>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Waits until a future is ready, on this thread, which its waker unparks.
fn is_ready_soon(future: impl Future<Output = ()>) -> bool {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, begun) = (pin!(future), Instant::now());
    while begun.elapsed() < Duration::from_secs(20) {
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return true;
        }
        thread::park_timeout(Duration::from_secs(20));
    }
    false
}

fn ids_of(read: LogRead) -> Option<Vec<String>> {
    match read {
        LogRead::Changes(changes) => Some(changes.iter().map(|(_, change)| change.id.to_string()).collect()),
        LogRead::Gap => None,
    }
}

#[test]
fn only_those_who_watch_the_view_are_woken_once_however_often_it_changes() {
    let changes = ViewChanges::default();
    let (mut a, mut also_a, mut b) = (changes.watch("a"), changes.watch("a"), changes.watch("b"));
    note(&changes, &["a", "c"]);
    note(&changes, &["a"]);
    assert!(is_ready(a.changed()) && is_ready(also_a.changed()));
    assert!(!is_ready(a.changed()), "it was taken");
    assert!(!is_ready(b.changed()));
    drop(also_a);
    note(&changes, &["a"]);
    assert!(is_ready(a.changed()));
    assert_eq!(changes.id_watches(), 2);
    drop((a, b));
    assert_eq!(changes.id_watches(), 0);
}

#[test]
fn a_switch_and_the_end_wake_everybody() {
    let changes = ViewChanges::default();
    let (mut view, mut position, mut cursor) =
        (changes.watch("a"), changes.watch_position(), changes.follow(None));
    assert!(!is_ready(view.changed()) && !is_ready(position.changed()) && !is_ready(cursor.changed()));
    changes.note_switch();
    assert!(is_ready(view.changed()) && is_ready(position.changed()) && is_ready(cursor.changed()));
    assert_eq!(cursor.read(9), LogRead::Gap);
    assert_eq!(ids_of(cursor.read(9)), Some(Vec::new()));
    changes.close();
    assert!(changes.is_closed());
    for _ in 0..2 {
        assert!(is_ready(view.changed()) && is_ready(position.changed()) && is_ready(cursor.changed()));
    }
    assert!(is_ready(changes.watch("b").changed()), "who comes later does not wait, either");
}

#[test]
fn a_follower_goes_on_where_it_was_and_learns_of_what_it_has_missed() {
    let changes = ViewChanges::default();
    note(&changes, &["nobody follows"]);
    let mut cursor = changes.follow(None);
    note(&changes, &["a", "b", "c"]);
    assert_eq!(ids_of(cursor.read(2)), Some(vec!["a".to_owned(), "b".to_owned()]));
    let place = cursor.next_place();
    drop(cursor);
    note(&changes, &["d"]);
    assert_eq!(
        ids_of(changes.follow(Some(place)).read(9)),
        Some(vec!["c".to_owned(), "d".to_owned()]),
        "what came while nobody followed"
    );
    let mut slow = changes.follow(Some(place));
    (0..20_000).for_each(|_| note(&changes, &["e"]));
    assert_eq!(slow.read(9), LogRead::Gap);
    note(&changes, &["f"]);
    assert_eq!(ids_of(slow.read(9)), Some(vec!["f".to_owned()]));
    for place in [place, LogPlace { log: place.log + 1, ..place }, LogPlace { next: u64::MAX, ..place }] {
        assert_eq!(changes.follow(Some(place)).read(9), LogRead::Gap);
    }
}

#[test]
fn the_log_is_off_while_nobody_follows_and_again_after_long_without_followers() {
    let changes = ViewChanges::default();
    assert!(!changes.is_log_on());
    let place = changes.follow(None).next_place();
    assert!(changes.is_log_on());
    (0..20_000).for_each(|_| note(&changes, &["a"]));
    assert!(!changes.is_log_on());
    assert_eq!(changes.follow(Some(place)).read(9), LogRead::Gap);
}

/// A change that was begun before anybody followed is not in the log, though the list may have been read without it.
#[test]
fn a_change_under_way_when_the_log_is_turned_on_is_a_gap() {
    let changes = ViewChanges::default();
    let mut cursor = changes.follow(None);
    changes.note(written(&["a"]).iter(), None);
    assert_eq!(cursor.read(9), LogRead::Gap);
}

proptest! {
    /// Whatever comes in whatever order, a cursor gives every change once, in order, or a gap.
    #[test]
    fn a_cursor_skips_nothing(steps in proptest::collection::vec((0..3_u8, 1..5_usize), 1..60)) {
        let changes = ViewChanges::default();
        let mut cursor = changes.follow(None);
        let (mut noted, mut expected, mut read) = (0, Vec::new(), Vec::new());
        for (step, count) in steps {
            match step {
                0 => for _ in 0..count {
                    let id = noted.to_string();
                    note(&changes, &[&id]);
                    expected.push(id);
                    noted += 1;
                },
                1 => read.extend(ids_of(cursor.read(count)).expect("no gap")),
                _ => cursor = changes.follow(Some(cursor.next_place())),
            }
        }
        read.extend(ids_of(cursor.read(usize::MAX)).expect("no gap"));
        prop_assert_eq!(read, expected);
    }
}

/// A watcher that watches first and then reads sees the newest value, or is woken: between two threads, many times.
#[test]
fn no_change_falls_between_watching_and_reading() {
    use std::sync::atomic::AtomicU64;
    let (changes, value) = (ViewChanges::default(), Arc::new(AtomicU64::new(0)));
    let last = 20_000;
    let writer = thread::spawn({
        let (changes, value, view) = (changes.clone(), value.clone(), written(&["a"]));
        move || {
            for number in 1..=last {
                value.store(number, Ordering::Release);
                changes.note(view.iter(), None);
            }
        }
    });
    loop {
        let mut watch = changes.watch("a");
        let seen = value.load(Ordering::Acquire);
        if seen == last {
            break;
        }
        assert!(is_ready_soon(watch.changed()), "it slept through the changes after {seen}");
    }
    writer.join().unwrap();
}

#[test]
fn a_signal_that_is_set_between_two_polls_is_not_lost() {
    let signal = signal::Signal::default();
    let mut task = Context::from_waker(Waker::noop());
    assert_eq!(signal.poll(&mut task), Poll::Pending);
    signal.set();
    signal.set();
    assert_eq!(signal.poll(&mut task), Poll::Ready(()));
    assert_eq!(signal.poll(&mut task), Poll::Pending);
}
