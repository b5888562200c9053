//! Losses of one store compared with another are found view by view and job by job, even if the other one was
//! folded by another version and cannot be decoded.

use std::path::Path;
use std::time::{Duration, Instant};

use optview::data_dir::DataDirError;
use optview::domain::{Commit, Optimization, Shortfall};
use optview::store::{self, OpenError, ReadOnlyStore, Reader, ViewDiff, compare, is_missing_job};

use crate::fixtures;
use crate::other_version::fold_otherwise;

fn named(id: &str, sequence: u64) -> Optimization {
    fixtures::optimization(id, sequence, format!("name {sequence}"), format!("described {sequence}"))
}

/// Writes a closed store of these optimizations, and of parked jobs, each with its number of statuses.
fn written(optimizations: Vec<Optimization>, jobs: &[(&str, u64)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let commit = Commit {
        jobs: jobs.iter().map(|&(id, sequence)| (id.into(), Some(fixtures::job(sequence).into()))).collect(),
        ..fixtures::commit_of(optimizations)
    };
    writer.commit(commit, Vec::new(), 1).unwrap();
    writer.finish().unwrap();
    directory
}

fn open(directory: &Path) -> Reader {
    let begin = Instant::now();
    loop {
        match store::open_existing(directory, fixtures::CACHE_BYTES) {
            Err(OpenError::DataDir(DataDirError::Held { .. })) if begin.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => {
                let ReadOnlyStore { reader, .. } = opened.unwrap();
                return reader;
            }
        }
    }
}

fn deleted(id: &str) -> Optimization {
    let mut optimization = named(id, 1);
    optimization.deleted = Some(optview::domain::Register::new((), fixtures::stamp(9)));
    optimization
}

#[test]
fn views_that_vanish_or_go_back_are_told_from_those_that_only_differ() {
    let ids = ["same", "gone", "back", "ahead", "deleted"];
    let old = written(ids.map(|id| named(id, 5)).to_vec(), &[]);
    let new = written(vec![named("same", 5), named("back", 4), named("ahead", 6), deleted("deleted")], &[]);
    let (old, new) = (open(old.path()), open(new.path()));
    let of = |id: &str| compare(&old, &new, id).unwrap();
    assert_eq!(of("same"), (ViewDiff::Same, Shortfall::default()));
    assert_eq!(of("gone"), (ViewDiff::OnlyOld, Shortfall { view: true, ..Shortfall::default() }));
    let (compared, shortfall) = of("back");
    assert!(matches!(compared, ViewDiff::Differing(_)), "{compared:?}");
    assert_eq!(shortfall.fields, ["name", "description"]);
    let (compared, shortfall) = of("ahead");
    assert!(matches!(compared, ViewDiff::Differing(_)) && shortfall.is_empty(), "{compared:?} {shortfall:?}");
    let (compared, shortfall) = of("deleted");
    assert!(compared == ViewDiff::OnlyOld && shortfall.is_empty(), "an event took it away: {shortfall:?}");
}

#[test]
fn of_another_versions_records_what_is_shown_is_held_against_the_new_ones() {
    let unnamed = |id: &str| {
        let mut optimization = Optimization::new(id.into());
        optimization.created = Some(fixtures::created(0));
        optimization
    };
    let old = written(["same", "gone", "nameless", "deleted"].map(|id| named(id, 5)).to_vec(), &[]);
    let new = written(vec![named("same", 5), unnamed("nameless"), deleted("deleted")], &[]);
    fold_otherwise(&old.path().join("generations/000001"));
    let (old, new) = (open(old.path()), open(new.path()));
    assert!(old.check_format().is_err(), "it cannot be decoded");
    let of = |id: &str| compare(&old, &new, id).unwrap().1;
    assert!(of("same").is_empty());
    assert!(of("gone").view);
    assert_eq!(of("nameless").fields, ["description", "name"]);
    assert!(of("deleted").is_empty());
}

#[test]
fn jobs_that_wait_are_missing_where_they_are_not_there_or_know_less() {
    let mut home = named("home", 1);
    home.link(&"taken-in".into(), fixtures::stamp(1));
    home.job = fixtures::job(5);
    let jobs = [("same", 5), ("gone", 5), ("older", 5), ("taken-in", 5)];
    let old = written(Vec::new(), &jobs);
    let new = written(vec![home], &[("same", 5), ("older", 4)]);
    let (old, new) = (open(old.path()), open(new.path()));
    let ids = old.parked_ids_after(None, 100).unwrap();
    assert_eq!(ids.len(), jobs.len());
    let is_missing = |id: &str| is_missing_job(&old, &new, id).unwrap();
    assert!(is_missing("gone") && is_missing("older"));
    assert!(!is_missing("same") && !is_missing("taken-in"), "an optimization has it by now");
}
