//! A store remembers that its generation has been live: a later start may answer before a broker does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optview::domain::{PartitionOffset, TopicPartition};
use optview::projector::{PauseHandle, Settings};
use optview::status::{State, Status};

use super::script::{Run, ScriptPlayer, partitions, play, project, settings};
use super::stepped_projector::{Clock, SteppedProjector};
use super::{check, expected, history};
use crate::fixtures;

fn was_live(directory: &Path) -> bool {
    let writer = fixtures::open(directory).writer;
    let was_live = writer.reader().was_live().unwrap();
    writer.finish().unwrap();
    was_live
}

#[test]
fn a_store_that_was_live_remembers_it_and_one_that_was_killed_before_does_not() {
    let partitions = partitions(&history(3, 20));
    let directory = tempfile::tempdir().unwrap();
    project(directory.path(), &partitions, Run { killed_after: Some(30), ..Run::to_the_end(1) }, |_| {});
    assert!(!was_live(directory.path()), "it had not read all");
    project(directory.path(), &partitions, Run::to_the_end(2), |_| {}).expect("it is not killed");
    assert!(was_live(directory.path()));
    // Whatever comes later: it has been complete once.
    project(directory.path(), &partitions, Run { killed_after: Some(1), ..Run::to_the_end(3) }, |_| {});
    assert!(was_live(directory.path()));
    check(directory.path(), &expected(&partitions, |_, _| false));
}

#[test]
fn a_store_of_which_a_partition_stopped_in_the_first_reading_was_not_live() {
    let mut partitions = partitions(&history(4, 20));
    partitions[1].fails_at = Some(2);
    let directory = tempfile::tempdir().unwrap();
    let until = |playing: &ScriptPlayer<'_>| playing.is_over() && playing.status.state() == State::Stalled;
    let status = project(directory.path(), &partitions, Run { until, ..Run::to_the_end(1) }, |_| {});
    assert!(!status.expect("it is not killed").answer_state().was_live);
    assert!(!was_live(directory.path()));
}

fn has_reported(playing: &ScriptPlayer<'_>, state: State) -> bool {
    // The count of views shows that a report was made, by the thread that asks.
    playing.status.report().views == 1 && playing.status.state() == state
}

#[test]
fn without_a_broker_a_store_that_was_live_is_stale_and_another_is_starting() {
    let run = |until| Run { until, ..Run::to_the_end(1) };
    let is_starting = run(|playing| has_reported(playing, State::Starting));
    let is_stale = run(|playing| has_reported(playing, State::Stale));
    for (was_live, run) in [(false, is_starting), (true, is_stale)] {
        let directory = tempfile::tempdir().unwrap();
        let writer = fixtures::open(directory.path()).writer;
        let view = fixtures::optimization("a", 1, String::new(), String::new());
        writer.commit(fixtures::commit_of(vec![view]), Vec::new(), 1).unwrap();
        fixtures::wait_until_written(&writer, 1);
        let (status, control) = (Status::new(1), Arc::new(PauseHandle::default()));
        if was_live {
            status.set_was_live();
        }
        // No partition is ever found.
        let source = ScriptPlayer::new(&[], run, status.clone(), control.clone());
        let settings = settings(directory.path(), 1 << 20);
        play(SteppedProjector::new(writer, settings, source, status, &control, Clock::new()));
    }
}

/// A poll is not ended by the writer's thread. One that waits for long would hold up the instance's becoming live, and the note that a
/// checkpoint is on the disk.
#[test]
fn polls_are_short_until_all_that_was_read_is_on_the_disk_and_long_after() {
    let partitions = partitions(&history(5, 200));
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let run = Run { until: |_| false, ..Run::to_the_end(1) };
    let playing = ScriptPlayer::new(&partitions, run, status.clone(), control.clone());
    let hour = Duration::from_secs(3600);
    let settings =
        Settings { sync_interval: hour, catch_up_sync_interval: hour, ..settings(directory.path(), 1 << 20) };
    let mut stepped = SteppedProjector::new(writer, settings, playing, status, &control, clock);
    while !stepped.source.is_over() {
        stepped.turn(Duration::from_millis(1));
    }
    let ends = partitions.iter().map(|partition| {
        let TopicPartition { topic, partition: number } = partition.topic_partition();
        PartitionOffset { topic, partition: number, offset: partition.records.len() as i64 }
    });
    let ends: Vec<_> = ends.collect();
    loop {
        stepped.turn(Duration::ZERO);
        if ends.iter().all(|end| stepped.source.published.contains(end)) {
            break;
        }
        assert!(stepped.source.last_wait <= Duration::from_millis(10), "{:?}", stepped.source.last_wait);
        // A turn that ends before the writer's thread has done anything shows nothing else.
        std::thread::yield_now();
    }
    stepped.turn(Duration::ZERO);
    assert!(stepped.source.last_wait >= Duration::from_millis(100), "{:?}", stepped.source.last_wait);
}
