//! Views of any size: a record that is too large for one value is stored in pieces, which no reader notices.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use optview::domain::event::{JobChange, JsonObject, Metadata, RunChange};
use optview::domain::{Commit, Job, Optimization, PartitionOffset, Timestamp, Topic};
use optview::store::{ListQuery, OpenStore, Writer};
use serde_json::Value;

use crate::fixtures;

fn object(seed: u64, members: u64) -> String {
    let members: BTreeMap<String, String> =
        (0..members).map(|at| (format!("Time {at} [s]"), fixtures::text(seed + at, 40))).collect();
    serde_json::to_string(&members).unwrap()
}

/// Returns a job of 64 statuses, each with a long event id, and with runs in no pattern.
fn large_job(seed: u64) -> Job {
    let mut job = Job::default();
    for sequence in 1..=63 {
        let mut stamp = fixtures::stamp(sequence);
        stamp.version.event_id = fixtures::text(seed + sequence, 200).into();
        job.apply(&JobChange::Processing, stamp);
    }
    let metrics = Some(JsonObject(object(seed, 500).into()));
    job.apply(&JobChange::Completed { metrics }, fixtures::stamp(64));
    let mut random = fixtures::Random(seed);
    for _ in 0..2_000 {
        let metadata = Metadata { event_id: "run".into(), occurred_at: Timestamp::default(), sequence: 0 };
        let source = PartitionOffset { topic: Topic::MultistartRuns, partition: 0, offset: 0 };
        job.apply_run(random.below(1 << 32) as u32, &RunChange::Started, &metadata, source);
    }
    assert_eq!(job.history().len(), 64);
    job
}

fn large(id: &str, seed: u64) -> Optimization {
    let (name, description) = (fixtures::text(seed, 50_000), fixtures::text(seed + 1, 200_000));
    let mut optimization = fixtures::optimization(id, 1, name, description);
    optimization.created.as_mut().unwrap().value.objectives = Some(object(seed, 400).into());
    optimization.link(&Arc::from("job-1"), fixtures::stamp(2));
    optimization.job = large_job(seed);
    optimization
}

fn small(id: &str) -> Optimization {
    fixtures::optimization(id, 1, "short".to_owned(), String::new())
}

fn open(directory: &Path) -> Writer {
    let OpenStore { writer, moved_aside, .. } = fixtures::open(directory);
    assert_eq!(moved_aside, None);
    writer
}

fn commit(writer: &Writer, commit: Commit, number: u64) {
    writer.commit(commit, Vec::new(), number).unwrap();
    while writer.commits_written() < number {
        writer.check().unwrap();
        std::thread::yield_now();
    }
}

fn tree_lens(directory: &Path) -> BTreeMap<&'static str, usize> {
    let db = fixtures::open_database(directory);
    let trees = ["optimizations", "jobs", "pieces", "dead-letters"];
    for tree in trees {
        let longest = db.open_tree(tree).unwrap().iter().map(|entry| entry.unwrap().1.len()).max();
        assert!(longest.is_none_or(|longest| longest < 7_000), "sled would keep it in a file that it never syncs");
    }
    trees.map(|tree| (tree, count_values(&db.open_tree(tree).unwrap()))).into_iter().collect()
}

/// Counts the values of a tree. An empty one is a place that is kept for a record to come.
fn count_values(tree: &sled::Tree) -> usize {
    tree.iter().values().filter(|value| !value.as_ref().unwrap().is_empty()).count()
}

