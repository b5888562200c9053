//! Fixtures for tests of the store: optimizations and jobs made directly, without events, and recognizable by
//! their bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optview::data_dir::DataDirError;
use optview::domain::event::JobChange;
use optview::domain::{
    Commit, CreationFacts, DeadLetter, Job, Metadata, Optimization, PartitionOffset, Register, Stamp, Timestamp,
    Topic, View,
};
use optview::store::{self, OpenError, OpenStore, Writer};

/// Size of sled's page cache in bytes: little, so that it reads what it wrote.
pub const CACHE_BYTES: u64 = 1 << 20;

/// Opens a store that this process may just have closed. sled releases its file a moment later, and so does a
/// process that another test starts, which has all our files until it runs its own program.
pub fn open(directory: &Path) -> OpenStore {
    let begin = Instant::now();
    loop {
        match store::open(directory, CACHE_BYTES) {
            Err(OpenError::DataDir(DataDirError::Held { .. })) if begin.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Opens the database below the first generation.
pub fn open_database(directory: &Path) -> sled::Db {
    let begin = Instant::now();
    loop {
        match sled::open(directory.join("generations/000001")) {
            Err(sled::Error::Io(_)) if begin.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Waits until readers see a commit.
pub fn wait_until_written(writer: &Writer, commit: u64) {
    while writer.commits_written() < commit {
        writer.check().unwrap();
        std::thread::yield_now();
    }
}

pub const ORGANIZATION: &str = "org-1";
pub const PROJECT: &str = "project-1";

/// A generator that gives the same numbers for the same seed (splitmix64).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number less than `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Returns a text that neither repeats nor compresses.
pub fn text(seed: u64, len: usize) -> String {
    let mut random = Random(seed);
    let mut text = String::with_capacity(len + 16);
    while text.len() < len {
        text.push_str(&format!("{:016x}", random.next()));
    }
    text.truncate(len);
    text
}

/// Returns the stamp of an event numbered `sequence`.
pub fn stamp(sequence: u64) -> Stamp {
    let seconds = i64::try_from(sequence).expect("a small sequence");
    let metadata = Metadata {
        event_id: format!("event-{sequence}").into(),
        occurred_at: Timestamp::new(seconds, 0).expect("a year between 1 and 9999"),
        sequence,
    };
    let source = PartitionOffset { topic: Topic::Optimizations, partition: 0, offset: seconds };
    Stamp::new(&metadata, 0, source)
}

pub fn created(sequence: u64) -> Register<CreationFacts> {
    let value = CreationFacts {
        organization_id: ORGANIZATION.into(),
        project_id: PROJECT.into(),
        ..CreationFacts::default()
    };
    Register::new(value, stamp(sequence))
}

/// Returns an optimization that was named and described at `sequence`.
pub fn optimization(id: &str, sequence: u64, name: String, description: String) -> Optimization {
    let mut optimization = Optimization::new(Arc::from(id));
    optimization.created = Some(created(0));
    let register = |text: String| Some(Box::new(Register::new(text.into_boxed_str(), stamp(sequence))));
    optimization.name = register(name);
    optimization.description = register(description);
    optimization
}

/// Returns a job that became pending at `sequence`.
pub fn job(sequence: u64) -> Job {
    let mut job = Job::default();
    job.apply(&JobChange::Pending, stamp(sequence));
    job
}

pub fn dead_letter(offset: i64, value: Vec<u8>) -> DeadLetter {
    DeadLetter {
        position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset },
        timestamp_millis: Some(0),
        key: None,
        headers: Vec::new(),
        value_len: value.len() as u64,
        value: Some(value),
        reason: "made by a test".to_owned(),
    }
}

pub fn commit_of(optimizations: Vec<Optimization>) -> Commit {
    Commit { optimizations: optimizations.into_iter().map(Arc::new).collect(), jobs: Vec::new() }
}

/// Returns a view with these ids (its own, its project's, its organization's), texts in the order of its keys, metrics and objectives; and
/// all else as in `other`.
pub fn view_of<'a>(
    ids: &'a [String; 3],
    texts: &'a [Option<String>],
    [metrics, objectives]: [Option<&'a str>; 2],
    other: View<'a>,
) -> View<'a> {
    let [name, description, kind, email, cell_id, model_id, model_name, cell_name, template_id, error, error_code] =
        std::array::from_fn(|at| texts[at].as_deref());
    View {
        id: &ids[0],
        name,
        description,
        project_id: &ids[1],
        organization_id: &ids[2],
        kind,
        created_by_email: email,
        cell_spec_id: cell_id,
        parameterized_model_id: model_id,
        parameterized_model_name: model_name,
        cell_name,
        optimization_template_id: template_id,
        metrics,
        objectives,
        error,
        error_code,
        ..other
    }
}
