//! The projector gives the same views however it is interrupted, keeps what it cannot understand, and goes on with the
//! rest where one part fails.

mod backlog;
mod catch_up_end;
mod cluster;
mod continuation;
mod dead_letters;
mod ends;
mod findings;
mod from_archive;
mod health;
mod letter_topic;
mod live;
mod missing_history;
mod publication;
mod publication_promises;
mod publisher;
mod retried_letters;
mod script;
mod stepped_projector;
mod views_topic;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use optview::disk::DiskReserve;
use optview::domain::{Event, Topic};
use optview::projector::{self, PauseHandle, Settings};
use optview::status::{PartitionState, State, Status};
use optview::store::ListQuery;
use optview::synthetic::{History, HistorySettings};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures;
use crate::support::MapStore;
use script::{Partition, Run, ScriptPlayer, partitions, project};
use stepped_projector::{A_REPORT, Clock, SteppedProjector};

pub fn history(seed: u64, optimizations: u64) -> Vec<Event<'static>> {
    History::new(HistorySettings { seed, optimizations, runs: 3, concurrent: 12, ..HistorySettings::default() })
        .collect()
}

/// The result of one undisturbed fold of all records, apart from those in `except`.
pub fn expected(partitions: &[Partition], except: impl Fn(&Partition, i64) -> bool) -> MapStore {
    let mut store = MapStore::default();
    for partition in partitions {
        for record in &partition.records {
            if !except(partition, record.position.offset) {
                store.fold(&record.decode());
            }
        }
    }
    store.write();
    store
}

/// Every view, the lists' total, and what is parked, as the store has them after a restart.
pub fn check(directory: &Path, expected: &MapStore) {
    let writer = fixtures::open(directory).writer;
    let reader = writer.reader();
    let mut shown = 0;
    for (id, bytes) in &expected.optimizations {
        let view = reader.get(id, None).unwrap().map(|view| serde_json::from_slice::<Value>(&view.body).unwrap());
        assert_eq!(view, expected.response(id), "{id}");
        shown += u64::from(view.is_some());
        let stored = writer.optimization(id).unwrap().expect("it is stored, shown or not");
        let mut again = Vec::new();
        optview::codec::stored_record::encode_optimization(&stored, &mut again).unwrap();
        assert_eq!(again, *bytes, "{id}");
    }
    assert!(shown > 0);
    assert_eq!(reader.list(&ListQuery { limit: 1, ..ListQuery::default() }).unwrap().total, shown);
    for (id, bytes) in &expected.jobs {
        let parked = writer.parked_job(id).unwrap().expect("it is parked");
        assert_eq!(optview::codec::stored_record::encode_job(&parked).unwrap(), *bytes, "{id}");
    }
    writer.finish().unwrap();
}

/// Room for so many records in memory.
fn room_for(records: u64) -> u64 {
    records * 2_500
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn kills_and_restarts_change_nothing(
        seed in any::<u64>(),
        kills in proptest::collection::vec(1..250usize, 0..6),
        most_in_a_batch in 1..60u64,
        records_in_memory in 1..40u64,
    ) {
        let partitions = partitions(&history(seed, 30));
        let directory = tempfile::tempdir().unwrap();
        let budget = room_for(records_in_memory);
        for (kill, at) in (1..).zip(kills) {
            let run = Run { most_in_a_batch, killed_after: Some(at), ..Run::to_the_end(seed ^ kill) };
            project(directory.path(), &partitions, run, |settings| settings.memory_budget = budget);
        }
        let run = Run { most_in_a_batch, ..Run::to_the_end(seed) };
        let status = project(directory.path(), &partitions, run, |settings| settings.memory_budget = budget);
        let report = status.expect("it is not killed").report();
        prop_assert_eq!(report.lag_records, Some(0));
        check(directory.path(), &expected(&partitions, |_, _| false));
        // Once more from the checkpoint: nothing is left to be read but the last record of each, to know the topics by.
        let again = Run::to_the_end(seed);
        let status = project(directory.path(), &partitions, again, |settings| settings.memory_budget = budget);
        prop_assert_eq!(status.expect("it is not killed").report().dead_letters, 0);
        check(directory.path(), &expected(&partitions, |_, _| false));
    }
}

#[test]
fn what_memory_cannot_hold_is_written_and_loaded_again() {
    let partitions = partitions(&history(5, 30));
    let directory = tempfile::tempdir().unwrap();
    let loads = counted("optview_store_loads_total", || {
        // Small batches: between two of them, memory is looked at.
        let run = Run { most_in_a_batch: 7, ..Run::to_the_end(1) };
        project(directory.path(), &partitions, run, |settings| settings.memory_budget = room_for(2));
    });
    assert!(loads > 50, "{loads}");
    check(directory.path(), &expected(&partitions, |_, _| false));
}

