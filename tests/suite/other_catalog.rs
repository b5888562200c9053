//! A catalog that another version wrote is made again from the records: the store opens and lists what it did, also after a crash
//! in the middle. Nothing is written by a process that only reads.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use optview::data_dir::DataDirError;
use optview::domain::event::JobChange;
use optview::domain::{Optimization, Register, Status, Timestamp};
use optview::store::verify::{VerifySettings, verify};
use optview::store::{self, ListQuery, OpenError, OpenStore, PageStart, ReadOnlyStore, Reader};
use sled::IVec;

use crate::fixtures;
use crate::other_version::fold_otherwise;

const OPTIMIZATIONS: u32 = 300;

/// The first byte of a chunk that this version writes.
const VERSION: u8 = 2;

/// The first byte of a chunk of another version.
const OTHER_VERSION: u8 = 99;

/// Makes an optimization. They differ in everything that lists depend on; some have pieces, and some are deleted.
fn optimization(number: u32, sequence: u64) -> Optimization {
    let description = fixtures::text(number.into(), if number.is_multiple_of(50) { 20_000 } else { 100 });
    let mut optimization =
        fixtures::optimization(&format!("o{number}"), sequence, "a \"name\"".to_owned(), description);
    let created = optimization.created.as_mut().unwrap();
    created.value.organization_id = format!("org-{}", number % 3).into();
    created.value.project_id = format!("project \\ {}", number % 4).into();
    created.value.kind = (!number.is_multiple_of(5)).then(|| format!("kind {}", number % 5).into());
    created.value.created_at = Timestamp::new(i64::from(number % 100), number * 1_000_001).unwrap();
    if number.is_multiple_of(2) {
        optimization.link(&Arc::from(format!("j{number}")), fixtures::stamp(1));
        optimization.job.apply(&JobChange::Pending, fixtures::stamp(2));
    }
    if sequence > 1 && number.is_multiple_of(6) {
        optimization.job.apply(&JobChange::Processing, fixtures::stamp(sequence + 2));
    }
    optimization.deleted = number.is_multiple_of(11).then(|| Register::new((), fixtures::stamp(3)));
    optimization
}

fn write_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(directory.path()).writer;
    for sequence in 1..=3 {
        let optimizations = (0..OPTIMIZATIONS).map(|number| optimization(number, sequence)).collect();
        writer.commit(fixtures::commit_of(optimizations), Vec::new(), sequence).unwrap();
        fixtures::wait_until_written(&writer, sequence);
    }
    writer.note_caught_up();
    writer.finish().unwrap();
    directory
}

/// Returns everything that a reader gets of the views: those read by id, and pages of lists under all kinds of filters.
fn views(reader: &Reader) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let by_id = (0..OPTIMIZATIONS).map(|number| reader.get(&format!("o{number}"), None).unwrap());
    let mut views: Vec<String> =
        by_id.map(|response| response.map_or_else(String::new, |it| text(&it.body))).collect();
    assert_eq!(views.iter().filter(|view| view.is_empty()).count(), 28, "some are deleted");
    let all = ListQuery { limit: 1000, ..ListQuery::default() };
    for query in [
        all.clone(),
        ListQuery { organization_id: Some("org-1"), ..all.clone() },
        ListQuery { organization_id: Some("org-1"), project_id: Some("project \\ 2"), ..all.clone() },
        ListQuery { statuses: Some(Status::Running).into(), ..all.clone() },
        ListQuery { statuses: Some(Status::Queued).into(), kind: Some("kind 3"), ..all.clone() },
        ListQuery { kind: Some("kind 4"), limit: 5, start: PageStart::Offset(7), ..all },
    ] {
        let page = reader.list(&query).unwrap();
        assert!(page.total > 0, "{query:?}");
        views.push(text(&page.body));
    }
    views
}

fn linking(reader: &Reader) -> Vec<Vec<Arc<str>>> {
    (0..OPTIMIZATIONS).map(|number| reader.linking(&format!("j{number}"))).collect()
}

/// Opens a store, and returns its views and the optimizations that link each job.
fn open(directory: &Path) -> (Vec<String>, Vec<Vec<Arc<str>>>) {
    let OpenStore { writer, generation, moved_aside, .. } = fixtures::open(directory);
    assert_eq!((generation, moved_aside), (1, None), "the store is as good as ever");
    let reader = writer.reader();
    let found = (views(&reader), linking(&reader));
    drop(reader);
    writer.finish().unwrap();
    found
}

