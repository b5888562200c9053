//! Data directories as they are on disk at some moment. Each different state of the files is made once, by the real code.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data_dir;
use crate::domain::event::JobChange;
use crate::domain::{Commit, Job, Metadata, NamedPartition, PartitionOffset, Stamp, Timestamp, Topic};
use crate::generation::life::Plan;
use crate::generation::life::action::{Answer, FileAction};
use crate::generation::life::start::FrozenReason;
use crate::generation::open_live::{OpenLive, open_live};
use crate::generation::{files, left_plan};
use crate::source::TopicNames;
use crate::store::{self, Checkpoint, OpenStore, PartitionCheckpoint, Reader};

pub const CACHE_BYTES: u64 = 1 << 20;

/// A state of the files of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// All that the next start can find, but for times.
    key: String,
    path: PathBuf,
    /// The records that each generation has on the disk.
    records: BTreeMap<u64, u64>,
}

/// The result of a start on an image.
#[derive(Clone, Debug)]
pub struct Start {
    pub current: u64,
    pub records: u64,
    pub is_frozen: bool,
    pub is_asked_for: bool,
    /// The plan that it resumes.
    pub plan: Option<Plan>,
    /// The files after that.
    pub image: Image,
}

/// A change of the files.
#[derive(Clone, Debug)]
pub enum Change {
    File(FileAction),
    Create(u64),
    Open(u64),
    /// The generation gets so many records, and a checkpoint of them.
    Write {
        generation: u64,
        records: u64,
    },
    OtherFormat(u64),
    /// The generation's directory is left without a database.
    HalfBuilt(u64),
}

pub struct Images {
    root: tempfile::TempDir,
    known: HashMap<String, Image>,
    changes: HashMap<(String, String), (Image, Answer)>,
    starts: HashMap<String, Start>,
    next: usize,
}

impl Images {
    pub fn new() -> Images {
        // Memory, where there is such a disk: thousands of syncs take no time there.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Images { root, known: HashMap::new(), changes: HashMap::new(), starts: HashMap::new(), next: 0 }
    }

    /// An image of nothing.
    pub fn empty(&mut self) -> Image {
        let path = self.new_path();
        fs::create_dir_all(path.join("generations")).unwrap();
        self.keep(path, BTreeMap::new())
    }

    pub fn change(&mut self, image: &Image, change: &Change) -> (Image, Answer) {
        let key = (image.key.clone(), format!("{change:?}"));
        if let Some(known) = self.changes.get(&key) {
            return known.clone();
        }
        let path = self.copy(image);
        let mut records = image.records.clone();
        let answer = carry_out(&path, change, &mut records);
        let changed = (self.keep(path, records), answer);
        self.changes.insert(key, changed.clone());
        changed
    }

    pub fn start(&mut self, image: &Image) -> Start {
        if let Some(known) = self.starts.get(&image.key) {
            return known.clone();
        }
        let path = self.copy(image);
        let (records, is_frozen, is_asked_for) =
            match open_live(&path, CACHE_BYTES, &TopicNames::default(), false).unwrap() {
                OpenLive::Following(opened) => (close(opened), false, false),
                OpenLive::Frozen(store, reason) => (count(&store.reader), true, reason == FrozenReason::Asked),
            };
        wait_until_closed(&path);
        let plan = left_plan::resume_or_clear(&path).unwrap();
        let current = current(&path);
        let image_after = self.keep(path, image.records.clone());
        let start = Start { current, records, is_frozen, is_asked_for, plan, image: image_after };
        self.starts.insert(image.key.clone(), start.clone());
        start
    }

    pub fn starts(&self) -> usize {
        self.starts.len()
    }

    pub fn current(&self, image: &Image) -> u64 {
        current(&image.path)
    }

    fn new_path(&mut self) -> PathBuf {
        self.next += 1;
        self.root.path().join(self.next.to_string())
    }

    fn copy(&mut self, image: &Image) -> PathBuf {
        let path = self.new_path();
        copy(&image.path, &path);
        path
    }

    /// Gives the image of these files, and removes them where there are the same already.
    fn keep(&mut self, path: PathBuf, mut records: BTreeMap<u64, u64>) -> Image {
        records.retain(|generation, _| data_dir::exists(&path, *generation).unwrap());
        let key = format!("{records:?} {:?}", contents(&path));
        if let Some(known) = self.known.get(&key) {
            fs::remove_dir_all(&path).unwrap();
            return known.clone();
        }
        let image = Image { key: key.clone(), path, records };
        self.known.insert(key, image.clone());
        image
    }
}

impl Image {
    /// The generations that are there, those that are damaged included.
    pub fn generations(&self) -> Vec<u64> {
        let names = fs::read_dir(self.path.join("generations")).unwrap();
        let number = |name: String| name.split('.').next().and_then(|digits| digits.parse().ok());
        names.filter_map(|entry| number(entry.unwrap().file_name().into_string().unwrap())).collect()
    }

