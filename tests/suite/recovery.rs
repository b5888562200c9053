//! Opening recovers by itself: the remains of a kill are cleared away, and a damaged store is moved aside, reported, and begun
//! anew. There is never a crash loop, a panic, or a view that is silently wrong or missing.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use optview::data_dir::{self, DataDirError};
use optview::domain::{Commit, NamedPartition, Timestamp};
use optview::store::{self, Checkpoint, ListQuery, OpenError, OpenStore, PartitionCheckpoint, StoreError};

use crate::fixtures::{self, Random};

const VIEWS: u64 = 400;
const JOBS: u64 = 50;
const DEAD_LETTERS: u64 = 5;

fn id_of(number: u64) -> String {
    format!("optimization-{number}")
}

fn name_of(number: u64, sequence: u64) -> String {
    format!("{sequence} of {number}")
}

/// Returns a description. Some are too large for one value.
fn description_of(number: u64, sequence: u64) -> String {
    fixtures::text(sequence * VIEWS + number, if number.is_multiple_of(50) { 20_000 } else { 600 })
}

fn checkpoint_of(sequence: u64) -> Checkpoint {
    let next_offset = i64::try_from(sequence).unwrap();
    Checkpoint::from([(
        NamedPartition::new("optimizations", 0),
        PartitionCheckpoint { next_offset, anchor: None, topic_id: None },
    )])
}

const COMMITS: u64 = 12;

/// Writes a store in several goes, so that sled has a snapshot, old pages, and free segments.
fn write(directory: &Path) {
    for go in 0..3 {
        let OpenStore { writer, .. } = fixtures::open(directory);
        for commit in 1..=COMMITS / 3 {
            let sequence = go * COMMITS / 3 + commit;
            let optimizations = (0..VIEWS)
                .map(|number| {
                    let (name, description) = (name_of(number, sequence), description_of(number, sequence));
                    fixtures::optimization(&id_of(number), sequence, name, description)
                })
                .collect();
            let jobs = (0..JOBS).map(|job| (format!("job-{job}").into(), Some(fixtures::job(sequence).into())));
            let commit = Commit { jobs: jobs.collect(), ..fixtures::commit_of(optimizations) };
            let dead_letters = (0..DEAD_LETTERS as i64).map(|offset| fixtures::dead_letter(offset, vec![1; 9000]));
            writer.commit(commit, dead_letters.collect(), sequence).unwrap();
            writer.checkpoint(checkpoint_of(sequence)).unwrap();
        }
        writer.finish().unwrap();
    }
}

/// Returns a copy of a store that is written once.
fn written_store() -> tempfile::TempDir {
    static WRITTEN: std::sync::LazyLock<tempfile::TempDir> = std::sync::LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path());
        directory
    });
    let copy = tempfile::tempdir().unwrap();
    copy_all(WRITTEN.path(), copy.path());
    copy
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn generation(directory: &Path) -> PathBuf {
    directory.join("generations").join("000001")
}

/// The state of a store that was opened.
#[derive(Debug, PartialEq)]
enum StoreState {
    /// Everything that the checkpoint covers is there, and right.
    Whole(u64),
    /// A new generation was begun, which is empty; with the reason, if one was given.
    New(Option<String>),
    /// The store opened, and an error showed later, at which the process ends and condemns the generation.
    ShowsLater(String),
}

/// Opens a store, and reads everything.
fn open(directory: &Path) -> StoreState {
    let OpenStore { writer, generation, moved_aside, path } = fixtures::open(directory);
    let current = fs::read_to_string(directory.join("CURRENT")).unwrap();
    assert_eq!(current, format!("{generation:06}\n"));
    assert!(path.ends_with(current.trim()));
    if generation != 1 {
        assert!(writer.checkpoint_at_open().is_empty(), "Kafka must be read from the beginning");
        assert_eq!((writer.views(), writer.dead_letters()), (0, 0));
        writer.finish().unwrap();
        return StoreState::New(moved_aside);
    }
    assert_eq!(moved_aside, None);
    let found = match read(&writer) {
        Ok(covered) => StoreState::Whole(covered),
        Err(error) => {
            assert!(error.is_damage(), "{error}");
            StoreState::ShowsLater(error.to_string())
        }
    };
    drop(writer.finish());
    found
}

