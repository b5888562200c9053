//! Watchers rest while records wait for the fold, as the projector's polls show it; and what is folded then is written less often.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optview::live_views::ReaderSource;
use optview::projector::{PauseHandle, Settings};
use optview::source::letter_outlet;
use optview::status::{State, Status};
use optview::store::{Reader, ViewChanges};

use super::history;
use super::script::{Partition, Run, ScriptPlayer, partitions, settings};
use super::stepped_projector::{Clock, SteppedProjector};
use crate::fixtures;

/// Number of records in a poll that shows that others wait.
const FULL_POLL: usize = 1_024;
/// A step of the clock that is longer than changes are gathered while the fold keeps up, and much shorter than in a backlog.
const STEP: Duration = Duration::from_millis(10);

/// A projector whose store readers see, with the registry of those who watch it.
struct WatchedProjector<'a> {
    stepped: SteppedProjector<'a, ScriptPlayer<'a>>,
    reader: Reader,
    changes: ViewChanges,
}

impl<'a> WatchedProjector<'a> {
    fn new(
        directory: &Path,
        partitions: &'a [Partition],
        control: &'a Arc<PauseHandle>,
        most_in_a_batch: u64,
        change: impl FnOnce(&mut Settings),
    ) -> WatchedProjector<'a> {
        let writer = fixtures::open(directory).writer;
        let (status, clock, source) = (Status::new(1), Clock::new(), ReaderSource::default());
        source.set(writer.reader(), status.clone());
        let run = Run { until: |_| false, most_in_a_batch, ..Run::to_the_end(1) };
        let mut player = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
        player.clock = Some(clock.clone());
        let hour = Duration::from_secs(3600);
        let mut settings =
            Settings { sync_interval: hour, catch_up_sync_interval: hour, ..settings(directory, 1 << 30) };
        change(&mut settings);
        let reader = writer.reader();
        let stepped = SteppedProjector::new(writer, settings, player, status, control, clock);
        WatchedProjector { stepped, reader, changes: source.changes().clone() }
    }

    /// Turns once. Returns the number of records that were read.
    fn turn(&mut self) -> usize {
        let before = self.stepped.source.delivered;
        self.stepped.turn(STEP);
        self.stepped.settle();
        self.stepped.source.delivered - before
    }

    /// Returns true if a watcher would rest now.
    fn do_watchers_rest(&self) -> bool {
        self.changes.take_turn(self.stepped.clock.instant(), None).is_some()
    }

    /// Turns until all is read and nobody rests any more.
    fn end_backlog(&mut self) {
        for _ in 0..10_000 {
            self.turn();
            if self.stepped.source.is_over() && !self.do_watchers_rest() {
                return;
            }
        }
        panic!("watchers still rest though nothing more comes");
    }
}

#[test]
fn a_full_poll_has_watchers_rest_until_nothing_more_comes() {
    let (partitions, control) = (partitions(&history(5, 1_000)), Arc::default());
    let directory = tempfile::tempdir().unwrap();
    let mut watched = WatchedProjector::new(directory.path(), &partitions, &control, 5_000, |_| {});
    watched.turn();
    assert!(!watched.do_watchers_rest(), "only partitions were found");
    for number in 0.. {
        assert!(number < 1_000, "no poll is full");
        let records = watched.turn();
        assert_eq!(watched.do_watchers_rest(), records >= FULL_POLL, "{records} records");
        if records >= FULL_POLL {
            break;
        }
    }
    watched.end_backlog();
}

#[test]
fn few_records_that_are_as_much_as_a_poll_gives_have_watchers_rest_too() {
    let (partitions, control) = (partitions(&history(5, 20)), Arc::default());
    let directory = tempfile::tempdir().unwrap();
    let mut watched = WatchedProjector::new(directory.path(), &partitions, &control, 3, |_| {});
    watched.stepped.source.gives_full_polls = true;
    watched.turn();
    assert!((1..FULL_POLL).contains(&watched.turn()));
    assert!(watched.do_watchers_rest());
    watched.end_backlog();
}

#[test]
fn while_records_wait_changes_are_gathered_for_longer() {
    for (is_behind, expected) in [(false, 15..=20), (true, 3..=4)] {
        let (partitions, control) = (partitions(&history(5, 200)), Arc::default());
        let directory = tempfile::tempdir().unwrap();
        let mut watched = WatchedProjector::new(directory.path(), &partitions, &control, 6, |_| {});
        watched.stepped.source.held_back_from = Some(1);
        for number in 0.. {
            assert!(number < 1_000, "it does not become live");
            watched.turn();
            if watched.stepped.status.state() == State::Live {
                break;
            }
        }
        watched.stepped.source.held_back_from = None;
        watched.stepped.source.gives_full_polls = is_behind;
        let mut positions = Vec::new();
        for _ in 0..20 {
            assert!(watched.turn() > 0, "each poll gives something");
            positions.push(watched.reader.visible_position().text().to_owned());
        }
        assert_eq!(watched.do_watchers_rest(), is_behind);
        // Of 200 ms.
        positions.dedup();
        assert!(expected.contains(&(positions.len() - 1)), "{is_behind}: {}", positions.len() - 1);
    }
}

#[test]
fn watchers_rest_no_more_where_nothing_is_read_because_letters_wait() {
    let mut partitions = partitions(&history(5, 100));
    let jobs = partitions.iter_mut().max_by_key(|partition| partition.records.len()).unwrap();
    for (number, record) in std::mem::take(&mut jobs.records).into_iter().enumerate() {
        if number < 9 {
            // 64 MiB of letters may wait.
            jobs.push(b"key".to_vec(), Some(vec![b'{'; 8 << 20]));
        }
        jobs.push(record.key, record.value);
    }
    let (directory, control) = (tempfile::tempdir().unwrap(), Arc::default());
    // Nobody acknowledges a letter.
    let (outlet, _inbox) = letter_outlet("letters");
    let mut watched = WatchedProjector::new(directory.path(), &partitions, &control, 40, |settings| {
        settings.dead_letter_outlet = Some(outlet);
    });
    watched.stepped.source.gives_full_polls = true;
    watched.turn();
    let mut did_rest = false;
    for number in 0.. {
        assert!(number < 10_000 && !watched.stepped.source.is_over(), "all is read");
        watched.turn();
        if watched.stepped.source.rests > 0 {
            break;
        }
        did_rest = watched.do_watchers_rest();
    }
    assert!(did_rest && !watched.do_watchers_rest());
}
