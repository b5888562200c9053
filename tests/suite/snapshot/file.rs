//! The snapshot file returns its contents, and no damaged file makes a store.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use optview::disk::DiskReserve;
use optview::domain::{NamedPartition, Topic, TopicId};
use optview::snapshot::{ExportRequest, SnapshotError, SnapshotSummary, export, import, import_where_none};
use optview::source::TopicNames;
use optview::store::{Checkpoint, ListQuery, PartitionCheckpoint, Reader, verify};

use crate::fixtures;

const OPTIMIZATIONS: u64 = 300;

/// A store with all kinds of records, and its snapshot.
struct SnapshotFixture {
    directory: tempfile::TempDir,
    file: PathBuf,
    summary: SnapshotSummary,
}

fn made() -> SnapshotFixture {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(&directory.path().join("source")).writer;
    let mut commit = fixtures::commit_of(
        (0..OPTIMIZATIONS)
            .map(|number| {
                // One optimization is stored in pieces.
                let text = if number == 7 { fixtures::text(number, 40_000) } else { format!("name {number}") };
                fixtures::optimization(&format!("opt-{number}"), number + 1, text, String::new())
            })
            .collect(),
    );
    commit.jobs.push(("early".into(), Some(fixtures::job(3).into())));
    writer.commit(commit, vec![fixtures::dead_letter(5, b"nonsense".to_vec())], 1).unwrap();
    fixtures::wait_until_written(&writer, 1);
    writer.note_origin(NamedPartition::new("jobs.v1", 2), 11).unwrap();
    writer.note_cluster("a cluster").unwrap();
    let topic_id = Some(TopicId { most_significant: 1, least_significant: -2 });
    let held = PartitionCheckpoint { next_offset: 77, anchor: None, topic_id };
    writer.checkpoint(Checkpoint::from([(NamedPartition::new("jobs.v1", 2), held)])).unwrap();
    writer.note_live().unwrap();
    let reader = writer.reader();
    writer.finish().unwrap();
    let file = directory.path().join("views.snapshot");
    let summary = export_to(&reader, &file).unwrap();
    SnapshotFixture { directory, file, summary }
}

/// A reserve of zero bytes.
const ROOM: DiskReserve = DiskReserve { floor_bytes: 0 };

fn export_to(reader: &Reader, file: &Path) -> Result<SnapshotSummary, SnapshotError> {
    export_within(ROOM, reader, file, &mut || {})
}

fn export_within(
    room: DiskReserve,
    reader: &Reader,
    file: &Path,
    on_progress: &mut dyn FnMut(),
) -> Result<SnapshotSummary, SnapshotError> {
    // An existing file is replaced.
    let replace = true;
    let topic = |topic: Topic| format!("{}.v1", topic.default_name());
    let (generation, store_bytes) = ("000001".to_owned(), 1 << 20);
    export(ExportRequest { reader, generation, topic: &topic, store_bytes, room, replace }, file, &mut |_| {
        on_progress();
        ControlFlow::Continue(())
    })
}

