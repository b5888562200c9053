//! A power cut never leaves a checkpoint ahead of the views.
//!
//! A process writes a store while a shim notes what it does to its files. From that, disks are made as a power cut may
//! leave them, and each is opened. sled's flush is no sync, so the same must go wrong where our syncs do not count.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use optview::domain::Commit;
use optview::store::{self, Checkpoint, OpenStore, PartitionCheckpoint};

use crate::made::{self, Random};
use disk::{Call, Done};

const ROUNDS: u64 = 240;
const OPTIMIZATIONS: u64 = 600;
/// How many optimizations change in a round.
const CHANGES: u64 = 120;
/// With these before them, a name's and a checkpoint's rounds are found again in what was written.
const ROUND: &str = "round-";
const COVERS: &str = "covers-";

/// The numbers of the optimizations that a round changes. Later rounds know of more.
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

/// Now and then too large for one value.
fn description_of(round: u64, number: u64) -> String {
    let len = if (round + number).is_multiple_of(97) { 15_000 } else { 900 };
    made::text(round * OPTIMIZATIONS + number, len)
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
    BTreeMap::from([((covers(round), 0), partition)])
}

#[test]
#[ignore = "the other tests run it, in a process of its own"]
fn writes_a_store() {
    let directory = std::env::var_os("OPTVIEW_TEST_WATCHED").expect("run by the other tests");
    let OpenStore { writer, .. } = store::open(Path::new(&directory), made::CACHE_BYTES).unwrap();
    let mut checkpoints = 0;
    for round in 1..=ROUNDS {
        let optimizations = changed_in(round).into_iter().map(|number| {
            made::optimization(&id_of(number), round, name_of(round, number), description_of(round, number))
        });
        let jobs = vec![(format!("job-{round}").into(), Some(made::job(round).into()))];
        let commit = Commit { jobs, ..made::commit_of(optimizations.collect()) };
        let dead_letter = made::dead_letter(i64::try_from(round).unwrap(), vec![0; 300]);
        writer.commit(commit, vec![dead_letter], round).unwrap();
        if has_checkpoint(round) {
            writer.checkpoint(checkpoint_of(round)).unwrap();
            checkpoints += 1;
            // However slow the disk is, not all may become one.
            while checkpoints % 2 == 0 && writer.checkpoints_written() < checkpoints {
                writer.check().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
    writer.finish().unwrap();
}

/// All that such a process did.
static DONE: LazyLock<Vec<Done>> = LazyLock::new(|| {
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

/// What was found of what a power cut left.
#[derive(Debug, PartialEq)]
enum Found {
    /// A checkpoint of this round, and all that it covers.
    Whole(u64),
    /// The store said that it is no use, and begins anew.
    MovedAside,
    /// Without a checkpoint: Kafka is read from the beginning.
    Empty,
    Violation(String),
}

fn open_after_cut(files: &BTreeMap<PathBuf, Vec<u8>>) -> Found {
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let found = catch_unwind(|| look(directory.path()));
    found.unwrap_or_else(|_| Found::Violation("a panic escapes".to_owned()))
}

fn look(directory: &Path) -> Found {
    let opened = match store::open(directory, made::CACHE_BYTES) {
        Ok(opened) => opened,
        Err(error) => return Found::Violation(format!("does not open: {error}")),
    };
    let checkpoint = opened.writer.checkpoint_at_open().clone();
    let found = match (opened.moved_aside.is_some(), checkpoint.is_empty()) {
        (true, true) => Found::MovedAside,
        (true, false) => Found::Violation("moved aside, with a checkpoint".to_owned()),
        (false, true) => Found::Empty,
        (false, false) => match covered(&opened, &checkpoint) {
            Ok(round) => Found::Whole(round),
            Err(violation) => Found::Violation(violation),
        },
    };
    // Fails where reading has shown damage, which has been found already.
    let _ = opened.writer.finish();
    found
}

/// The round that the checkpoint covers, or what of it is missing.
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

/// What the `image`th power cut leaves, at a random moment after the first checkpoint was written and synced.
fn cut(image: u64, counts: impl Fn(&Path, Call) -> bool) -> Found {
    let written =
        DONE.iter().position(|step| !written(step, COVERS).is_empty()).expect("a checkpoint was written");
    let synced = |step: &Done| matches!(step, Done::Sync { path, .. } if is_database(path));
    let first = written + DONE[written..].iter().position(synced).expect("it was synced") + 1;
    let mut random = Random(image);
    let cut = first + random.below((DONE.len() - first) as u64 + 1) as usize;
    open_after_cut(&disk::after_power_cut(&DONE, cut, &mut random, &counts))
}

/// How many power cuts are tried: more where there is time.
fn images() -> u64 {
    std::env::var("OPTVIEW_TEST_POWER_CUTS").map_or(40, |number| number.parse().unwrap())
}

#[test]
fn all_that_a_checkpoint_covers_is_there_after_a_power_cut() {
    for image in 0..images() {
        let found = cut(image, |_, _| true);
        assert!(matches!(found, Found::Whole(_)), "power cut {image}: {found:?}");
    }
}

#[test]
fn without_our_syncs_a_checkpoint_is_ahead_of_the_views() {
    let mut found = (0..1_000).map(|image| cut(image, |path, _| !is_database(path)));
    let ahead = found.find(|found| matches!(found, Found::Violation(_)));
    assert!(ahead.is_some(), "a thousand power cuts do not show what the syncs are for");
}

#[test]
fn sled_never_takes_sync_file_range_for_a_sync() {
    let with = |wanted| {
        let is = |step: &&Done| matches!(step, Done::Sync { path, with } if is_database(path) && *with == wanted);
        DONE.iter().filter(is).count()
    };
    assert_eq!(with(Call::SyncFileRange), 0);
    assert!(with(Call::Fdatasync) > 100, "sled syncs what it writes");
}

/// The numbers behind `text` in what was written.
fn written(step: &Done, text: &str) -> Vec<(u64, usize)> {
    let Done::Write { data, .. } = step else { return Vec::new() };
    let number = |at: usize| std::str::from_utf8(data.get(at..at + 6)?).ok()?.parse().ok();
    let places = data.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    places.filter_map(|(at, _)| Some((number(at + text.len())?, at + text.len() + 6))).collect()
}

/// The rounds whose checkpoints were written before all that they cover was written and then synced.
fn checkpoints_too_early(done: &[Done], counts: impl Fn(Call) -> bool) -> Vec<u64> {
    // What of a round has been synced, of what was written.
    let mut unsynced = BTreeSet::new();
    let mut synced = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut early = Vec::new();
    for step in done {
        for (round, _) in written(step, COVERS) {
            let covered = |round: u64| changed_in(round).into_iter().map(move |number| (round, number));
            if seen.insert(round) && (1..=round).flat_map(covered).any(|change| !synced.contains(&change)) {
                early.push(round);
            }
        }
        for (round, at) in written(step, ROUND) {
            let Done::Write { data, .. } = step else { continue };
            let number = std::str::from_utf8(&data[at + 4..at + 10]).unwrap().parse::<u64>().unwrap();
            unsynced.insert((round, number));
        }
        if matches!(step, Done::Sync { path, with } if is_database(path) && counts(*with)) {
            synced.append(&mut unsynced);
        }
    }
    // Where several wait for the disk, the last of them is written.
    let asked: BTreeSet<u64> = (1..=ROUNDS).filter(|round| has_checkpoint(*round)).collect();
    assert!(seen.len() >= asked.len() / 2 && seen.last() == asked.last(), "{seen:?} of {asked:?}");
    early
}

#[test]
fn a_checkpoint_is_written_only_after_all_that_it_covers_has_been_synced() {
    assert_eq!(checkpoints_too_early(&DONE, |call| call == Call::Fsync), Vec::<u64>::new());
    let without = checkpoints_too_early(&DONE, |_| false);
    assert!(without.len() > 5, "the check sees what is not synced");
}
