//! `verify` finds and names each thing that can be wrong with a store, and finds nothing in a sound one, also while the store is
//! written and after a kill.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::codec::stored_record;
use optview::data_dir::DataDirError;
use optview::domain::event::JobChange;
use optview::domain::{Commit, NamedPartition, Optimization, TopicId};
use optview::store::verify::{PartitionBounds, TopicBounds, VerifyReport, VerifySettings, verify};
use optview::store::{self, Checkpoint, OpenError, PartitionCheckpoint, ReadOnlyStore, Reader, Writer};

use crate::fixtures;

const VIEWS: u32 = 300;
const JOBS: u64 = 7;
const DEAD_LETTERS: i64 = 3;

/// Makes an optimization. Every fiftieth has pieces, and every third a job that may be completed.
fn optimization(number: u32, sequence: u64) -> Optimization {
    let len = if number.is_multiple_of(50) { 20_000 } else { 100 };
    let text = fixtures::text(u64::from(number) + sequence, len);
    let mut optimization =
        fixtures::optimization(&format!("o{number}"), sequence, format!("name {sequence}"), text);
    if number.is_multiple_of(3) {
        optimization.link(&Arc::from(format!("j{number}")), fixtures::stamp(1));
        optimization.job.apply(&JobChange::Pending, fixtures::stamp(2));
        if sequence.is_multiple_of(2) {
            optimization.job.apply(&JobChange::Completed { metrics: None }, fixtures::stamp(sequence + 2));
        }
    }
    optimization
}

fn commit(sequence: u64) -> Commit {
    let jobs = (0..JOBS).map(|job| (format!("parked-{job}").into(), Some(fixtures::job(sequence).into())));
    let optimizations = (0..VIEWS).map(|number| optimization(number, sequence)).collect();
    Commit { jobs: jobs.collect(), ..fixtures::commit_of(optimizations) }
}

/// Makes a store that was written, caught up, and closed.
fn written_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    write(&writer, 1..=3);
    writer.note_caught_up();
    writer.finish().unwrap();
    directory
}

fn write(writer: &Writer, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        let dead_letters = (0..DEAD_LETTERS).map(|offset| fixtures::dead_letter(offset, vec![1; 9_000])).collect();
        writer.commit(commit(sequence), dead_letters, sequence).unwrap();
        let partition = PartitionCheckpoint { next_offset: 10, anchor: None, topic_id: Some(topic_id(1)) };
        writer.checkpoint(Checkpoint::from([(NamedPartition::new("jobs", 0), partition)])).unwrap();
    }
}

fn topic_id(number: i64) -> TopicId {
    TopicId { most_significant: 7, least_significant: number }
}

fn check(reader: &Reader, bounds: &dyn Fn() -> Option<TopicBounds>) -> VerifyReport {
    let settings = VerifySettings { gently: false, bounds, watch: &mut |_| ControlFlow::Continue(()) };
    verify(reader, settings).expect("it goes on to its end")
}

/// Opens a store for reading, a moment later if this process has just closed it.
fn open(directory: &Path) -> ReadOnlyStore {
    let begin = Instant::now();
    loop {
        match store::open_existing(directory, fixtures::CACHE_BYTES) {
            Err(OpenError::DataDir(DataDirError::Held { .. })) if begin.elapsed() < Duration::from_secs(20) => {
                std::thread::yield_now()
            }
            opened => return opened.unwrap(),
        }
    }
}

fn verify_store(directory: &Path) -> VerifyReport {
    check(&open(directory).reader, &|| None)
}

/// Plants something in the trees of a sound store, and returns the only problem that is found.
fn problem_of(plant: impl FnOnce(&sled::Db)) -> String {
    let directory = written_store();
    let db = fixtures::open_database(directory.path());
    plant(&db);
    drop(db);
    let VerifyReport { problems_found, problems, .. } = verify_store(directory.path());
    assert_eq!(problems_found, 1, "{problems:?}");
    format!("{} {}: {}", problems[0].of, problems[0].which, problems[0].problem)
}

fn tree(db: &sled::Db, name: &str) -> sled::Tree {
    assert!(db.tree_names().contains(&sled::IVec::from(name)), "{name}");
    db.open_tree(name).unwrap()
}

fn put(db: &sled::Db, number: u32, optimization: &Optimization) {
    let mut bytes = Vec::new();
    stored_record::encode_optimization(optimization, &mut bytes).unwrap();
    tree(db, "optimizations").insert(number.to_be_bytes(), bytes).unwrap();
}

