//! `published.json` in a generation: everything that the generation's checkpoint covers is on a topic of views. It is written once that
//! is so, and removed before it is not so any more. Without it, whoever publishes compares the topic with the store first.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::IoError;
use crate::disk;
use crate::domain::TopicId;

const NAME: &str = "published.json";

/// The note that a generation is published up to its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedNote {
    /// The name of the topic of views.
    pub topic: String,
    /// The id of that topic; `None` if the brokers give none. A topic that is created again is empty, and has another.
    pub topic_id: Option<TopicId>,
    /// Number of partitions of the topic. With more of them, ids move to others.
    pub partitions: i32,
    /// The format of the views on the topic.
    pub format: String,
    /// The id under which this generation was published. Another one at the end of the topic shows that somebody else has published since.
    pub publisher: String,
}

impl PublishedNote {
    /// Reads the note of the generation in this directory. A note that cannot be understood proves nothing, and counts as none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(generation: &Path) -> Result<Option<PublishedNote>, IoError> {
        let path = generation.join(NAME);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(IoError::of("read", &path)(error)),
        }
    }

    /// Writes the note. It is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, generation: &Path) -> Result<(), IoError> {
        let path = generation.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        text.and_then(|text| disk::replace(&path, &text)).map_err(IoError::of("write", &path))
    }

    /// Removes the note, if there is one. It is gone from the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(generation: &Path) -> Result<(), IoError> {
        let path = generation.join(NAME);
        match fs::remove_file(&path) {
            Ok(()) => disk::sync_directory(generation).map_err(IoError::of("sync", generation)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(IoError::of("remove", &path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_until_it_is_forgotten() {
        let generation = tempfile::tempdir().unwrap();
        let note = PublishedNote {
            topic: "views".to_owned(),
            topic_id: Some(TopicId { most_significant: 1, least_significant: -1 }),
            partitions: 3,
            format: "json".to_owned(),
            publisher: "p".to_owned(),
        };
        assert_eq!(PublishedNote::read(generation.path()).unwrap(), None);
        note.write(generation.path()).unwrap();
        assert_eq!(PublishedNote::read(generation.path()).unwrap(), Some(note));
        PublishedNote::forget(generation.path()).unwrap();
        PublishedNote::forget(generation.path()).unwrap();
        assert_eq!(PublishedNote::read(generation.path()).unwrap(), None);
        fs::write(generation.path().join(NAME), "{\"topic\":").unwrap();
        assert_eq!(PublishedNote::read(generation.path()).unwrap(), None, "half a note is none");
    }
}
