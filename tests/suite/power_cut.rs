//! A power cut never leaves a checkpoint ahead of the views.
//!
//! A process writes a store while a shim notes what it does to its files. From these notes the test makes disks that a power cut
//! may leave, and opens each. sled's flush is no sync, so that the same must fail if our syncs do not count.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use optview::domain::{Commit, NamedPartition};
use optview::store::{self, Checkpoint, OpenStore, PartitionCheckpoint};

use crate::fixtures::{self, Random};
use disk::{Call, FileStep};

const ROUNDS: u64 = 240;
const OPTIMIZATIONS: u64 = 600;
/// Number of changes of optimizations in a round.
const CHANGES: u64 = 120;
/// The texts before the round in a name and in a checkpoint, by which they are found again in the bytes written.
const ROUND: &str = "round-";
const COVERS: &str = "covers-";

/// Returns the numbers of the optimizations that a round changes. Later rounds know more optimizations.
fn changed_in(round: u64) -> Vec<u64> {
    let mut random = Random(round);
    let known = (40 + round * 5).min(OPTIMIZATIONS);
    let mut changed: Vec<u64> = (0..CHANGES).map(|_| random.below(known)).collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn id_of(number: u64) -> String {
    format!("optimization-{number:06}")
}

fn name_of(round: u64, number: u64) -> String {
    format!("{ROUND}{round:06}-of-{number:06}")
}

/// Returns a description, which now and then is too large for one value.
fn description_of(round: u64, number: u64) -> String {
    let len = if (round + number).is_multiple_of(97) { 15_000 } else { 900 };
    fixtures::text(round * OPTIMIZATIONS + number, len)
}

fn has_checkpoint(round: u64) -> bool {
    Random(round ^ 0xC4EC).below(5) == 0
}

fn covers(round: u64) -> String {
    format!("{COVERS}{round:06}")
}

fn checkpoint_of(round: u64) -> Checkpoint {
    let offset = i64::try_from(round).unwrap();
    let partition = PartitionCheckpoint { next_offset: offset, anchor: None, topic_id: None };
    BTreeMap::from([(NamedPartition::new(covers(round), 0), partition)])
}

#[test]
#[ignore = "the other tests run it, in a process of its own"]
fn writes_a_store() {
    let directory = std::env::var_os("OPTVIEW_TEST_WATCHED").expect("run by the other tests");
    let OpenStore { writer, .. } = store::open(Path::new(&directory), fixtures::CACHE_BYTES).unwrap();
    let mut checkpoints = 0;
    for round in 1..=ROUNDS {
        let optimizations = changed_in(round).into_iter().map(|number| {
            fixtures::optimization(&id_of(number), round, name_of(round, number), description_of(round, number))
        });
        let jobs = vec![(format!("job-{round}").into(), Some(fixtures::job(round).into()))];
        let commit = Commit { jobs, ..fixtures::commit_of(optimizations.collect()) };
        let dead_letter = fixtures::dead_letter(i64::try_from(round).unwrap(), vec![0; 300]);
        writer.commit(commit, vec![dead_letter], round).unwrap();
        if has_checkpoint(round) {
            writer.checkpoint(checkpoint_of(round)).unwrap();
            checkpoints += 1;
            // On a slow disk all checkpoints would become one, so every second one is waited for.
            while checkpoints % 2 == 0 && writer.checkpoints_written() < checkpoints {
                writer.check().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
    writer.finish().unwrap();
}

/// The calls of such a process.
static STEPS: LazyLock<Vec<FileStep>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let (shim, journal, watched) = (root.join("shim.so"), root.join("journal"), root.join("data"));
    compile(&shim);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut::writes_a_store", "--ignored"])
        .env("LD_PRELOAD", &shim)
        .env("OPTVIEW_TEST_JOURNAL", &journal)
        .env("OPTVIEW_TEST_WATCHED", &watched)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the store was not written");
    disk::parse(&fs::read(&journal).unwrap(), &watched)
});

fn compile(shim: &Path) {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compile = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"])
        .arg(shim)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler, as librdkafka needs one too");
    compile.stdin.take().unwrap().write_all(include_bytes!("power_cut/shim.c")).unwrap();
    assert!(compile.wait().unwrap().success(), "the shim does not compile");
}

fn is_database(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "db")
}

/// The state of a store after a power cut.
#[derive(Debug, PartialEq)]
enum StateAfterCut {
    /// There is a checkpoint of this round, and everything that it covers.
    Whole(u64),
    /// The store was damaged, was moved aside, and begins anew.
    MovedAside,
    /// There is no checkpoint: Kafka is read from the beginning.
    Empty,
    Violation(String),
}

fn open_after_cut(files: &BTreeMap<PathBuf, Vec<u8>>) -> StateAfterCut {
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let found = catch_unwind(|| examine(directory.path()));
    found.unwrap_or_else(|_| StateAfterCut::Violation("a panic escapes".to_owned()))
}

fn examine(directory: &Path) -> StateAfterCut {
    let opened = match store::open(directory, fixtures::CACHE_BYTES) {
        Ok(opened) => opened,
        Err(error) => return StateAfterCut::Violation(format!("does not open: {error}")),
    };
    let checkpoint = opened.writer.checkpoint_at_open().clone();
    let found = match (opened.moved_aside.is_some(), checkpoint.is_empty()) {
        (true, true) => StateAfterCut::MovedAside,
        (true, false) => StateAfterCut::Violation("moved aside, with a checkpoint".to_owned()),
        (false, true) => StateAfterCut::Empty,
        (false, false) => match covered(&opened, &checkpoint) {
            Ok(round) => StateAfterCut::Whole(round),
            Err(violation) => StateAfterCut::Violation(violation),
        },
    };
    // This fails if reading has shown damage, which is among the findings already.
    let _ = opened.writer.finish();
    found
}

/// Returns the round that the checkpoint covers, or the part of it that is missing.
fn covered(opened: &OpenStore, checkpoint: &Checkpoint) -> Result<u64, String> {
    let OpenStore { writer, .. } = opened;
    let partition = checkpoint.values().next().unwrap();
    let round = u64::try_from(partition.next_offset).unwrap();
    if *checkpoint != checkpoint_of(round) {
        return Err(format!("the checkpoint is none that was written: {checkpoint:?}"));
    }
    let mut latest = BTreeMap::new();
    for round in 1..=round {
        latest.extend(changed_in(round).into_iter().map(|number| (number, round)));
    }
    let reader = writer.reader();
    for (&number, &covered) in &latest {
        let id = id_of(number);
        let response = reader.get(&id, None).map_err(|error| format!("{id}: {error}"))?;
        let response = response.ok_or_else(|| format!("{id} is not there, round {covered} of {round}"))?;
        let view: serde_json::Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
        let name = view["name"].as_str().unwrap_or_default();
        let held = name[6..12].parse::<u64>().map_err(|_| format!("{id} has the name {name}"))?;
        if held < covered {
            return Err(format!("{id} is of round {held}, but the checkpoint covers {covered}"));
        }
        if name != name_of(held, number) || view["description"] != *description_of(held, number) {
            return Err(format!("{id} is a mix"));
        }
    }
    if (writer.views() as usize) < latest.len() || writer.dead_letters() < round {
        return Err(format!("{} views and {} dead letters", writer.views(), writer.dead_letters()));
    }
    for round in 1..=round {
        if writer.parked_job(&format!("job-{round}")).map_err(|error| error.to_string())?.is_none() {
            return Err(format!("what was parked in round {round} is not there"));
        }
    }
    Ok(round)
}

/// Makes the `image`th power cut, at a random moment after the first checkpoint was written and synced, and opens its disk.
fn cut(image: u64, counts: impl Fn(&Path, Call) -> bool) -> StateAfterCut {
    let written =
        STEPS.iter().position(|step| !numbers_after(step, COVERS).is_empty()).expect("a checkpoint was written");
    let synced = STEPS[written..]
        .iter()
        .position(|step| matches!(step, FileStep::Sync { path, .. } if is_database(path)))
        .expect("it was synced");
    let first = written + synced + 1;
    let mut random = Random(image);
    let cut = first + random.below((STEPS.len() - first) as u64 + 1) as usize;
    open_after_cut(&disk::after_power_cut(&STEPS, cut, &mut random, &counts))
}

/// Returns the number of power cuts, which a variable raises.
fn images() -> u64 {
    std::env::var("OPTVIEW_TEST_POWER_CUTS").map_or(40, |number| number.parse().unwrap())
}

#[test]
fn all_that_a_checkpoint_covers_is_there_after_a_power_cut() {
    for image in 0..images() {
        let found = cut(image, |_, _| true);
        assert!(matches!(found, StateAfterCut::Whole(_)), "power cut {image}: {found:?}");
    }
}

#[test]
fn without_our_syncs_a_checkpoint_is_ahead_of_the_views() {
    let mut found = (0..1_000).map(|image| cut(image, |path, _| !is_database(path)));
    let ahead = found.find(|found| matches!(found, StateAfterCut::Violation(_)));
    assert!(ahead.is_some(), "a thousand power cuts do not show what the syncs are for");
}

#[test]
fn sled_never_takes_sync_file_range_for_a_sync() {
    let with = |wanted| {
        STEPS
            .iter()
            .filter(|step| matches!(step, FileStep::Sync { path, with } if is_database(path) && *with == wanted))
            .count()
    };
    assert_eq!(with(Call::SyncFileRange), 0);
    assert!(with(Call::Fdatasync) > 100, "sled syncs what it writes");
}

/// Returns the numbers that follow `text` in the bytes of a write, each with the index behind it.
fn numbers_after(step: &FileStep, text: &str) -> Vec<(u64, usize)> {
    let FileStep::Write { data, .. } = step else { return Vec::new() };
    let number = |at: usize| std::str::from_utf8(data.get(at..at + 6)?).ok()?.parse().ok();
    let places = data.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    places.filter_map(|(at, _)| Some((number(at + text.len())?, at + text.len() + 6))).collect()
}

/// Returns the rounds whose checkpoints were written before everything that they cover was written and then synced.
fn checkpoints_too_early(steps: &[FileStep], counts: impl Fn(Call) -> bool) -> Vec<u64> {
    // Rounds with the numbers of their changes.
    let mut unsynced = BTreeSet::new();
    let mut synced = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut early = Vec::new();
    for step in steps {
        for (round, _) in numbers_after(step, COVERS) {
            let covered = |round: u64| changed_in(round).into_iter().map(move |number| (round, number));
            if seen.insert(round) && (1..=round).flat_map(covered).any(|change| !synced.contains(&change)) {
                early.push(round);
            }
        }
        for (round, at) in numbers_after(step, ROUND) {
            let FileStep::Write { data, .. } = step else { continue };
            let number = std::str::from_utf8(&data[at + 4..at + 10]).unwrap().parse::<u64>().unwrap();
            unsynced.insert((round, number));
        }
        if matches!(step, FileStep::Sync { path, with } if is_database(path) && counts(*with)) {
            synced.append(&mut unsynced);
        }
    }
    // Of several checkpoints that wait for the disk, only the last is written.
    let requested: BTreeSet<u64> = (1..=ROUNDS).filter(|round| has_checkpoint(*round)).collect();
    assert!(seen.len() >= requested.len() / 2 && seen.last() == requested.last(), "{seen:?} of {requested:?}");
    early
}

#[test]
fn a_checkpoint_is_written_only_after_all_that_it_covers_has_been_synced() {
    assert_eq!(checkpoints_too_early(&STEPS, |call| call == Call::Fsync), Vec::<u64>::new());
    let without = checkpoints_too_early(&STEPS, |_| false);
    assert!(without.len() > 5, "the check sees what is not synced");
}
