//! A store that another version has folded is shown as it is, as long as it is laid out as this one knows; and is otherwise left as
//! it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use optview::codec::stored_record::FORMAT;
use optview::data_dir::DataDirError;
use optview::domain::{Commit, NamedPartition};
use optview::store::{
    self, Checkpoint, LAYOUT, ListQuery, OpenError, PartitionCheckpoint, ReadOnlyStore, StoreError,
};
use serde_json::{Value, json};

use crate::fixtures;
use crate::other_version::{OTHER_FORMAT, fold_otherwise};

/// The version of the catalog's chunks: only a chunk of this version can be damaged.
const CATALOG_VERSION: u8 = 2;

const VIEWS: u64 = 40;

fn generation(directory: &Path) -> PathBuf {
    directory.join("generations/000001")
}

/// A store with views of all sizes, a job that waits, and a dead letter.
fn written() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    let view = |number: u64| {
        let description = fixtures::text(number, if number.is_multiple_of(10) { 20_000 } else { 100 });
        fixtures::optimization(&format!("o{number}"), number, format!("name {number}"), description)
    };
    writer
        .commit(fixtures::commit_of((0..VIEWS).map(view).collect()), vec![fixtures::dead_letter(1, vec![1])], 1)
        .unwrap();
    let jobs = vec![("early".into(), Some(std::sync::Arc::new(fixtures::job(1))))];
    writer.commit(Commit { optimizations: Vec::new(), jobs }, Vec::new(), 2).unwrap();
    writer.note_cluster("a cluster").unwrap();
    let held = PartitionCheckpoint { next_offset: 77, anchor: None, topic_id: None };
    writer.checkpoint(Checkpoint::from([(NamedPartition::new("jobs", 0), held)])).unwrap();
    writer.finish().unwrap();
    directory
}