#[test]
fn a_sound_store_has_no_problem_and_all_of_it_is_counted() {
    let directory = written_store();
    let found = verify_store(directory.path());
    assert_eq!(found.problems, []);
    let large = u64::from(VIEWS) / 50;
    assert_eq!((found.records, found.views), (u64::from(VIEWS), u64::from(VIEWS)));
    assert_eq!(found.catalog_entries, u64::from(VIEWS));
    assert_eq!((found.parked_jobs, found.dead_letters, found.projects), (JOBS, DEAD_LETTERS as u64, 1));
    assert!(found.pieces >= large * 4 + DEAD_LETTERS as u64 * 2, "{found:?}");
    assert_eq!((found.pieces_left_over, found.unsettled), (0, 0));
    assert_eq!((found.partitions, found.partitions_bounded), (1, 0));
    assert_eq!(verify_store(directory.path()), found, "looking changes nothing");
}

#[test]
fn a_record_that_does_not_decode_is_found() {
    let problem =
        problem_of(|db| drop(tree(db, "optimizations").insert(7_u32.to_be_bytes(), b"\x01nonsense").unwrap()));
    assert!(problem.starts_with("record o7: ") && problem.contains("cannot be read"), "{problem}");
}

#[test]
fn a_response_that_its_registers_do_not_give_is_found() {
    let problem = problem_of(|db| {
        let optimizations = tree(db, "optimizations");
        let mut bytes = optimizations.get(8_u32.to_be_bytes()).unwrap().unwrap().to_vec();
        let at = bytes.windows(4).position(|window| window == b"name").unwrap();
        bytes[at] = b'N';
        optimizations.insert(8_u32.to_be_bytes(), bytes).unwrap();
    });
    assert!(problem.starts_with("record o8: ") && problem.contains("not what its registers give"), "{problem}");
}

#[test]
fn a_record_that_is_gone_is_found() {
    let problem = problem_of(|db| drop(tree(db, "optimizations").remove(9_u32.to_be_bytes()).unwrap()));
    assert_eq!(problem, "record o9: the catalog has it, and there is no record of it");
}

#[test]
fn a_record_that_the_catalog_has_otherwise_is_found() {
    // It was written with a completed job, of which the catalog does not know.
    let problem = problem_of(|db| put(db, 3, &optimization(3, 4)));
    assert!(problem.starts_with("record o3: the catalog has it with another"), "{problem}");
}

#[test]
fn a_record_that_the_catalog_does_not_have_is_found() {
    let problem = problem_of(|db| put(db, VIEWS, &optimization(VIEWS, 1)));
    assert!(problem.contains("the catalog does not have it"), "{problem}");
    let problem = problem_of(|db| put(db, 10, &optimization(VIEWS, 1)));
    assert!(problem.contains("the catalog does not have it"), "{problem}");
}

#[test]
fn a_large_value_with_a_piece_missing_is_found() {
    let problem = problem_of(|db| {
        let pieces = tree(db, "pieces");
        let mut keys = pieces.iter().keys().map(Result::unwrap);
        let key = keys.find(|key| key.starts_with(b"optimizations\0\0\0\0\x32")).unwrap();
        pieces.remove(key).unwrap();
    });
    assert!(problem.starts_with("record o50: ") && problem.contains("pieces of it are missing"), "{problem}");
}

#[test]
fn pieces_that_a_kill_left_over_are_counted_and_are_no_problem() {
    let directory = written_store();
    let db = fixtures::open_database(directory.path());
    let pieces = tree(&db, "pieces");
    let (mut key, value) = pieces.iter().next().unwrap().unwrap();
    let at = key.len() - 5;
    key[at] ^= 1;
    pieces.insert(key, value).unwrap();
    drop((pieces, db));
    let found = verify_store(directory.path());
    assert_eq!((found.problems_found, found.pieces_left_over), (0, 1));
}

#[test]
fn a_piece_that_can_be_nobodys_is_found() {
    let problem = problem_of(|db| drop(tree(db, "pieces").insert(b"nonsense", b"").unwrap()));
    assert!(problem.starts_with("piece ") && problem.contains("none that is ever written"), "{problem}");
}

#[test]
fn a_parked_job_that_does_not_decode_is_found() {
    let problem = problem_of(|db| drop(tree(db, "jobs").insert("parked-3", b"\x01\xFF\xFF").unwrap()));
    assert!(problem.starts_with("parked job parked-3: "), "{problem}");
}

