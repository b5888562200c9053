//! `generation.json`: what can be known of a generation without opening it, which nobody can while another has it. For
//! people and tools only: the store itself never rests on it, and does without where it is missing or cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::{MissingHistory, StoreError};
use crate::codec::stored_record::FORMAT;
use crate::disk;
use crate::domain::{NamedPartition, Timestamp, Topic};

const NAME: &str = "generation.json";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationManifest {
    /// The fold format; `None` if it is not known.
    pub format: Option<u8>,
    /// The time at which it was begun, RFC 3339.
    pub created_at: Option<String>,
    /// The name that each topic (by its default name) has in the cluster that the generation is built from.
    pub topics: BTreeMap<String, String>,
    /// The records that it was built without, and who accepted that when.
    pub missing_history: Vec<MissingHistory>,
    /// `None` while it is open, and after a kill.
    pub closed: Option<CloseRecord>,
    /// Set while the generation has something that the one which took its place could not be given any more. Such a
    /// generation is not removed unless somebody asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds_more: Option<Surplus>,
}

/// A note that a generation has something that neither the topics nor the generation in its place have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surplus {
    /// The generation that took its place.
    pub replaced_by: String,
    /// The time of the note, RFC 3339.
    pub noted_at: String,
    /// The surplus, in words.
    pub what: String,
}

/// The content of a generation when it was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRecord {
    pub views: u64,
    pub positions: Vec<PartitionPosition>,
    /// True if all was read that had been there when it was opened. What a kill left half written has been written
    /// again by then.
    pub caught_up: bool,
    /// The time at which it was closed, RFC 3339; `None`: a version closed it that did not note it.
    #[serde(default)]
    pub at: Option<String>,
}

/// The next offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The topic's name in the cluster.
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
}

impl PartitionPosition {
    pub fn all(checkpoint: &Checkpoint) -> Vec<PartitionPosition> {
        let position = |NamedPartition { topic, partition }: &NamedPartition, next_offset| PartitionPosition {
            topic: topic.clone(),
            partition: *partition,
            next_offset,
        };
        checkpoint.iter().map(|(key, held)| position(key, held.next_offset)).collect()
    }
}

impl GenerationManifest {
    /// Returns the manifest of a generation that is begun now.
    pub(super) fn new() -> GenerationManifest {
        GenerationManifest { format: Some(FORMAT), created_at: Some(now()), ..GenerationManifest::default() }
    }

    /// Knows nothing where there is nothing to be read.
    pub fn read(generation: &Path) -> GenerationManifest {
        GenerationManifest::load(generation).unwrap_or_else(|error| {
            tracing::warn!("{error}: tools are told less of the generation than is known");
            GenerationManifest::default()
        })
    }

    /// Loads the manifest, which is empty if there is no such file or it is none of ours. A manifest that cannot be read is an error, as
    /// it must not be written anew with less.
    pub(super) fn load(generation: &Path) -> Result<GenerationManifest, StoreError> {
        let path = generation.join(NAME);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(GenerationManifest::default()),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Changes what is written there. One change after another, whoever makes it.
    pub(super) fn update(generation: &Path, change: impl FnOnce(GenerationManifest) -> GenerationManifest) {
        if let Err(error) = GenerationManifest::try_update(generation, change) {
            tracing::warn!("{error}: what tools are told of the generation is not up to date");
        }
    }

    fn try_update(
        generation: &Path,
        change: impl FnOnce(GenerationManifest) -> GenerationManifest,
    ) -> Result<(), StoreError> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock();
        change(GenerationManifest::load(generation)?).try_write(generation)
    }

    /// Returns the topic's name in the cluster, or its default name if that is not known.
    pub fn topic(&self, topic: Topic) -> String {
        let name = topic.default_name();
        self.topics.get(name).map_or_else(|| name.to_owned(), Clone::clone)
    }

    /// Returns the manifest of the same generation while it is open.
    pub(super) fn opened(self) -> GenerationManifest {
        GenerationManifest { format: Some(FORMAT), closed: None, ..self }
    }

    /// Writes the manifest. A failure is only logged, as it is not worth an end.
    pub(super) fn write(&self, generation: &Path) {
        if let Err(error) = self.try_write(generation) {
            tracing::warn!("{error}: what tools are told of the generation is not up to date");
        }
    }

    fn try_write(&self, generation: &Path) -> Result<(), StoreError> {
        let path = generation.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        text.and_then(|text| disk::replace(&path, &text)).map_err(StoreError::io("write", &path))
    }
}

/// Notes what the topics are called that a generation is built from. They are the generation's for good.
pub fn note_topics(generation: &Path, name: impl Fn(Topic) -> String) {
    let topics = Topic::ALL.map(|topic| (topic.default_name().to_owned(), name(topic)));
    GenerationManifest::update(generation, |about| GenerationManifest { topics: BTreeMap::from(topics), ..about });
}

/// Notes, before another generation takes its place, what a generation has more than that, in words.
/// What keeps the generation from being removed rests on this, so that it must be written.
///
/// # Errors
/// Fails if `generation.json` cannot be read or written.
pub fn note_surplus(generation: &Path, replaced_by: u64, what: Option<String>) -> Result<(), StoreError> {
    let holds_more = what.map(|what| Surplus { replaced_by: format!("{replaced_by:06}"), noted_at: now(), what });
    GenerationManifest::try_update(generation, |about| GenerationManifest { holds_more, ..about })
}

/// Returns what the generation has and the one that took its place has not, if that was noted.
///
/// # Errors
/// Fails if `generation.json` is there and cannot be read or understood, since a note may then be in it.
pub fn surplus(generation: &Path) -> Result<Option<Surplus>, StoreError> {
    let path = generation.join(NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let about: GenerationManifest = serde_json::from_slice(&text).map_err(|error| {
        StoreError::io("understand", &path)(std::io::Error::new(ErrorKind::InvalidData, error))
    })?;
    Ok(about.holds_more)
}

/// RFC 3339.
pub(super) fn now() -> String {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis()).unwrap_or_default().to_string()
}

/// Notes that a generation was closed as it should be.
pub(super) fn note_closed(generation: &Path, closed: CloseRecord) {
    GenerationManifest::update(generation, |about| GenerationManifest { closed: Some(closed), ..about });
}