fn open_existing(directory: &Path) -> ReadOnlyStore {
    loop {
        match store::open_existing(directory, fixtures::CACHE_BYTES) {
            Err(OpenError::DataDir(DataDirError::Held { .. })) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn problems(reader: &Reader) -> Vec<store::verify::Problem> {
    let settings = VerifySettings { gently: false, bounds: &|| None, watch: &mut |_| ControlFlow::Continue(()) };
    verify(reader, settings).expect("nothing breaks it").problems
}

type Chunks = BTreeMap<IVec, IVec>;

fn chunks(directory: &Path) -> Chunks {
    let db = fixtures::open_database(directory);
    db.open_tree("catalog").unwrap().iter().map(Result::unwrap).collect()
}

fn set_chunks(directory: &Path, chunks: &Chunks) {
    let db = fixtures::open_database(directory);
    let tree = db.open_tree("catalog").unwrap();
    tree.clear().unwrap();
    for (key, chunk) in chunks {
        tree.insert(key, chunk).unwrap();
    }
    db.flush().unwrap();
}

/// Returns chunks that another version might have written in place of these: none of their bytes can be decoded.
fn of_other_version(chunks: Chunks) -> Chunks {
    assert!(chunks.len() > 3, "there are several");
    let garble = |chunk: IVec| {
        let mut other = vec![0xEE; chunk.len()];
        other[0] = OTHER_VERSION;
        IVec::from(other)
    };
    chunks.into_iter().map(|(key, chunk)| (key, garble(chunk))).collect()
}

#[test]
fn a_store_whose_catalog_another_version_wrote_opens_and_lists_right() {
    let directory = write_store();
    let expected = open(directory.path());
    let old = of_other_version(chunks(directory.path()));
    set_chunks(directory.path(), &old);
    assert_eq!(open(directory.path()), expected);
    let new = chunks(directory.path());
    assert!(new.values().all(|chunk| chunk[0] == VERSION) && !new.is_empty(), "the catalog is this version's");
    assert_eq!(open(directory.path()), expected, "and is read like any other");
    assert_eq!(chunks(directory.path()), new, "once");
    let writer = fixtures::open(directory.path()).writer;
    let changed = vec![optimization(7, 5), optimization(OPTIMIZATIONS, 1)];
    writer.commit(fixtures::commit_of(changed), Vec::new(), 1).unwrap();
    fixtures::wait_until_written(&writer, 1);
    assert!(writer.reader().get(&format!("o{OPTIMIZATIONS}"), None).unwrap().is_some(), "it goes on");
    writer.note_caught_up();
    writer.finish().unwrap();
    assert_eq!(problems(&open_existing(directory.path()).reader), []);
}

#[test]
fn a_crash_while_the_catalog_is_made_again_loses_nothing() {
    let directory = write_store();
    let expected = open(directory.path());
    let old = of_other_version(chunks(directory.path()));
    set_chunks(directory.path(), &old);
    open(directory.path());
    let new = chunks(directory.path());
    assert!(old.keys().all(|key| !new.contains_key(key)), "old and new chunks are side by side for a while");
    let both = |old_from: usize, new_until: usize| -> Chunks {
        let (old, new) = (old.iter().skip(old_from), new.iter().take(new_until));
        old.chain(new).map(|(key, chunk)| (key.clone(), chunk.clone())).collect()
    };
    let inserting = (0..new.len()).map(|until| both(0, until));
    let removing = (0..=old.len()).map(|from| both(from, new.len()));
    for (step, chunks) in inserting.chain(removing).enumerate() {
        set_chunks(directory.path(), &chunks);
        assert_eq!(open(directory.path()), expected, "after step {step}");
    }
}

#[test]
fn a_reader_of_such_a_store_lists_right_and_writes_nothing() {
    let directory = write_store();
    let (expected, links) = open(directory.path());
    let old = of_other_version(chunks(directory.path()));
    set_chunks(directory.path(), &old);
    let existing = open_existing(directory.path());
    assert_eq!((views(&existing.reader), linking(&existing.reader)), (expected.clone(), links));
    assert_eq!(problems(&existing.reader), []);
    drop(existing);
    assert_eq!(chunks(directory.path()), old);
    // Registers of another fold format cannot be decoded, so that the responses have to do.
    fold_otherwise(&directory.path().join("generations/000001"));
    let existing = open_existing(directory.path());
    assert!(existing.reader.is_frozen());
    assert_eq!(views(&existing.reader), expected);
    drop(existing);
    assert_eq!(chunks(directory.path()), old);
}