fn read(writer: &store::Writer) -> Result<u64, StoreError> {
    let checkpoint = writer.checkpoint_at_open();
    let covered = checkpoint.values().map(|partition| partition.next_offset as u64).sum();
    assert_eq!(*checkpoint, checkpoint_of(covered));
    let reader = writer.reader();
    let is_right = |view: &serde_json::Value, number: u64| {
        let sequence = view["name"].as_str().and_then(|name| name.split(' ').next()?.parse().ok()).unwrap();
        assert!(sequence >= covered, "a view of {sequence}, where the checkpoint covers {covered}");
        assert_eq!(view["name"], name_of(number, sequence));
        assert_eq!(view["description"], description_of(number, sequence));
    };
    for number in 0..VIEWS {
        let response = reader.get(&id_of(number), Some(fixtures::ORGANIZATION))?.expect("the view is there");
        is_right(&serde_json::from_slice(&response.body).unwrap(), number);
    }
    let query = ListQuery { limit: 1000, ..ListQuery::default() };
    let page: serde_json::Value = serde_json::from_slice(&reader.list(&query)?.body).unwrap();
    assert_eq!(page["total"], VIEWS);
    assert_eq!(page["optimizations"].as_array().unwrap().len() as u64, VIEWS);
    for job in 0..JOBS {
        let parked = writer.parked_job(&format!("job-{job}"))?.expect("the parked job is there");
        let last = parked.history().last().expect("it took a status");
        assert!(last.stamp.version.occurred_at >= occurred_at(covered), "a view of a job before {covered}");
    }
    assert_eq!(writer.dead_letters(), DEAD_LETTERS);
    Ok(covered)
}

fn occurred_at(sequence: u64) -> Timestamp {
    fixtures::stamp(sequence).version.occurred_at
}

/// Checks that a new generation is begun for a reason that contains `text`, with the old one beside it.
fn check_moved_aside(directory: &Path, text: &str) {
    let StoreState::New(Some(why)) = open(directory) else { panic!("nothing was moved aside") };
    assert!(why.contains(text), "{why}");
    let aside = generation(directory).with_extension("damaged-1");
    assert!(why.contains(&aside.display().to_string()), "{why}");
    assert!(aside.is_dir());
    assert!(!generation(directory).exists());
    // The next start finds the new generation sound.
    assert_eq!(open(directory), StoreState::New(None));
}

#[test]
fn what_was_written_is_there_again() {
    assert_eq!(open(written_store().path()), StoreState::Whole(COMMITS));
}

#[test]
fn a_snapshot_that_was_not_finished_is_removed() {
    let directory = written_store();
    let unfinished = generation(directory.path()).join("snap.00000000000FFFFF.generating");
    fs::write(&unfinished, b"half a snap").unwrap();
    assert_eq!(open(directory.path()), StoreState::Whole(COMMITS));
    assert!(!unfinished.exists());
}

#[test]
fn a_database_cut_to_nothing_is_moved_aside() {
    let directory = written_store();
    fs::File::create(generation(directory.path()).join("db")).unwrap();
    check_moved_aside(directory.path(), "could not be used");
}

#[test]
fn a_database_of_nothing_at_all_is_moved_aside() {
    let directory = written_store();
    fs::remove_dir_all(generation(directory.path())).unwrap();
    fs::create_dir(generation(directory.path())).unwrap();
    fs::File::create(generation(directory.path()).join("db")).unwrap();
    check_moved_aside(directory.path(), "cut to nothing");
}

#[test]
fn a_database_that_is_gone_is_moved_aside() {
    let directory = written_store();
    fs::remove_file(generation(directory.path()).join("db")).unwrap();
    check_moved_aside(directory.path(), "is not there");
}

#[test]
fn a_generation_that_is_gone_is_begun_anew() {
    let directory = written_store();
    fs::remove_dir_all(generation(directory.path())).unwrap();
    let StoreState::New(Some(why)) = open(directory.path()) else { panic!("a reason must be given") };
    assert!(why.contains("is not there") && !why.contains("moved to"), "{why}");
}

#[test]
fn a_condemned_generation_is_moved_aside() {
    let directory = written_store();
    data_dir::condemn(&generation(directory.path()), "a test wants it").unwrap();
    check_moved_aside(directory.path(), "a test wants it");
}

