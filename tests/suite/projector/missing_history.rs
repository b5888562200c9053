//! A store that is begun after the topics have lost their beginning shows that, through restarts and kills, until somebody accepts
//! it.

use optview::data_dir;
use optview::status::Status;
use optview::store;

use super::script::{Partition, Run, partitions, project};
use super::{check, expected, history};
use crate::fixtures;

/// The missing history in the status at the end of a run: topic, partition, and the first offset that is there.
fn missing(status: &Status) -> Vec<(String, i32, i64)> {
    let report = status.report();
    assert_eq!(report.last_error.is_some(), report.is_incomplete(), "{report:?}");
    report
        .missing_history
        .into_iter()
        .map(|missing| {
            assert_eq!(missing.from, 0);
            (missing.topic, missing.partition, missing.to)
        })
        .collect()
}

/// Histories whose first records are gone from the first and the last partition.
fn cut() -> Vec<Partition> {
    let mut partitions = partitions(&history(11, 30));
    for (at, low) in [(0, 7), (5, 3)] {
        assert!(partitions[at].records.len() as i64 > low + 10);
        partitions[at].low = low;
    }
    partitions
}

#[test]
fn records_that_were_gone_at_the_beginning_are_missing_until_that_is_accepted() {
    let partitions = cut();
    let directory = tempfile::tempdir().unwrap();
    let sorted = |mut missing: Vec<(String, i32, i64)>| {
        missing.sort();
        missing
    };
    let expected_missing = [("multistart-runs".to_owned(), 1, 3), ("optimizations".to_owned(), 0, 7)];
    let killed = Run { killed_after: Some(40), ..Run::to_the_end(1) };
    assert!(project(directory.path(), &partitions, killed, |_| {}).is_none());
    for seed in 2..4 {
        let status =
            project(directory.path(), &partitions, Run::to_the_end(seed), |_| {}).expect("it is not killed");
        assert!(status.is_incomplete());
        assert_eq!(sorted(missing(&status)), expected_missing);
    }
    // All that is there has been read.
    check(directory.path(), &expected(&partitions, |partition, offset| offset < partition.low));

    let (generation, accepted) = store::accept_missing_history(directory.path()).unwrap();
    assert_eq!((generation, accepted.len()), (1, 2));
    for seed in 4..6 {
        let status =
            project(directory.path(), &partitions, Run::to_the_end(seed), |_| {}).expect("it is not killed");
        assert_eq!(missing(&status), []);
    }
    let listed = data_dir::list(directory.path()).unwrap();
    let remembered = &listed[0].about.missing_history;
    assert_eq!(remembered.len(), 2, "the generation remembers what it lacks");
    assert!(remembered.iter().all(|missing| missing.accepted_at.is_some()), "{remembered:?}");
}

#[test]
fn records_that_were_read_before_they_were_removed_are_not_missing() {
    let mut partitions = partitions(&history(11, 30));
    let directory = tempfile::tempdir().unwrap();
    project(directory.path(), &partitions, Run::to_the_end(1), |_| {}).expect("it is not killed");
    partitions[0].low = 7;
    let status = project(directory.path(), &partitions, Run::to_the_end(2), |_| {}).expect("it is not killed");
    assert_eq!(missing(&status), []);
}

#[test]
fn a_store_that_is_begun_after_damage_misses_what_retention_has_removed() {
    let mut partitions = partitions(&history(11, 30));
    let directory = tempfile::tempdir().unwrap();
    project(directory.path(), &partitions, Run::to_the_end(1), |_| {}).expect("it is not killed");
    std::fs::File::create(directory.path().join("generations/000001/db")).unwrap();
    partitions[0].low = 7;
    // What the script opens must be whole: the damaged one is moved aside first.
    let opened = fixtures::open(directory.path());
    assert!(opened.moved_aside.is_some());
    opened.writer.finish().unwrap();
    let status = project(directory.path(), &partitions, Run::to_the_end(2), |_| {}).expect("it is not killed");
    assert_eq!(missing(&status), [("optimizations".to_owned(), 0, 7)]);
    let listed = data_dir::list(directory.path()).unwrap();
    assert_eq!(
        listed.iter().map(|listed| listed.name.as_str()).collect::<Vec<_>>(),
        ["000001.damaged-1", "000002"]
    );
    assert_eq!(listed[1].about.missing_history.len(), 1);
}