#[test]
fn large_texts_count_by_their_bytes_so_that_memory_holds_few_of_them() {
    const COUNT: usize = 60;
    let mut partitions = partitions(&history(5, 1));
    let partition = partitions.iter_mut().find(|held| held.topic == Topic::Optimizations).unwrap();
    let mut push = |sequence: usize, at: usize, event: String| {
        let value = format!(
            r#"{{"metadata":{{"eventId":"e-{at}-{sequence}","occurredAt":"2026-03-01T09:00:00Z","sequence":{sequence}}},"optimizationId":"large-{at}",{event}}}"#
        );
        partition.push(format!("large-{at}").into_bytes(), Some(value.into_bytes()));
    };
    let text = "x".repeat(200_000);
    for at in 0..COUNT {
        let created =
            format!(r#""created":{{"organizationId":"o","projectId":"p","objectives":{{"a":"{text}"}}}}"#);
        push(1, at, created);
    }
    (0..COUNT).for_each(|at| push(2, at, r#""detailsChanged":{"name":"later"}"#.to_owned()));
    let directory = tempfile::tempdir().unwrap();
    let loads = counted("optview_store_loads_total", || {
        let run = Run { most_in_a_batch: 7, ..Run::to_the_end(1) };
        // By their number alone, there would be room for all.
        project(directory.path(), &partitions, run, |settings| settings.memory_budget = 2 << 20);
    });
    assert!(loads > COUNT as u64 / 2, "{loads}");
    check(directory.path(), &expected(&partitions, |_, _| false));
}

#[test]
fn dead_letters_are_kept_and_counted_once_however_often_they_are_read() {
    let mut partitions = partitions(&history(1, 10));
    let mut garbage = BTreeSet::new();
    for partition in &mut partitions {
        for _ in 0..3 {
            garbage.insert((partition.topic, partition.number, partition.records.len() as i64));
            partition.push(b"key".to_vec(), Some(b"{ no event".to_vec()));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    for seed in 0..3 {
        let run = Run { killed_after: Some(130), ..Run::to_the_end(seed) };
        project(directory.path(), &partitions, run, |_| {});
    }
    for seed in 0..2 {
        let status = project(directory.path(), &partitions, Run::to_the_end(seed), |_| {});
        assert_eq!(status.expect("it is not killed").report().dead_letters, garbage.len() as u64);
    }
    let is_garbage =
        |partition: &Partition, offset| garbage.contains(&(partition.topic, partition.number, offset));
    check(directory.path(), &expected(&partitions, is_garbage));
}

#[test]
fn a_partition_that_fails_stops_alone_and_goes_on_after_a_restart() {
    let mut partitions = partitions(&history(2, 20));
    let (topic, number) = (Topic::Jobs, 1);
    let failing = partitions.iter_mut().find(|held| held.topic == topic && held.number == number).unwrap();
    let at = failing.records.len() as i64 / 2;
    assert!(at > 5);
    failing.fails_at = Some(at);
    let directory = tempfile::tempdir().unwrap();
    let until = |playing: &ScriptPlayer<'_>| playing.is_over() && playing.status.report().state == State::Stalled;
    let run = Run { until, ..Run::to_the_end(1) };
    let status = project(directory.path(), &partitions, run, |_| {}).expect("it is not killed");
    let report = status.report();
    assert!(report.last_error.as_deref().is_some_and(|error| error.contains("the script says so")), "{report:?}");
    let stopped = report.partitions.iter().filter(|held| held.state == PartitionState::Stopped);
    let stopped: Vec<_> =
        stopped.map(|held| (&*held.topic, held.partition, held.position, held.freshness.stop_code)).collect();
    let expected_stop = ("jobs", number, at, Some("unreadable"));
    assert_eq!(stopped, [expected_stop], "the record at which it failed is still to be read");
    let lost = |partition: &Partition, offset: i64| {
        (partition.topic, partition.number) == (topic, number) && offset >= at
    };
    check(directory.path(), &expected(&partitions, lost));

    partitions.iter_mut().for_each(|partition| partition.fails_at = None);
    project(directory.path(), &partitions, Run::to_the_end(2), |_| {}).expect("it is not killed");
    check(directory.path(), &expected(&partitions, |_, _| false));
}

/// The count of a metric at the end of a run.
pub fn counted(metric: &str, run: impl FnOnce()) -> u64 {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, run);
    let text = handle.render();
    let line = text.lines().find(|line| line.starts_with(metric));
    line.map_or(0, |line| line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count"))
}

/// Two projectors read the same in different orders, and hold now and then where the one that is further is.
#[test]
fn projectors_that_hold_at_the_same_positions_hold_the_same() {
    let partitions = partitions(&history(5, 60));
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let opened = directories.each_ref().map(|directory| fixtures::open(directory.path()));
    let readers = opened.each_ref().map(|opened| opened.writer.reader());
    let controls = [Arc::new(PauseHandle::default()), Arc::new(PauseHandle::default())];
    let patience = Duration::from_secs(20);
    let (mut compared, mut rounds) = (0, 0);
    std::thread::scope(|scope| {
        for ((opened, control), seed) in opened.into_iter().zip(&controls).zip([3, 4]) {
            let partitions = &partitions;
            scope.spawn(move || {
                let status = Status::new(1);
                let run = Run { until: |_| false, most_in_a_batch: 5, ..Run::to_the_end(seed) };
                let mut source = ScriptPlayer::new(partitions, run, status.clone(), control.clone());
                let settings = script::settings(&opened.path, 0);
                projector::run(&mut source, opened.writer, settings, status, control).unwrap();
            });
        }
        let ends = || partitions.iter().map(|held| (held.topic_partition(), held.records.len() as i64));
        loop {
            let held = controls.each_ref().map(|control| control.pause_here(patience).unwrap());
            let mut furthest = held[0].clone();
            for (partition, position) in &held[1] {
                let furthest = furthest.entry(*partition).or_default();
                *furthest = (*furthest).max(*position);
            }
            for control in &controls {
                assert_eq!(control.pause_at(furthest.clone(), patience).unwrap(), furthest);
            }
            let id = |id: &str| readers.each_ref().map(|reader| reader.get(id, None).unwrap());
            for number in 0..60 {
                let [one, other] = id(&optimization_id(&partitions, number));
                assert_eq!(one, other, "at {furthest:?}");
                compared += u32::from(one.is_some());
            }
            rounds += 1;
            if rounds % 16 == 0 {
                controls[0].checkpoint_at(furthest.clone(), patience).unwrap();
            }
            if furthest.iter().map(|(partition, position)| (*partition, *position)).eq(ends()) {
                break;
            }
            controls.iter().for_each(|control| control.resume());
        }
        controls.iter().for_each(|control| control.stop());
    });
    assert!(compared > 60, "it held before the end, too: {compared} in {rounds}");
    drop(readers);
    for directory in directories {
        check(directory.path(), &expected(&partitions, |_, _| false));
    }
}

/// The id of an optimization that the history creates.
fn optimization_id(partitions: &[Partition], number: usize) -> String {
    let optimizations = partitions.iter().filter(|held| held.topic == Topic::Optimizations);
    let mut ids: Vec<_> = optimizations.flat_map(|held| held.records.iter().map(|record| &record.key)).collect();
    ids.sort();
    ids.dedup();
    String::from_utf8(ids[number % ids.len()].clone()).unwrap()
}

/// Runs on a disk in memory, which others hardly write to meanwhile.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_is_noticed_in_time_and_reading_goes_on_once_there_is_room() {
    const MIB: u64 = 1 << 20;
    let memory = std::path::Path::new("/dev/shm");
    let free = || optview::disk::free_bytes(memory).unwrap();
    if !memory.is_dir() || free() < 64 * MIB {
        println!("not run: it needs 64 MiB in {}", memory.display());
        return;
    }
    let partitions = partitions(&history(4, 3_000));
    let records: usize = partitions.iter().map(|partition| partition.records.len()).sum();
    let directory = tempfile::tempdir_in(memory).unwrap();
    let ballast = directory.path().join("ballast");
    std::fs::write(&ballast, vec![0; 24 << 20]).unwrap();
    let floor = free() - 4 * MIB;
    let writer = fixtures::open(directory.path()).writer;
    let (status, control) = (Status::new(1), Arc::new(PauseHandle::default()));
    let mut source = ScriptPlayer::new(&partitions, Run::to_the_end(1), status.clone(), control.clone());
    let settings = Settings {
        disk_reserve: DiskReserve { floor_bytes: floor },
        // No checkpoint is due meanwhile, nor does all wait in memory.
        catch_up_sync_interval: Duration::from_secs(3600),
        ..script::settings(directory.path(), room_for(100))
    };
    std::thread::scope(|scope| {
        let running = scope.spawn(|| projector::run(&mut source, writer, settings, status.clone(), &control));
        while status.state() != State::Stalled && !running.is_finished() {
            std::thread::yield_now();
        }
        assert!(status.report().last_error.is_some_and(|error| error.contains("--min-free-disk")));
        assert!(status.report().lag_records.is_none_or(|lag| lag > 0), "there is more to read");
        assert!(free() + 12 * MIB > floor, "{} of {floor}", free());
        std::fs::remove_file(&ballast).unwrap();
        while !running.is_finished() {
            std::thread::yield_now();
        }
        running.join().unwrap().unwrap();
    });
    assert_eq!(source.delivered, records);
}

#[test]
fn nothing_is_read_while_the_disk_is_too_full() {
    let partitions = partitions(&history(4, 5));
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let (status, control, clock) = (Status::new(1), Arc::new(PauseHandle::default()), Clock::new());
    let mut source = ScriptPlayer::new(&partitions, Run::to_the_end(1), status.clone(), control.clone());
    source.clock = Some(clock.clone());
    let settings =
        Settings { disk_reserve: DiskReserve { floor_bytes: u64::MAX }, ..script::settings(directory.path(), 0) };
    let mut stepped = SteppedProjector::new(writer, settings, source, status, &control, clock);
    let report = stepped.turn_until("stalled", |report| report.state == State::Stalled);
    assert!(report.last_error.is_some_and(|error| error.contains("--min-free-disk")));
    (0..100).for_each(|_| stepped.turn(A_REPORT));
    let source = stepped.finish();
    assert_eq!((source.polls, source.delivered), (0, 0));
    assert!(fixtures::open(directory.path()).writer.checkpoint_at_open().is_empty());
}