#[test]
fn a_generation_without_its_marker_is_moved_aside() {
    for marker in [None, Some(&[][..])] {
        let directory = written_store();
        let db = fixtures::open_database(directory.path());
        let meta = db.open_tree("meta").unwrap();
        match marker {
            None => meta.remove("format").unwrap(),
            Some(marker) => meta.insert("format", marker).unwrap(),
        };
        drop((meta, db));
        check_moved_aside(directory.path(), "cut to nothing");
    }
}

#[test]
fn a_store_that_another_holds_is_left_alone() {
    let directory = written_store();
    let OpenStore { writer, .. } = fixtures::open(directory.path());
    let unfinished = generation(directory.path()).join("snap.00000000000FFFFF.generating");
    fs::write(&unfinished, b"being written by who holds it").unwrap();
    data_dir::condemn(&generation(directory.path()), "by who holds it").unwrap();
    let error = store::open(directory.path(), fixtures::CACHE_BYTES).err().expect("one at a time");
    assert!(matches!(error, OpenError::DataDir(DataDirError::Held { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("held by another process: stop it, or use another --data-dir"), "{text}");
    assert!(unfinished.exists(), "its files are its own");
    fs::remove_file(generation(directory.path()).join("CONDEMNED")).unwrap();
    writer.finish().unwrap();
    assert_eq!(open(directory.path()), StoreState::Whole(COMMITS));
}

#[test]
fn without_a_usable_current_a_new_generation_is_begun() {
    for garbage in [None, Some(&b""[..]), Some(b"not a number"), Some(b"\xFF\xFE"), Some(b"18446744073709551615")]
    {
        let directory = written_store();
        let current = directory.path().join("CURRENT");
        match garbage {
            None => fs::remove_file(&current).unwrap(),
            Some(garbage) => fs::write(&current, garbage).unwrap(),
        }
        let StoreState::New(why) = open(directory.path()) else { panic!("{garbage:?}") };
        assert!(why.is_some_and(|why| why.contains("write 000001 into it")), "{garbage:?}");
        assert!(generation(directory.path()).exists(), "nothing is lost");
    }
}

/// Damages a file at random. Returns a description of the damage.
fn damage(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let len = bytes.len() as u64;
    let how = match random.below(4) {
        0 => {
            let bit = random.below(len * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            format!("bit {bit} turned")
        }
        1 => {
            bytes.truncate(random.below(len) as usize);
            format!("cut to {}", bytes.len())
        }
        2 => {
            let start = random.below(len) as usize;
            let end = (start + 1 + random.below(20_000) as usize).min(bytes.len());
            bytes[start..end].fill(0);
            format!("{start}..{end} zeroed")
        }
        _ => {
            let start = random.below(len) as usize;
            let end = (start + 1 + random.below(5_000) as usize).min(bytes.len());
            bytes[start..end].fill_with(|| random.next() as u8);
            format!("{start}..{end} overwritten")
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{} of {len} bytes: {how}", path.file_name().unwrap().display())
}

#[test]
fn damage_never_shows_what_never_was() {
    let seeds = std::env::var("OPTVIEW_TEST_DAMAGES").map_or(60, |number| number.parse().unwrap());
    let (mut whole, mut new, mut later, mut stale, mut wrong) = (0, 0, 0, 0, Vec::new());
    for seed in 0..seeds {
        let mut random = Random(seed);
        let directory = written_store();
        let entries = fs::read_dir(generation(directory.path())).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        // Nearly all data are in the database's own file.
        files.retain(|file| file.ends_with("db") || seed % 4 == 0);
        let how = damage(&files[random.below(files.len() as u64) as usize], &mut random);
        match catch_unwind(AssertUnwindSafe(|| open(directory.path()))) {
            Ok(StoreState::Whole(_)) => whole += 1,
            Ok(StoreState::New(why)) => {
                assert!(why.is_some(), "seed {seed}, {how}: no reason was given");
                new += 1;
            }
            Ok(StoreState::ShowsLater(_)) => later += 1,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                // sled skips a part of its log that does not fit its checksum, and shows the state before it: a disk that
                // loses synced data can set single views back, until their next event.
                if text.as_ref().is_some_and(|text| text.starts_with("a view of")) {
                    stale += 1;
                    continue;
                }
                wrong.push(format!("seed {seed}, {how}: {}", text.unwrap_or_default()));
            }
        }
    }
    println!("{whole} whole, {new} moved aside, {later} show later, {stale} set back, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(whole > 0 && new > 0);
}
