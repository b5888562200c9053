//! The calls of a process on its files, and the files that a disk may hold after a power cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fixtures::Random;

/// One change of a file, or a sync. Paths are relative to the watched directory.
#[derive(Debug)]
pub enum FileStep {
    Write { path: PathBuf, offset: usize, data: Vec<u8> },
    Truncate { path: PathBuf, len: usize },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Sync { path: PathBuf, with: Call },
}

/// The system call of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The sync that the store makes before it writes a checkpoint.
    Fsync,
    /// The sync that sled makes where it means to call `sync_file_range`.
    Fdatasync,
    /// A call that is no sync.
    SyncFileRange,
}

/// Parses the journal that the shim wrote.
pub fn parse(mut bytes: &[u8], watched: &Path) -> Vec<FileStep> {
    let mut steps = Vec::new();
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
        steps.push(match head[0] {
            b'W' => FileStep::Write { path, offset: number, data: data.to_vec() },
            b'T' => FileStep::Truncate { path, len: number },
            b'R' => FileStep::Rename { from: path, to: below(data) },
            b'U' => FileStep::Unlink { path },
            b'S' => FileStep::Sync { path, with: Call::Fsync },
            b'D' => FileStep::Sync { path, with: Call::Fdatasync },
            b'F' => FileStep::Sync { path, with: Call::SyncFileRange },
            other => panic!("the shim writes no {other}"),
        });
        bytes = rest;
    }
    steps
}

/// The fate of the writes that no sync covers.
#[derive(Clone, Copy, Debug)]
enum Fate {
    None,
    All,
    OnlyTheLast,
    /// Each write is on the disk by chance, in this many of a hundred cases.
    Writes(u64),
    /// Each page of each write is on the disk by chance, in this many of a hundred cases.
    Pages(u64),
}

const PAGE: usize = 4096;

/// Returns files that a disk may hold when the power is cut after the first `cut` steps: the changes that a sync of the file
/// follows, those that were written back before some moment, and, by chance, some of the rest. `counts` returns false for syncs
/// that are to be ignored: a test shows the result without them.
///
/// Directories are those of a journalling file system: renames and removals happen in their order, and any sync brings all
/// earlier ones to the disk.
pub fn after_power_cut(
    steps: &[FileStep],
    cut: usize,
    random: &mut Random,
    counts: impl Fn(&Path, Call) -> bool,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let steps = &steps[..cut];
    let directories_until = last_sync(steps, random);
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut names_on_disk = names.clone();
    let mut files: Vec<File> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            FileStep::Write { path, .. } | FileStep::Truncate { path, .. } => {
                let file = *names.entry(path.clone()).or_insert(files.len());
                if file == files.len() {
                    files.push(File::default());
                }
                files[file].changes.push(at);
            }
            FileStep::Sync { path, with } => {
                if let Some(&file) = names.get(path)
                    && *with != Call::SyncFileRange
                    && counts(path, *with)
                {
                    files[file].synced = files[file].changes.len();
                }
            }
            FileStep::Rename { from, to } => {
                let file = names.remove(from).expect("what is renamed was written");
                names.insert(to.clone(), file);
            }
            FileStep::Unlink { path } => drop(names.remove(path)),
        }
        if at < directories_until {
            names_on_disk.clone_from(&names);
        }
    }
    names_on_disk.into_iter().map(|(path, file)| (path, files[file].on_disk(steps, random))).collect()
}

/// Returns the number of steps whose renames and removals are on the disk: those up to the last sync, and by chance some more.
fn last_sync(steps: &[FileStep], random: &mut Random) -> usize {
    let last = steps.iter().rposition(|step| matches!(step, FileStep::Sync { .. })).map_or(0, |at| at + 1);
    last + random.below((steps.len() - last) as u64 + 1) as usize
}

#[derive(Default)]
struct File {
    /// Indexes of the steps that write to it or truncate it.
    changes: Vec<usize>,
    /// Number of these changes that a sync follows.
    synced: usize,
}

impl File {
    fn on_disk(&self, steps: &[FileStep], random: &mut Random) -> Vec<u8> {
        let unsynced = (self.changes.len() - self.synced) as u64;
        // A power cut mostly loses the latest writes.
        let lately = random.below(unsynced.min(40) + 1).max(if random.percent(10) { unsynced } else { 0 });
        let (written_back, rest) = self.changes.split_at(self.changes.len() - lately as usize);
        let mut bytes = Vec::new();
        for &at in written_back {
            change(&mut bytes, &steps[at], |_| true);
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
                    change(&mut bytes, &steps[at], |_| random.percent(chance));
                    continue;
                }
            };
            change(&mut bytes, &steps[at], |_| whole);
        }
        bytes
    }
}

/// Applies a step to the bytes of a file: of a write only the pages for which `there` holds.
fn change(bytes: &mut Vec<u8>, step: &FileStep, mut there: impl FnMut(usize) -> bool) {
    match step {
        FileStep::Write { offset, data, .. } => {
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
        FileStep::Truncate { len, .. } if there(0) => bytes.resize(*len, 0),
        _ => {}
    }
}
