//! A fold of an archive gives the same as a fold of the topics.

use std::path::Path;
use std::time::{Duration, Instant};

use optview::domain::{OwnedRecord, Topic, TopicPartition};
use optview::projector::{self, PauseHandle};
use optview::source::archive::{ArchiveSource, Manifest};
use optview::source::{Source, SourceEvent, Watermarks};
use optview::status::{State, Status};

use super::script::{self, Partition, Run, partitions, project};
use super::{check, expected, history, room_for};
use crate::{archive, fixtures};

/// The partitions' records, ten of each in turn, in several files.
pub fn archived(partitions: &[Partition]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let rounds = partitions.iter().map(|partition| partition.records.len().div_ceil(10)).max().unwrap();
    for half in [0..rounds / 2, rounds / 2..rounds] {
        let mut appender = archive::appender(directory.path());
        for round in half {
            for partition in partitions {
                let records = partition.records.iter().skip(round * 10).take(10);
                let records: Vec<_> = records.map(|record| OwnedRecord::from(&record.record())).collect();
                archive::write(&mut appender, &records);
            }
            appender.commit().unwrap();
        }
        appender.finish().unwrap();
    }
    directory
}

/// Runs the projector over an archive until its state is as it should be. Returns the report's last error.
fn project_archive(archive: &Path, data: &Path, until: fn(State) -> bool) -> Option<String> {
    let opened = fixtures::open(data);
    let mut source = ArchiveSource::open(archive).unwrap();
    let (status, control) = (Status::new(1), PauseHandle::default());
    let settings = script::settings(&opened.path, room_for(1000));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let running =
            scope.spawn(|| projector::run(&mut source, opened.writer, settings, status.clone(), &control));
        while !until(status.state()) && !running.is_finished() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", status.report());
            std::thread::yield_now();
        }
        control.stop();
        running.join().unwrap().unwrap();
    });
    status.report().last_error
}

#[test]
fn an_archive_gives_the_same_records_as_the_topics() {
    let partitions = partitions(&history(7, 40));
    let (archive, data) = (archived(&partitions), tempfile::tempdir().unwrap());
    project_archive(archive.path(), data.path(), |state| state == State::Live);
    check(data.path(), &expected(&partitions, |_, _| false));
}

#[test]
fn an_archive_and_then_what_the_topics_hold_beyond_it_give_the_same_records() {
    let whole = partitions(&history(8, 40));
    let mut first = partitions(&history(8, 40));
    first.iter_mut().for_each(|partition| partition.records.truncate(partition.records.len() / 2));
    let (archive, data) = (archived(&first), tempfile::tempdir().unwrap());
    project_archive(archive.path(), data.path(), |state| state == State::Live);
    project(data.path(), &whole, Run::to_the_end(1), |_| {});
    check(data.path(), &expected(&whole, |_, _| false));
}

#[test]
fn damage_in_an_archive_stops_every_partition_and_is_named() {
    let partitions = partitions(&history(9, 40));
    let (archive, data) = (archived(&partitions), tempfile::tempdir().unwrap());
    let name = &Manifest::read(archive.path()).unwrap().files[1].name;
    let path = archive.path().join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = project_archive(archive.path(), data.path(), |state| state == State::Stalled);
    assert!(error.is_some_and(|error| error.contains(name) && error.contains("archive verify")));
}

#[test]
fn what_was_read_of_an_archive_is_not_given_again() {
    let partitions = partitions(&history(10, 40));
    let archive = archived(&partitions);
    let mut source = ArchiveSource::open(archive.path()).unwrap();
    let (mut given, mut ended) = (0, 0);
    let mut found = Vec::new();
    while ended < partitions.len() {
        source.poll(Duration::from_millis(10), &mut |polled| match polled {
            SourceEvent::Found { partition, watermarks } => found.push((partition, watermarks)),
            SourceEvent::Records(records) => given += records.len(),
            SourceEvent::Ended { .. } => ended += 1,
            SourceEvent::Failed { reason, .. } => panic!("{reason}"),
        });
        for (partition, Watermarks { low, high }) in found.drain(..) {
            assert_eq!(low, 0);
            // All but the last five, and nothing at all of one topic.
            let offset = if partition.topic == Topic::Jobs { high } else { high - 5 };
            source.assign(partition, offset).unwrap();
        }
    }
    assert_eq!(given, 4 * 5);
    assert!(source.assign(TopicPartition::new(Topic::Jobs, 0), 0).is_err(), "it has been read");
}
