//! What a process did to its files, and what of it a disk may hold after a power cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fixtures::Random;

/// One thing done, in the order in which it was done. Paths are below the watched directory.
#[derive(Debug)]
pub enum Done {
    Write { path: PathBuf, offset: usize, data: Vec<u8> },
    Truncate { path: PathBuf, len: usize },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Sync { path: PathBuf, with: Call },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// What the store calls before it writes a checkpoint.
    Fsync,
    /// What sled calls, where it believes to call `sync_file_range`.
    Fdatasync,
    /// Not a sync.
    SyncFileRange,
}

/// Reads the journal that the shim wrote.
pub fn parse(mut bytes: &[u8], watched: &Path) -> Vec<Done> {
    let mut done = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(17) {
        let number = u64::from_le_bytes(head[1..9].try_into().unwrap()) as usize;
        let len = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let Some((path, rest)) = rest.split_at_checked(len(9)) else { break };
        let Some((data, rest)) = rest.split_at_checked(len(13)) else { break };
        let below = |path: &[u8]| {
            let path = Path::new(std::str::from_utf8(path).expect("paths of this test are UTF-8"));
            path.strip_prefix(watched).expect("only what is below the directory is noted").to_owned()
        };
        let path = below(path);
        done.push(match head[0] {
            b'W' => Done::Write { path, offset: number, data: data.to_vec() },
            b'T' => Done::Truncate { path, len: number },
            b'R' => Done::Rename { from: path, to: below(data) },
            b'U' => Done::Unlink { path },
            b'S' => Done::Sync { path, with: Call::Fsync },
            b'D' => Done::Sync { path, with: Call::Fdatasync },
            b'F' => Done::Sync { path, with: Call::SyncFileRange },
            other => panic!("the shim writes no {other}"),
        });
        bytes = rest;
    }
    done
}

/// What became of the writes that no sync covers.
#[derive(Clone, Copy, Debug)]
enum Fate {
    None,
    All,
    OnlyTheLast,
    /// Each by chance, in this many of a hundred cases.
    Writes(u64),
    /// Each page of each by chance.
    Pages(u64),
}

const PAGE: usize = 4096;

/// The files that a disk may hold when the power is cut after the first `cut` of what was done: all that a sync of the
/// file came after, what was written back before some moment, and, by chance, some of the rest. `counts` says whether a
/// sync is one: a test wants to know what would happen without.
///
/// Directories are as a journalling file system has them: renames and removals happen in their order, and any sync
/// brings all of those before it.
pub fn after_power_cut(
    done: &[Done],
    cut: usize,
    random: &mut Random,
    counts: impl Fn(&Path, Call) -> bool,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let done = &done[..cut];
    let directories_until = last_sync(done, random);
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut names_on_disk = names.clone();
    let mut files: Vec<File> = Vec::new();
    for (at, step) in done.iter().enumerate() {
        match step {
            Done::Write { path, .. } | Done::Truncate { path, .. } => {
                let file = *names.entry(path.clone()).or_insert(files.len());
                if file == files.len() {
                    files.push(File::default());
                }
                files[file].changes.push(at);
            }
            Done::Sync { path, with } => {
                if let Some(&file) = names.get(path)
                    && *with != Call::SyncFileRange
                    && counts(path, *with)
                {
                    files[file].synced = files[file].changes.len();
                }
            }
            Done::Rename { from, to } => {
                let file = names.remove(from).expect("what is renamed was written");
                names.insert(to.clone(), file);
            }
            Done::Unlink { path } => drop(names.remove(path)),
        }
        if at < directories_until {
            names_on_disk.clone_from(&names);
        }
    }
    names_on_disk.into_iter().map(|(path, file)| (path, files[file].on_disk(done, random))).collect()
}

/// Up to where renames and removals are on the disk: the last sync, or by chance later.
fn last_sync(done: &[Done], random: &mut Random) -> usize {
    let last = done.iter().rposition(|step| matches!(step, Done::Sync { .. })).map_or(0, |at| at + 1);
    last + random.below((done.len() - last) as u64 + 1) as usize
}

#[derive(Default)]
struct File {
    /// Where in what was done its writes and truncations are.
    changes: Vec<usize>,
    /// How many of those a sync came after.
    synced: usize,
}

impl File {
    fn on_disk(&self, done: &[Done], random: &mut Random) -> Vec<u8> {
        let unsynced = (self.changes.len() - self.synced) as u64;
        // Mostly what was written lately is what is lost.
        let lately = random.below(unsynced.min(40) + 1).max(if random.percent(10) { unsynced } else { 0 });
        let (written_back, rest) = self.changes.split_at(self.changes.len() - lately as usize);
        let mut bytes = Vec::new();
        for &at in written_back {
            change(&mut bytes, &done[at], |_| true);
        }
        let fate = match random.below(7) {
            0 => Fate::None,
            1 => Fate::All,
            2 => Fate::OnlyTheLast,
            3 => Fate::Writes(50),
            4 => Fate::Writes(90),
            5 => Fate::Pages(50),
            _ => Fate::Pages(97),
        };
        for (number, &at) in rest.iter().enumerate() {
            let whole = match fate {
                Fate::None => false,
                Fate::All => true,
                Fate::OnlyTheLast => number + 1 == rest.len(),
                Fate::Writes(chance) => random.percent(chance),
                Fate::Pages(chance) => {
                    change(&mut bytes, &done[at], |_| random.percent(chance));
                    continue;
                }
            };
            change(&mut bytes, &done[at], |_| whole);
        }
        bytes
    }
}

/// Makes one change, of a write those pages that are `there`.
fn change(bytes: &mut Vec<u8>, step: &Done, mut there: impl FnMut(usize) -> bool) {
    match step {
        Done::Write { offset, data, .. } => {
            let mut at = 0;
            while at < data.len() {
                let end = data.len().min((offset + at) / PAGE * PAGE + PAGE - offset);
                if there((offset + at) / PAGE) {
                    if bytes.len() < offset + end {
                        bytes.resize(offset + end, 0);
                    }
                    bytes[offset + at..offset + end].copy_from_slice(&data[at..end]);
                }
                at = end;
            }
        }
        Done::Truncate { len, .. } if there(0) => bytes.resize(*len, 0),
        _ => {}
    }
}
