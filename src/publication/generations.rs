//! The generation that is published, which another one takes the place of when readers see another. Whoever changes the note of a
//! generation holds the lock, so that no note is written for one that is not published any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::codec::published_view::ViewsFormat;
use crate::data_dir::{IoError, PublishedNote};
use crate::domain::Timestamp;
use crate::store::{Reader, TouchedViews};

/// A handle of what is published, shared by those who change generations and the publisher.
#[derive(Clone)]
pub struct Publication(Arc<PublicationShared>);

struct PublicationShared {
    topic: String,
    format: ViewsFormat,
    state: Mutex<PublicationState>,
    changed: Condvar,
    is_stopping: Arc<AtomicBool>,
    /// The time at which everything that the topics held was read, and visible, in milliseconds since 1970; 0 if that is not known.
    as_of_millis: AtomicI64,
}

#[derive(Default)]
struct PublicationState {
    current: Option<Arc<PublishedGeneration>>,
    turns: u64,
    /// True once another publisher has taken the topic over: nothing is noted for this one any more.
    is_fenced: bool,
}

/// The generation that is published.
pub struct PublishedGeneration {
    /// The number of generations that were published in this process before, and this one.
    pub turn: u64,
    pub directory: PathBuf,
    pub reader: Reader,
    pub touched: Arc<TouchedViews>,
    note: Mutex<Option<PublishedNote>>,
}

impl PublishedGeneration {
    /// Returns the note that the generation is published up to its checkpoint, if it has one.
    pub fn note(&self) -> Option<PublishedNote> {
        self.note.lock().clone()
    }
}

impl Publication {
    /// Makes a publication on a topic that has no generation yet.
    pub fn new(topic: &str, format: ViewsFormat) -> Publication {
        Publication(Arc::new(PublicationShared {
            topic: topic.to_owned(),
            format,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_stopping: Arc::default(),
            as_of_millis: AtomicI64::new(0),
        }))
    }

    /// Has a generation published from now on, which lies in `directory`. The one before is not noted as published any more, and its
    /// checkpoints wait for nothing.
    ///
    /// # Errors
    /// A note cannot be read or removed. The generation before goes on to be published then.
    pub fn attach(&self, reader: &Reader, directory: &Path) -> Result<(), IoError> {
        let mut state = self.0.state.lock();
        if state.current.as_ref().is_some_and(|current| current.directory == directory) {
            return Ok(());
        }
        let note = PublishedNote::read(directory)?
            .filter(|note| note.topic == self.0.topic && note.format == self.0.format.name());
        if note.is_none() {
            PublishedNote::forget(directory)?;
        }
        if let Some(before) = &state.current {
            release(before)?;
        }
        state.current = None;
        if state.is_fenced {
            return Ok(());
        }
        let touched = Arc::new(TouchedViews::default());
        if note.is_some() {
            touched.close_gate();
        }
        reader.note_touched_in(Some(touched.clone()));
        state.turns += 1;
        state.current = Some(Arc::new(PublishedGeneration {
            turn: state.turns,
            directory: directory.to_owned(),
            reader: reader.clone(),
            touched,
            note: Mutex::new(note),
        }));
        self.0.changed.notify_all();
        Ok(())
    }

    /// Ends the publishing. What is not published stays so, and no checkpoint is written that covers it.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
        self.0.changed.notify_all();
        if let Some(current) = &self.0.state.lock().current {
            current.touched.end();
        }
    }

    /// Returns the number of views of the generation that are to be published, and the time since which there have been some.
    pub fn unpublished(&self) -> (u64, Option<Instant>) {
        self.current().map(|current| current.touched.unpublished()).unwrap_or_default()
    }

    /// Returns true once the publishing is to end.
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }

    /// Returns the flag that is set once the publishing is to end.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.0.is_stopping.clone()
    }

    /// Notes the age of the oldest record that has not been read, as of a time in milliseconds since 1970; `None` if it is not known.
    pub fn note_lag(&self, now_millis: i64, lag: Option<Duration>) {
        let millis = lag.map(|lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        let as_of = millis.map_or(0, |lag| now_millis.saturating_sub(lag).max(0));
        self.0.as_of_millis.store(as_of, Ordering::Release);
    }

    /// Returns the time at which everything that the topics held is visible by now, RFC 3339; `None` if that is not known.
    pub(super) fn as_of(&self) -> Option<String> {
        let millis = Some(self.0.as_of_millis.load(Ordering::Acquire)).filter(|millis| *millis > 0)?;
        Timestamp::from_millis(millis).map(|time| time.to_string())
    }

    /// The name of the topic.
    pub(super) fn topic(&self) -> &str {
        &self.0.topic
    }

    pub(super) fn format(&self) -> ViewsFormat {
        self.0.format
    }

    pub(super) fn current(&self) -> Option<Arc<PublishedGeneration>> {
        self.0.state.lock().current.clone()
    }

    /// Waits until there may be something to do, for this time at the most.
    pub(super) fn wait(&self, longest: Duration) {
        let mut state = self.0.state.lock();
        if self.is_stopping() {
            return;
        }
        match state.current.clone() {
            Some(current) => {
                drop(state);
                current.touched.wait(longest);
            }
            None => drop(self.0.changed.wait_for(&mut state, longest)),
        }
    }

    /// Waits until the publishing is to end, for this time at the most.
    pub(super) fn wait_for_stop(&self, longest: Duration) {
        let mut state = self.0.state.lock();
        if !self.is_stopping() {
            self.0.changed.wait_for(&mut state, longest);
        }
    }

    /// Notes that a generation is published up to its checkpoint, if it still is the one that is published.
    pub(super) fn note_published(&self, turn: u64, note: &PublishedNote) -> Result<(), IoError> {
        let state = self.0.state.lock();
        match &state.current {
            Some(current) if current.turn == turn => {
                note.write(&current.directory)?;
                *current.note.lock() = Some(note.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the note of the generation back: its checkpoints wait for nothing until it is noted again.
    pub(super) fn unnote(&self, turn: u64) -> Result<(), IoError> {
        let state = self.0.state.lock();
        match &state.current {
            Some(current) if current.turn == turn => {
                PublishedNote::forget(&current.directory)?;
                *current.note.lock() = None;
                current.touched.open_gate();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives the topic up to the publisher that has taken it over.
    ///
    /// # Errors
    /// The note cannot be removed. The generation's checkpoints wait until it is, and it must be tried again.
    pub(super) fn fence(&self) -> Result<(), IoError> {
        let mut state = self.0.state.lock();
        state.is_fenced = true;
        if let Some(current) = &state.current {
            release(current)?;
        }
        state.current = None;
        Ok(())
    }
}

/// Lets a generation go. Its note goes first, so that no checkpoint is ahead of the topic while there is one.
fn release(generation: &PublishedGeneration) -> Result<(), IoError> {
    PublishedNote::forget(&generation.directory)?;
    generation.touched.open_gate();
    generation.reader.note_touched_in(None);
    Ok(())
}