#[test]
fn a_dead_letter_that_does_not_decode_or_lies_elsewhere_is_found() {
    let instead = |bytes: &[u8]| {
        problem_of(|db| {
            let dead_letters = tree(db, "dead-letters");
            let key = dead_letters.first().unwrap().unwrap().0;
            dead_letters.insert(key, bytes).unwrap();
        })
    };
    let problem = instead(b"\x01nonsense");
    assert!(problem.starts_with("dead letter jobs/0@0: "), "{problem}");
    let problem = instead(&stored_record::encode_dead_letter(&fixtures::dead_letter(77, vec![1])).unwrap());
    assert!(problem.contains("of another position than its key"), "{problem}");
}

#[test]
fn a_checkpoint_that_does_not_decode_is_found() {
    let problem = problem_of(|db| drop(tree(db, "meta").insert("checkpoint", b"\x01\xFF").unwrap()));
    assert!(problem.starts_with("checkpoint "), "{problem}");
}

#[test]
fn a_checkpoint_outside_what_the_topics_have_is_found() {
    let directory = written_store();
    let existing = open(directory.path());
    let bounds = |low, high, topic_id| {
        Some(BTreeMap::from([(NamedPartition::new("jobs", 0), PartitionBounds { low, high, topic_id })]))
    };
    for (low, high, topic_id, expected) in [
        (0, 10, Some(topic_id(1)), None),
        (10, 12, None, None),
        (11, 12, Some(topic_id(1)), Some("were removed before they were read")),
        (0, 9, None, Some("or created again")),
        // The topic is longer than what was read, and yet another one.
        (0, 99, Some(topic_id(2)), Some("its id was")),
    ] {
        let found = check(&existing.reader, &|| bounds(low, high, topic_id));
        assert_eq!(found.partitions_bounded, 1);
        assert_eq!(found.problems.len(), usize::from(expected.is_some()), "{:?}", found.problems);
        for (problem, expected) in found.problems.iter().zip(expected) {
            assert!(problem.which == "jobs/0" && problem.problem.contains(expected), "{problem:?}");
        }
    }
    let found = check(&existing.reader, &|| Some(TopicBounds::new()));
    assert!(found.problems[0].problem.contains("the cluster has no such partition now"), "{found:?}");
}

#[test]
fn a_store_that_does_not_open_is_left_where_it_is() {
    let directory = written_store();
    let db = directory.path().join("generations/000001/db");
    std::fs::File::create(&db).unwrap();
    let error = store::open_existing(directory.path(), fixtures::CACHE_BYTES).err().expect("it is damaged");
    assert!(error.is_damage(), "{error}");
    assert_eq!(std::fs::metadata(&db).unwrap().len(), 0, "it is as it was");
    let found = optview::store::verify::report_unopenable(&error);
    assert_eq!((found.problems_found, found.records), (1, 0));
}

#[test]
fn what_a_kill_left_half_written_is_no_problem_until_the_tail_was_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    write(&writer, 1..=1);
    writer.finish().unwrap();
    let db = fixtures::open_database(directory.path());
    tree(&db, "optimizations").remove(9_u32.to_be_bytes()).unwrap();
    put(&db, 3, &optimization(3, 4));
    drop(db);
    let found = verify_store(directory.path());
    assert_eq!((found.problems_found, found.unsettled), (0, 2), "{:?}", found.problems);
}

#[test]
fn a_store_that_is_being_written_has_no_problem() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    write(&writer, 1..=1);
    writer.note_caught_up();
    fixtures::wait_until_written(&writer, 1);
    let reader = writer.reader();
    let mut sequence = 1;
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            let mut found = Vec::new();
            // On a loaded machine the writer may get nothing done for long.
            while found.len() < 5 || writer.commits_written() < 6 {
                found.push(check(&reader, &|| None));
            }
            found
        });
        // A few change at a time, as while live; some have pieces, and of some the place in the lists changes.
        while !verifying.is_finished() {
            sequence += 1;
            let changed = (0..VIEWS).filter(|number| u64::from(number % 25) == sequence % 25);
            let changed = changed.map(|number| optimization(number, sequence)).collect();
            writer.commit(fixtures::commit_of(changed), Vec::new(), sequence).unwrap();
            fixtures::wait_until_written(&writer, sequence);
        }
        for found in verifying.join().unwrap() {
            assert_eq!(found.problems, []);
            assert_eq!(found.records, u64::from(VIEWS));
        }
    });
    drop(reader);
    writer.finish().unwrap();
    let found = verify_store(directory.path());
    assert_eq!((found.problems_found, found.unsettled, found.pieces_left_over), (0, 0, 0));
}

#[test]
fn it_ends_where_nobody_waits_for_it() {
    let directory = written_store();
    let existing = open(directory.path());
    let settings = VerifySettings { gently: true, bounds: &|| None, watch: &mut |_| ControlFlow::Break(()) };
    assert_eq!(verify(&existing.reader, settings), None);
}