    pub fn has_plan(&self) -> bool {
        self.path.join("REBUILD").exists()
    }

    /// Returns true if the generation is there, and nothing may remove it unasked.
    pub fn has_surplus(&self, generation: u64) -> bool {
        let path = data_dir::directory(&self.path, generation);
        path.exists() && data_dir::surplus(&path).unwrap().is_some()
    }

    pub fn is_there(&self, generation: u64) -> bool {
        data_dir::exists(&self.path, generation).unwrap()
    }

    pub fn records(&self, generation: u64) -> u64 {
        self.records.get(&generation).copied().unwrap_or_default()
    }
}

fn carry_out(data_dir: &Path, change: &Change, records: &mut BTreeMap<u64, u64>) -> Answer {
    match change {
        Change::File(action) => {
            return files::carry_out(data_dir, action)
                .unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        }
        Change::Create(generation) => {
            close(store::begin_beside(data_dir, *generation, CACHE_BYTES).unwrap());
            records.insert(*generation, 0);
        }
        Change::Open(generation) => match store::open_beside(data_dir, *generation, CACHE_BYTES) {
            Err(error) if error.is_damage() => return Answer::Damaged(error.to_string()),
            opened => drop(close(opened.unwrap())),
        },
        Change::Write { generation, records: count } => {
            let opened = store::open_beside(data_dir, *generation, CACHE_BYTES).unwrap();
            write(&opened, *count);
            close(opened);
            records.insert(*generation, *count);
        }
        Change::OtherFormat(generation) => {
            store::set_other_format(&data_dir::directory(data_dir, *generation), CACHE_BYTES).unwrap();
        }
        Change::HalfBuilt(generation) => {
            fs::create_dir(data_dir::directory(data_dir, *generation)).unwrap();
            records.insert(*generation, 0);
        }
    }
    wait_until_closed(data_dir);
    Answer::Done
}

fn write(opened: &OpenStore, records: u64) {
    let jobs = (0..records).map(|number| (format!("j{number}").into(), Some(job()))).collect();
    opened.writer.commit(Commit { jobs, ..Commit::default() }, Vec::new(), 1).unwrap();
    let held = PartitionCheckpoint { next_offset: i64::try_from(records).unwrap(), anchor: None, topic_id: None };
    opened.writer.checkpoint(Checkpoint::from([(NamedPartition::new("jobs", 0), held)])).unwrap();
    while opened.writer.checkpoints_written() == 0 {
        opened.writer.check().unwrap();
        std::thread::yield_now();
    }
}

fn job() -> Arc<Job> {
    let occurred_at = Timestamp::new(1, 0).unwrap();
    let metadata = Metadata { event_id: "event".into(), occurred_at, sequence: 1 };
    let mut job = Job::default();
    let position = PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 1 };
    job.apply(&JobChange::Pending, Stamp::new(&metadata, 0, position));
    Arc::new(job)
}

/// Lets go of it as a kill does, and gives how many records it had.
fn close(opened: OpenStore) -> u64 {
    let reader = opened.writer.reader();
    drop(opened);
    count(&reader)
}

fn count(reader: &Reader) -> u64 {
    reader.parked_ids_after(None, 1_000).unwrap().len() as u64
}

/// sled lets go of its file a moment after its last user has gone.
fn wait_until_closed(data_dir: &Path) {
    let begin = Instant::now();
    for entry in fs::read_dir(data_dir.join("generations")).unwrap() {
        let Ok(file) = fs::File::open(entry.unwrap().path().join("db")) else { continue };
        while file.try_lock().is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is never closed");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn current(data_dir: &Path) -> u64 {
    data_dir::current(data_dir).unwrap().expect("a live generation")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// All that decides what a start makes of a data directory, but for the databases.
fn contents(data_dir: &Path) -> Vec<String> {
    let text = |name: &str| fs::read_to_string(data_dir.join(name)).unwrap_or_default();
    let frozen: serde_json::Value = serde_json::from_str(&text("FROZEN")).unwrap_or_default();
    let marked = [&frozen["generation"], &frozen["before"]["generation"]].map(ToString::to_string);
    let mut contents = vec![text("CURRENT"), marked.join(", "), text("REBUILD")];
    let mut entries: Vec<PathBuf> =
        fs::read_dir(data_dir.join("generations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let has_surplus = data_dir::surplus(&path).ok().flatten().is_some();
        let format = data_dir::GenerationManifest::read(&path).format;
        let is_there = path.join("db").exists();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        contents.push(format!("{name} {has_surplus} {format:?} {is_there}"));
    }
    contents
}
