//! The end of a catch-up: once all is folded, little is left to be written, however long records stay in memory before.

use std::sync::Arc;
use std::time::Duration;

use optview::domain::Event;
use optview::domain::event::{Body, OptimizationChange};
use optview::projector::{PauseHandle, Settings};
use optview::status::Status;

use super::history;
use super::script::{Run, ScriptPlayer, partitions, settings};
use super::stepped_projector::{Clock, SteppedProjector};
use crate::fixtures;

/// Creations of this number of optimizations, which nothing happens to.
fn creations(count: usize) -> Vec<Event<'static>> {
    let creation = history(3, 5)
        .into_iter()
        .find(|event| matches!(event.body, Body::Optimization { change: OptimizationChange::Created(_), .. }))
        .expect("each is created");
    (0..count).map(|number| renamed(&creation, number)).collect()
}

/// Returns the same creation of another optimization, without a job.
fn renamed(creation: &Event<'static>, number: usize) -> Event<'static> {
    let mut event = creation.clone();
    event.metadata.event_id = format!("event-{number}").into();
    if let Body::Optimization { optimization_id, change: OptimizationChange::Created(created) } = &mut event.body {
        *optimization_id = format!("opt-{number}").into();
        created.job_id = None;
    }
    event
}

#[test]
fn what_has_rested_is_written_while_the_last_records_are_read() {
    const ALL: usize = 60_000;
    let (directory, control) = (tempfile::tempdir().unwrap(), Arc::<PauseHandle>::default());
    let partitions = partitions(&creations(ALL));
    let (writer, status, clock) = (fixtures::open(directory.path()).writer, Status::new(1), Clock::new());
    let reader = writer.reader();
    let run = Run { until: |_| false, most_in_a_batch: 2_000, ..Run::to_the_end(1) };
    let player = ScriptPlayer::new(&partitions, run, status.clone(), control.clone());
    let hour = Duration::from_secs(3600);
    let settings =
        Settings { sync_interval: hour, catch_up_sync_interval: hour, ..settings(directory.path(), 1 << 30) };
    let mut stepped = SteppedProjector::new(writer, settings, player, status, &control, clock);
    let mut until_read = |records: usize| {
        while stepped.source.delivered < records {
            stepped.turn(Duration::from_millis(1));
        }
        stepped.settle();
        (0..ALL).filter(|number| reader.get(&format!("opt-{number}"), None).unwrap().is_some()).count()
    };
    // The delay of writes is longer than this history.
    assert_eq!(until_read(ALL / 2), 0);
    let written = until_read(ALL - 2_000);
    assert!(written >= ALL / 2, "only {written} are written");
}