fn check(writer: &Writer, optimization: &Optimization) {
    assert_eq!(writer.optimization(&optimization.id).unwrap().as_ref(), Some(optimization));
    let created = &optimization.created.as_ref().unwrap().value;
    let reader = writer.reader();
    let response = reader.get(&optimization.id, None).unwrap().unwrap();
    let mut view: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(view["name"].as_str(), optimization.name.as_ref().map(|name| &*name.value));
    assert_eq!(view["run_count"], optimization.job.runs.len());
    assert_eq!(view["metrics"].is_null(), optimization.job.status().is_none());
    assert!(view["objectives"].is_null());
    let page = reader.list(&ListQuery { limit: 10, ..ListQuery::default() }).unwrap();
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    let objectives = created.objectives.as_deref().map(|text| serde_json::from_str(text).unwrap());
    view["objectives"] = objectives.unwrap_or_default();
    assert!(page["optimizations"].as_array().unwrap().contains(&view));
}

#[test]
fn large_records_are_read_back_and_leave_nothing_behind_when_they_shrink() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    let (first, other) = (large("optimization-1", 1), small("optimization-2"));
    let jobs = vec![(Arc::from("job-parked"), Some(Arc::new(large_job(5))))];
    commit(&writer, Commit { jobs, ..fixtures::commit_of(vec![first.clone(), other.clone()]) }, 1);
    writer.commit(Commit::default(), vec![fixtures::dead_letter(3, vec![7; 1 << 20])], 2).unwrap();
    check(&writer, &first);
    check(&writer, &other);
    writer.finish().unwrap();
    assert!(tree_lens(directory.path())["pieces"] > 200);

    let writer = open(directory.path());
    check(&writer, &first);
    check(&writer, &other);
    assert_eq!(writer.parked_job("job-parked").unwrap(), Some(large_job(5)));
    assert_eq!(writer.dead_letters(), 1);
    // The records are the same one again, another large one, and a small one.
    for (number, next) in (1..).zip([first, large("optimization-1", 2), small("optimization-1")]) {
        let jobs = vec![(Arc::from("job-parked"), (number < 3).then(|| Arc::new(large_job(5 + number))))];
        commit(&writer, Commit { jobs, ..fixtures::commit_of(vec![next.clone()]) }, number);
        check(&writer, &next);
    }
    assert_eq!(writer.parked_job("job-parked").unwrap(), None);
    writer.finish().unwrap();
    let lens = tree_lens(directory.path());
    assert_eq!((lens["optimizations"], lens["jobs"], lens["dead-letters"]), (2, 0, 1));
    assert_eq!(lens["pieces"], (1 << 20) / 6_500 + 1, "those of the dead letter");
}

#[test]
fn a_reader_never_sees_a_mix_or_an_error_while_large_values_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    // The values alternate between few, so that a reader may find the same value before and after a read although
    // it changed in between.
    let values: Vec<Optimization> = [100_000, 100_000]
        .into_iter()
        .zip(0..)
        .map(|(len, seed)| {
            fixtures::optimization("optimization-1", 1, seed.to_string(), fixtures::text(seed, len))
        })
        .collect();
    let descriptions: Vec<_> =
        values.iter().map(|value| value.description.as_ref().unwrap().value.clone()).collect();
    commit(&writer, fixtures::commit_of(vec![values[0].clone()]), 1);
    let ended = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let read = || {
            let reader = writer.reader();
            let mut seen = [0; 2];
            while !ended.load(Ordering::Relaxed) {
                let response = reader.get("optimization-1", None).expect("no error").expect("it is always there");
                let view: Value = serde_json::from_slice(&response.body).unwrap();
                let which: usize = view["name"].as_str().unwrap().parse().unwrap();
                assert_eq!(view["description"].as_str(), Some(&*descriptions[which]));
                seen[which] += 1;
            }
            seen
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        let begin = Instant::now();
        let mut number = 1;
        while begin.elapsed() < Duration::from_secs(3) && !readers.iter().any(|reader| reader.is_finished()) {
            number += 1;
            let value = values[number as usize % values.len()].clone();
            if writer.commit(fixtures::commit_of(vec![value]), Vec::new(), number).is_err() {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(
        seen.iter().flatten().sum::<i32>() > 100 && seen[0].iter().filter(|count| **count > 0).count() > 1,
        "{seen:?}"
    );
    writer.finish().unwrap();
}
