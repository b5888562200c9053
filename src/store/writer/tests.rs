use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::store::verify::{VerifySettings, verify};

/// Opens the store in a directory, with a cache of 1 MiB.
fn open(directory: &Path) -> Writer {
    crate::store::open(directory, 1 << 20).unwrap().writer
}

/// Writes one commit of so many new optimizations, from number `begin` on.
fn write(writer: &Writer, begin: u32, count: u32, commit: u64) {
    let optimizations =
        (begin..begin + count).map(|number| Arc::new(Optimization::new(format!("o{number}").into()))).collect();
    writer.commit(Commit { optimizations, jobs: Vec::new() }, Vec::new(), commit).unwrap();
}

/// Returns the numbers of optimizations with a record, and the number of places.
fn numbers(trees: &Trees) -> (Vec<u32>, usize) {
    let (mut records, mut places) = (Vec::new(), 0);
    for (key, value) in trees.optimizations.iter().map(Result::unwrap) {
        match pieces::is_place(&value) {
            true => places += 1,
            false => records.push(u32::from_be_bytes((&*key).try_into().unwrap())),
        }
    }
    (records, places)
}

#[test]
fn records_take_the_places_that_were_kept_for_them_and_nobody_takes_a_place_for_a_record() {
    let directory = tempfile::tempdir().unwrap();
    for (commit, begin, count) in [(1, 0, 300), (2, 300, 1), (3, 301, 600)] {
        let writer = open(directory.path());
        write(&writer, begin, count, commit);
        let (trees, reader) = (writer.trees.clone(), writer.reader());
        writer.finish().unwrap();
        let (records, places) = numbers(&trees);
        assert_eq!(records, (0..begin + count).collect::<Vec<_>>());
        assert!((1..600).contains(&places), "{places} places are left");
        let last = (begin + count).to_be_bytes();
        assert_eq!(
            trees.optimizations.get(last).unwrap().as_deref(),
            Some(&[][..]),
            "there is a place for the next"
        );
        assert!(pieces::get(&trees, &trees.optimizations, &last).unwrap().is_none());
        assert!(pieces::get_stored(&trees.optimizations, &last).unwrap().is_none());
        let mut exported = 0;
        let count_records = &mut |_: crate::store::ExportedRecord<'_>| {
            exported += 1;
            Ok::<(), StoreError>(())
        };
        reader.begin_export().unwrap().each(count_records).unwrap();
        assert_eq!(exported, begin + count);
        let settings =
            VerifySettings { gently: false, bounds: &|| None, watch: &mut |_| ControlFlow::Continue(()) };
        let report = verify(&reader, settings).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(report.records, u64::from(begin + count));
    }
}

#[test]
fn a_place_is_made_only_where_nothing_is() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    write(&writer, 0, 100, 1);
    let trees = writer.trees.clone();
    writer.finish().unwrap();
    let before = numbers(&trees);
    // A process that knows less of the records than there are.
    ReservedPlaces::from(0).reserve(&trees, Some(99)).unwrap();
    assert_eq!(numbers(&trees), before);
}

#[test]
fn whoever_waits_for_a_commit_is_told_that_the_thread_has_panicked() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = crate::store::open(directory.path(), 1 << 20).unwrap().writer;
    writer.check().unwrap();
    let died = std::thread::spawn(|| std::panic::resume_unwind(Box::new("the store's thread")));
    while !died.is_finished() {
        std::thread::yield_now();
    }
    let alive = writer.thread.replace(died);
    assert!(matches!(writer.check(), Err(StoreError::WriterEnded(_))));
    writer.thread = alive;
    writer.finish().unwrap();
}