fn import_into(file: &Path, data_dir: &Path) -> Result<SnapshotSummary, SnapshotError> {
    fs::create_dir_all(data_dir).unwrap();
    import(file, data_dir, ROOM, None, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn a_store_made_of_a_snapshot_is_the_one_it_was_taken_of() {
    let SnapshotFixture { directory, file, summary } = made();
    assert_eq!((summary.views, summary.records), (OPTIMIZATIONS, OPTIMIZATIONS + 2));
    assert_eq!(summary.bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(summary.positions[0].next_offset, 77);
    let data_dir = directory.path().join("replica");
    let imported = import_into(&file, &data_dir).unwrap();
    assert_eq!(imported, summary);
    let [source, replica] = ["source", "replica"].map(|name| fixtures::open(&directory.path().join(name)));
    let about = optview::data_dir::GenerationManifest::read(&replica.path);
    assert_eq!(about.topic(Topic::Jobs), "jobs.v1");
    assert_eq!(source.writer.checkpoint_at_open(), replica.writer.checkpoint_at_open());
    assert!(replica.writer.checkpoint_at_open().values().all(|held| held.topic_id.is_some()));
    assert_eq!(source.writer.dead_letters(), replica.writer.dead_letters());
    assert!(replica.writer.parked_job("early").unwrap().is_some());
    let (source, replica) = (source.writer.reader(), replica.writer.reader());
    assert_eq!(source.origins().unwrap(), replica.origins().unwrap());
    assert_eq!(replica.cluster().unwrap().as_deref(), Some("a cluster"));
    assert!(replica.was_live().unwrap());
    for number in 0..OPTIMIZATIONS {
        let id = format!("opt-{number}");
        assert_eq!(source.get(&id, None).unwrap(), replica.get(&id, None).unwrap(), "{id}");
        assert_eq!(source.stored_record(&id).unwrap(), replica.stored_record(&id).unwrap(), "{id}");
    }
    let all = ListQuery { limit: 1_000, ..ListQuery::default() };
    assert_eq!(source.list(&all).unwrap(), replica.list(&all).unwrap());
    let settings =
        verify::VerifySettings { gently: false, bounds: &|| None, watch: &mut |_| ControlFlow::Continue(()) };
    let verified = verify::verify(&replica, settings).unwrap();
    assert_eq!((verified.records, verified.problems), (OPTIMIZATIONS, Vec::new()));
}

#[test]
fn a_store_made_of_one_that_was_never_live_was_not_either() {
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(&directory.path().join("source")).writer;
    let reader = writer.reader();
    let file = directory.path().join("views.snapshot");
    export_to(&reader, &file).unwrap();
    let data_dir = directory.path().join("replica");
    import_into(&file, &data_dir).unwrap();
    assert!(!fixtures::open(&data_dir).writer.reader().was_live().unwrap());
    writer.finish().unwrap();
}

/// Imports a damaged file, and checks the error and the contents of the data directory after it.
fn is_refused(file: &Path, bytes: &[u8], directory: &Path, check: impl Fn(&SnapshotError) -> bool) {
    fs::write(file, bytes).unwrap();
    let data_dir = directory.join("refused");
    let error = import_into(file, &data_dir).unwrap_err();
    assert!(check(&error), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0, "{error}");
}

#[test]
fn a_file_that_is_altered_at_any_byte_is_refused() {
    let SnapshotFixture { directory, file, .. } = made();
    let whole = fs::read(&file).unwrap();
    // Every byte of both ends is changed in turn, and one of every few between them.
    let step = (whole.len() / 400).max(1);
    let places = (0..64).chain((64..whole.len() - 128).step_by(step)).chain(whole.len() - 128..whole.len());
    for place in places {
        let mut altered = whole.clone();
        altered[place] ^= 0x20;
        is_refused(&file, &altered, directory.path(), |error| match error {
            SnapshotError::NoSnapshot { .. } => place < 16,
            SnapshotError::Layout { .. } => place == 16,
            SnapshotError::Format { .. } => place == 17,
            SnapshotError::Cut { .. } => (whole.len() - 96..whole.len() - 80).contains(&place),
            SnapshotError::Altered { .. } => place > 17,
            _ => false,
        });
    }
}

#[test]
fn a_file_that_is_cut_anywhere_or_has_something_after_its_end_is_refused() {
    let SnapshotFixture { directory, file, .. } = made();
    let whole = fs::read(&file).unwrap();
    let step = (whole.len() / 200).max(1);
    for len in (0..130).chain((130..whole.len()).step_by(step)).chain(whole.len() - 100..whole.len()) {
        is_refused(&file, &whole[..len], directory.path(), |error| match error {
            SnapshotError::NoSnapshot { .. } => len < 16,
            SnapshotError::Cut { .. } => len >= 16,
            _ => false,
        });
    }
    let mut longer = whole.clone();
    longer.push(b'\n');
    is_refused(&file, &longer, directory.path(), |error| {
        matches!(error, SnapshotError::Cut { .. } | SnapshotError::Altered { .. })
    });
    is_refused(&file, b"{\"optimizations\":[]}", directory.path(), |error| {
        matches!(error, SnapshotError::NoSnapshot { .. })
    });
}

#[test]
fn a_store_that_is_there_is_never_touched() {
    let SnapshotFixture { directory, file, .. } = made();
    let data_dir = directory.path().join("source");
    let current = fs::read(data_dir.join("CURRENT")).unwrap();
    assert!(matches!(import_into(&file, &data_dir), Err(SnapshotError::NotEmpty { .. })));
    // A later start may well find the file gone.
    let gone = directory.path().join("gone");
    let ignored =
        import_where_none(&gone, &data_dir, ROOM, &TopicNames::default(), &mut |_| ControlFlow::Continue(()))
            .unwrap();
    assert_eq!(ignored, None);
    assert_eq!(fs::read(data_dir.join("CURRENT")).unwrap(), current);
    assert!(!data_dir.join("importing").exists());
}

#[test]
fn a_snapshot_of_other_topics_makes_no_store_and_names_both() {
    let SnapshotFixture { directory, file, .. } = made();
    let data_dir = directory.path().join("replica");
    fs::create_dir_all(&data_dir).unwrap();
    let import = |names: [&str; 3]| {
        let [optimizations, jobs, runs] = names.map(str::to_owned);
        let names = TopicNames::new(optimizations, jobs, runs);
        import_where_none(&file, &data_dir, ROOM, &names, &mut |_| ControlFlow::Continue(()))
    };
    for (names, before, now) in [
        (
            ["optimizations.v2", "jobs.v1", "multistart-runs.v1"],
            "the optimizations from `optimizations.v1`",
            "to be read from `optimizations.v2`",
        ),
        (
            ["optimizations.v1", "multistart-runs.v1", "jobs.v1"],
            "the jobs from `jobs.v1`",
            "to be read from `multistart-runs.v1`",
        ),
    ] {
        let refused = import(names).unwrap_err();
        assert!(matches!(refused, SnapshotError::OtherTopics { .. }), "{refused}");
        let text = refused.to_string();
        for part in [before, now, "--data-dir"] {
            assert!(text.contains(part), "no {part}: {text}");
        }
    }
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0, "nothing was made");
    let made = import(["optimizations.v1", "jobs.v1", "multistart-runs.v1"]).unwrap();
    assert_eq!(made.map(|summary| summary.views), Some(OPTIMIZATIONS));
}

#[test]
fn an_import_that_is_ended_leaves_nothing_and_what_a_kill_left_is_no_obstacle() {
    let SnapshotFixture { directory, file, summary } = made();
    let data_dir = directory.path().join("replica");
    fs::create_dir_all(data_dir.join("importing/generations/000001")).unwrap();
    fs::write(data_dir.join("importing/generations/000001/db"), "half").unwrap();
    let ended = import(&file, &data_dir, ROOM, None, &mut |progress| match progress.phase.as_str() {
        "importing" => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(ended, Err(SnapshotError::Interrupted)));
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
    assert_eq!(import_into(&file, &data_dir).unwrap(), summary);
}

#[test]
fn an_export_that_fails_leaves_the_file_that_was_there() {
    let SnapshotFixture { directory, file, .. } = made();
    let before = fs::read(&file).unwrap();
    let opened = fixtures::open(&directory.path().join("source"));
    let part = directory.path().join("views.snapshot.part");
    let other = fs::File::create(&part).unwrap();
    other.lock().unwrap();
    let busy = export_to(&opened.writer.reader(), &file).unwrap_err();
    assert!(busy.to_string().contains("views.snapshot.part"), "{busy}");
    assert_eq!(fs::read(&file).unwrap(), before);
    drop(other);
    export_to(&opened.writer.reader(), &file).unwrap();
    assert!(!part.exists());
}

#[test]
fn what_there_is_no_room_for_is_not_begun() {
    let SnapshotFixture { directory, file, .. } = made();
    let full = DiskReserve { floor_bytes: u64::MAX };
    let before = fs::read(&file).unwrap();
    let opened = fixtures::open(&directory.path().join("source"));
    let refused = export_within(full, &opened.writer.reader(), &file, &mut || {}).unwrap_err();
    assert!(matches!(refused, SnapshotError::NoRoom { what: "the snapshot", .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(!directory.path().join("views.snapshot.part").exists());
    let data_dir = directory.path().join("replica");
    fs::create_dir_all(&data_dir).unwrap();
    let refused = import(&file, &data_dir, full, None, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, SnapshotError::NoRoom { what: "the store", .. }), "{refused}");
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
}

#[test]
fn an_export_ends_before_the_disk_that_fills_meanwhile_is_full() {
    const BYTES: u64 = 256 << 20;
    let directory = tempfile::tempdir().unwrap();
    let writer = fixtures::open(&directory.path().join("source")).writer;
    writer
        .commit(
            fixtures::commit_of(
                (0..5_000)
                    .map(|number| {
                        fixtures::optimization(&format!("opt-{number}"), 1, String::new(), String::new())
                    })
                    .collect(),
            ),
            Vec::new(),
            1,
        )
        .unwrap();
    fixtures::wait_until_written(&writer, 1);
    let file = directory.path().join("views.snapshot");
    let free = optview::disk::free_bytes(directory.path()).unwrap();
    let room = DiskReserve { floor_bytes: free.saturating_sub(BYTES) };
    let others = fs::File::create(directory.path().join("others")).unwrap();
    let mut calls = 0;
    let ended = export_within(room, &writer.reader(), &file, &mut || {
        calls += 1;
        rustix::fs::fallocate(&others, rustix::fs::FallocateFlags::empty(), 0, 2 * BYTES).unwrap();
    });
    assert!(matches!(ended, Err(SnapshotError::DiskFull { .. })), "{ended:?}");
    assert_eq!(calls, 1);
    assert!(!file.exists() && !directory.path().join("views.snapshot.part").exists());
}