fn open(directory: &Path) -> ReadOnlyStore {
    let begin = std::time::Instant::now();
    loop {
        match store::open_existing(directory, fixtures::CACHE_BYTES) {
            Err(OpenError::DataDir(DataDirError::Held { .. }))
                if begin.elapsed() < std::time::Duration::from_secs(20) =>
            {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// All that readers get.
fn shown(existing: &ReadOnlyStore) -> Vec<store::Response> {
    let reader = &existing.reader;
    let mut shown: Vec<_> = (0..VIEWS)
        .map(|number| reader.get(&format!("o{number}"), Some(fixtures::ORGANIZATION)).unwrap().expect("a view"))
        .collect();
    let list = reader.list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
    shown.push(store::Response { body: list.body, etag: list.total });
    shown
}

/// Returns the names in the directory of generations.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join("generations")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_store_of_another_fold_format_is_read_byte_for_byte_and_nothing_in_it_is_decoded() {
    let directory = written();
    let ours = open(directory.path());
    assert!(!ours.reader.is_frozen());
    let before = shown(&ours);
    drop(ours);
    fold_otherwise(&generation(directory.path()));
    let existing = open(directory.path());
    assert_eq!(existing.reader.frozen_format(), Some(OTHER_FORMAT));
    assert_eq!(shown(&existing), before);
    assert_eq!(existing.reader.views(), VIEWS);
    assert_eq!(existing.reader.count_dead_letters().unwrap(), 1);
    assert_eq!(existing.reader.checkpoint().unwrap().values().next().unwrap().next_offset, 77);
    assert_eq!(existing.reader.cluster().unwrap().as_deref(), Some("a cluster"));
    for refused in [
        existing.reader.stored_record("o1").err(),
        existing.reader.parked_job("early").err(),
        existing.reader.begin_export().err(),
    ] {
        assert!(matches!(refused, Some(StoreError::OtherFormat { found: OTHER_FORMAT, .. })), "{refused:?}");
    }
    existing.reader.check().expect("nothing of it is a failure");
}

#[test]
fn a_store_of_another_fold_format_is_neither_written_nor_moved_aside() {
    let directory = written();
    fold_otherwise(&generation(directory.path()));
    let about = fs::read(generation(directory.path()).join("generation.json")).unwrap();
    for _ in 0..2 {
        let error = store::open(directory.path(), fixtures::CACHE_BYTES).err().expect("nobody can write it");
        assert!(matches!(error, OpenError::Store(StoreError::OtherFormat { found: OTHER_FORMAT, .. })), "{error}");
        assert!(!error.is_damage());
        assert_eq!(names(directory.path()), ["000001"]);
    }
    drop(open(directory.path()));
    assert_eq!(fs::read(generation(directory.path()).join("generation.json")).unwrap(), about);
}

#[test]
fn a_store_of_the_layout_before_is_shown_and_becomes_one_of_this_layout_once_it_is_written() {
    let directory = written();
    let marker = || fixtures::open_database(directory.path()).open_tree("meta").unwrap().get("format").unwrap();
    let db = fixtures::open_database(directory.path());
    let records = db.open_tree("optimizations").unwrap();
    for (number, record) in records.iter().map(Result::unwrap) {
        if record.is_empty() {
            records.remove(number).unwrap();
        }
    }
    assert_eq!(records.len() as u64, VIEWS, "no place is left, as the layout before had none");
    db.open_tree("meta").unwrap().insert("format", &[LAYOUT - 1, FORMAT]).unwrap();
    drop((records, db));
    let existing = open(directory.path());
    let before = shown(&existing);
    drop(existing);
    assert_eq!(marker().unwrap(), [LAYOUT - 1, FORMAT], "reading it writes nothing");
    let writer = fixtures::open(directory.path()).writer;
    let new = fixtures::optimization("new", 1, "new".to_owned(), String::new());
    writer.commit(fixtures::commit_of(vec![new]), Vec::new(), 1).unwrap();
    writer.finish().unwrap();
    assert_eq!(marker().unwrap(), [LAYOUT, FORMAT], "versions that do not know places leave it alone");
    let existing = open(directory.path());
    assert_eq!(shown(&existing)[..before.len() - 1], before[..before.len() - 1]);
    assert!(existing.reader.get("new", Some(fixtures::ORGANIZATION)).unwrap().is_some());
}

#[test]
fn a_store_that_is_laid_out_otherwise_is_left_as_it_is_and_named() {
    for marker in [&[LAYOUT + 1][..], &[LAYOUT + 1, FORMAT], &[LAYOUT + 1, FORMAT, 7]] {
        let directory = written();
        let db = fixtures::open_database(directory.path());
        db.open_tree("meta").unwrap().insert("format", marker).unwrap();
        drop(db);
        let error = store::open(directory.path(), fixtures::CACHE_BYTES).err().expect("nobody can read it");
        assert!(matches!(error, OpenError::OtherLayout { found, .. } if found == LAYOUT + 1), "{error}");
        let text = error.to_string();
        for part in ["laid out as 3", "knows 1 and 2 only", "left as it is", "--data-dir"] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        assert_eq!(names(directory.path()), ["000001"]);
        let (code, listed, _) = tool(&["generations", "--json"], directory.path());
        assert_eq!(code, Some(0));
        assert!(listed[0]["damage"].as_str().unwrap().contains("laid out as 3"), "{listed}");
        let (code, _, why) = tool(&["explain", "o1"], directory.path());
        assert!(code == Some(1) && why.contains("laid out as 3") && !why.contains("moves"), "{why}");
    }
}

#[test]
fn the_marker_of_the_first_version_counts_as_its_layout_and_format() {
    let directory = written();
    let db = fixtures::open_database(directory.path());
    db.open_tree("meta").unwrap().insert("format", &[1]).unwrap();
    drop(db);
    assert_eq!(open(directory.path()).reader.frozen_format(), (FORMAT != 1).then_some(1));
}

#[test]
fn tools_say_that_a_frozen_generation_is_one_and_what_they_cannot_do_with_it() {
    let directory = written();
    fold_otherwise(&generation(directory.path()));
    let (code, listed, _) = tool(&["generations", "--json"], directory.path());
    assert_eq!(code, Some(0));
    let first = &listed[0];
    assert_eq!(
        (&first["live"], &first["frozen"], &first["format"], &first["views"], &first["damage"]),
        (&json!(true), &json!(true), &json!(OTHER_FORMAT), &json!(VIEWS), &Value::Null)
    );
    assert_eq!(first["positions"][0]["next_offset"], 77);
    let output = run(&["generations"], directory.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("live, frozen"), "{text}");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.snapshot");
    let file = file.to_str().unwrap();
    for arguments in [&["explain", "o1"][..], &["verify"], &["snapshot", "export", file]] {
        let (code, _, why) = tool(arguments, directory.path());
        let said = format!("fold format {OTHER_FORMAT}, and this version's is {FORMAT}");
        assert!(code == Some(1) && why.contains(&said) && why.contains("optview rebuild"), "{arguments:?}: {why}");
    }
    assert!(!Path::new(file).exists());
}

#[test]
fn a_frozen_store_that_shows_damage_makes_room_for_a_new_one() {
    let directory = written();
    fold_otherwise(&generation(directory.path()));
    let db = fixtures::open_database(directory.path());
    let catalog = db.open_tree("catalog").unwrap();
    catalog.insert(0_u64.to_be_bytes(), &[CATALOG_VERSION, 0xEE]).unwrap();
    drop((catalog, db));
    let serve = ["serve", "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut serving = optview(&serve, directory.path()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begin = std::time::Instant::now();
    while fs::read_to_string(directory.path().join("CURRENT")).unwrap() != "000002\n" {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", names(directory.path()));
        assert_eq!(serving.try_wait().unwrap(), None, "it is no reason to end");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(names(directory.path()), ["000001.damaged-1", "000002"]);
}

fn optview(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optview"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OPTVIEW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.args(arguments).arg("--data-dir").arg(directory);
    command
}

fn run(arguments: &[&str], directory: &Path) -> std::process::Output {
    optview(arguments, directory).output().expect("a program to run")
}

/// Returns the exit code, the output if it is JSON, and the errors.
fn tool(arguments: &[&str], directory: &Path) -> (Option<i32>, Value, String) {
    let output = run(arguments, directory);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), value, String::from_utf8(output.stderr).unwrap())
}
