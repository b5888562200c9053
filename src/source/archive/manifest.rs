//! The manifest, which lists the contents of an archive.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::errors::ArchiveError;
use super::format::{MANIFEST, VERSION};
use crate::disk;
use crate::domain::{Topic, TopicId, TopicPartition};
use crate::source::TopicNames;

/// The contents of an archive, as `MANIFEST.json` lists them. What it does not list is not part of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the archive's format.
    pub version: u32,
    /// The id of the cluster that was archived.
    pub cluster_id: String,
    /// The archived topics, at most one of each stream.
    pub topics: Vec<ArchivedTopic>,
    /// The files in the order in which they were written, which is the order to read them in.
    pub files: Vec<FileEntry>,
}

/// One topic of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedTopic {
    /// The stream, which the file names by its topic's default name.
    #[serde(with = "stream")]
    pub stream: Topic,
    /// The topic's name in the cluster.
    pub topic: String,
    /// Number of partitions, those without records included.
    pub partitions: i32,
    /// The topic's id in the cluster. `None` if the brokers do not give ids, or if an older optview created the
    /// archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TopicId>,
}

/// One file of an archive, which has records of any of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The name of the file in the archive's directory.
    pub name: String,
    /// Number of bytes that are finished. An export that is running or was killed may have left more.
    pub bytes: u64,
    /// SHA-256 of those bytes, in hexadecimal digits.
    pub sha256: String,
    /// Number of records in the file.
    pub records: u64,
    /// The span of each partition that the file has records of.
    pub spans: Vec<Span>,
}

/// All records of one partition from one offset up to another. There may be fewer records than offsets, because
/// offsets have holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The stream, which the file names by its topic's default name.
    #[serde(with = "stream")]
    pub stream: Topic,
    /// The number of the partition within its topic, counted from 0.
    pub partition: i32,
    /// The first offset.
    pub first: i64,
    /// One past the last offset.
    pub next: i64,
    /// Number of records in the span.
    pub records: u64,
}

impl Manifest {
    /// Reads the manifest of the archive in a directory. It looks at no other file.
    pub fn read(directory: &Path) -> Result<Manifest, ArchiveError> {
        let path = directory.join(MANIFEST);
        let bytes = fs::read(&path).map_err(|why| match why.kind() {
            std::io::ErrorKind::NotFound => ArchiveError::NoArchive { directory: directory.to_owned() },
            _ => ArchiveError::io("read", &path)(why),
        })?;
        // The version is read first, because another version may write the rest in another way.
        #[derive(Deserialize)]
        struct VersionHeader {
            version: u32,
        }
        let damaged = |why: String| ArchiveError::Manifest { path: path.clone(), why };
        let VersionHeader { version } =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if version > VERSION {
            return Err(ArchiveError::Newer { path, version });
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match manifest.files.iter().find(|file| number_of(&file.name).is_none()) {
            // A name with a path in it would lead out of the directory.
            Some(file) => Err(damaged(format!("`{}` is no name of a file of records", file.name))),
            None => Ok(manifest),
        }
    }

    /// Replaces the old manifest, so that a crash leaves one of the two.
    pub(super) fn write(&self, directory: &Path) -> Result<(), ArchiveError> {
        let path = directory.join(MANIFEST);
        let written = || {
            let mut bytes = serde_json::to_vec_pretty(self)?;
            bytes.push(b'\n');
            disk::replace(&path, &bytes)
        };
        written().map_err(ArchiveError::io("write", &path))
    }

    /// Returns the number of records in all files together.
    pub fn records(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum()
    }

    /// Total size of the files on the disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The span of each partition over all files. A partition that is missing has no records.
    pub fn spans(&self) -> BTreeMap<TopicPartition, Span> {
        let mut spans = BTreeMap::new();
        for span in self.files.iter().flat_map(|file| &file.spans) {
            spans
                .entry(TopicPartition::new(span.stream, span.partition))
                .and_modify(|held: &mut Span| held.extend(span))
                .or_insert(*span);
        }
        spans
    }

    /// All partitions of all topics, those without records included.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.topics
            .iter()
            .flat_map(|held| (0..held.partitions).map(|number| TopicPartition::new(held.stream, number)))
    }

    /// Raises the number of partitions to those in `file`: a topic may get more partitions while it is archived.
    pub(super) fn extend_partitions(&mut self, file: &FileEntry) {
        for topic in &mut self.topics {
            let spans = file.spans.iter().filter(|span| span.stream == topic.stream);
            let known = spans.map(|span| span.partition + 1).max().unwrap_or(0);
            topic.partitions = topic.partitions.max(known);
        }
    }

    /// The topics' names in the cluster, and the default names of topics that the manifest does not list.
    pub fn topic_names(&self) -> TopicNames {
        let [optimizations, jobs, multistart_runs] = Topic::ALL.map(|stream| match self.topic(stream) {
            Some(held) => held.topic.clone(),
            None => stream.default_name().to_owned(),
        });
        TopicNames::new(optimizations, jobs, multistart_runs)
    }

    /// The topic's id in the cluster.
    pub fn topic_id(&self, stream: Topic) -> Option<TopicId> {
        self.topic(stream).and_then(|held| held.id)
    }

    /// The entry of the topic of this stream.
    pub fn topic(&self, stream: Topic) -> Option<&ArchivedTopic> {
        self.topics.iter().find(|held| held.stream == stream)
    }
}

impl Span {
    /// Extends the span by the one that follows it.
    pub(super) fn extend(&mut self, following: &Span) {
        self.next = following.next;
        self.records += following.records;
    }
}

impl FileEntry {
    pub(super) fn span(&self, stream: Topic, partition: i32) -> Option<&Span> {
        self.spans.iter().find(|span| (span.stream, span.partition) == (stream, partition))
    }
}

pub(super) fn file_name(number: u32) -> String {
    format!("{number:06}.ndjson.zst")
}

/// The number in the name of a file of records; `None` for any other name.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".ndjson.zst")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// Syncs a directory, so that the names in it are as durable as the files.
pub(super) fn sync_directory(path: &Path) -> Result<(), ArchiveError> {
    disk::sync_directory(path).map_err(ArchiveError::io("sync", path))
}

/// Serializes a stream by its topic's default name.
pub(super) mod stream {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::domain::Topic;

    // serde defines the signature.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub fn serialize<S: Serializer>(stream: &Topic, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(stream.default_name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Topic, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Topic::ALL
            .into_iter()
            .find(|stream| stream.default_name() == name)
            .ok_or_else(|| de::Error::custom(format!("there is no stream `{name}`")))
    }
}
