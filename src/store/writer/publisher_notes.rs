//! The writer's part in publishing: which views a commit has changed, and which checkpoints wait for the topic. While nobody publishes,
//! a commit costs a look at a pointer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use super::letter_shelf::LetterCommand;
use crate::data_dir::PublishedNote;
use crate::domain::Optimization;
use crate::store::StoreError;
use crate::store::progress::WriterProgress;
use crate::store::touched_views::{Seal, TouchedViews};

/// The views that have to be on their topic before a checkpoint is written, or anything else forgets what they were made of.
#[derive(Default)]
pub struct PublishedUpTo(Option<(Arc<TouchedViews>, Seal)>);

impl PublishedUpTo {
    /// Seals all that was noted so far, if checkpoints wait for the topic.
    pub(super) fn of(touched: Option<Arc<TouchedViews>>) -> PublishedUpTo {
        PublishedUpTo(touched.filter(|touched| touched.is_gate_closed()).map(|touched| {
            let seal = touched.seal();
            (touched, seal)
        }))
    }

    /// Returns true if that is on the topic, or need not be. Waits for that until a time, if one is given.
    pub fn is_reached(&self, until: Option<Instant>) -> bool {
        self.0.as_ref().is_none_or(|(touched, seal)| touched.wait_to_pass(*seal, until))
    }
}

/// The notes of the writer's thread for a publisher.
pub(super) struct PublishingNotes {
    directory: PathBuf,
    is_recovering: bool,
    /// True once no note is left that the generation is published up to its checkpoint.
    is_note_gone: bool,
}

impl PublishingNotes {
    pub(super) fn new(directory: &Path) -> PublishingNotes {
        PublishingNotes { directory: directory.to_owned(), is_recovering: true, is_note_gone: false }
    }

    /// Takes note that whatever was written before the opening has been written again.
    pub(super) fn end_recovery(&mut self) {
        self.is_recovering = false;
    }

    /// Returns a list for the numbers of the views that a commit changes, if somebody publishes them.
    pub(super) fn changed_numbers(&self, progress: &WriterProgress) -> Option<Vec<u32>> {
        progress.touched.load().is_some().then(Vec::new)
    }

    /// Notes what a commit has written, which readers see by now. Whoever begins to publish meanwhile either is found here or has not
    /// read anything yet.
    pub(super) fn note(
        &self,
        progress: &WriterProgress,
        changed: Option<Vec<u32>>,
        numbered: &[(u32, Arc<Optimization>)],
    ) {
        fence(Ordering::SeqCst);
        let Some(touched) = &*progress.touched.load() else { return };
        match changed {
            Some(changed) if !self.is_recovering => touched.note(changed),
            _ => touched.note(numbered.iter().map(|(number, _)| *number)),
        }
    }

    /// Returns what a checkpoint has to wait for that covers all that was written so far. Without a publisher the topic falls behind it,
    /// so that the note that says otherwise is removed first.
    pub(super) fn seal(&mut self, progress: &WriterProgress) -> Result<PublishedUpTo, StoreError> {
        match progress.touched.load_full() {
            Some(touched) => {
                self.is_note_gone = false;
                Ok(PublishedUpTo::of(Some(touched)))
            }
            None => {
                self.forget_note()?;
                Ok(PublishedUpTo::default())
            }
        }
    }

    /// Takes note that letters are about to be removed, which nothing brings back that is read again.
    pub(super) fn note_letters(
        &mut self,
        command: &LetterCommand,
        progress: &WriterProgress,
    ) -> Result<(), StoreError> {
        match command {
            LetterCommand::Remove(..) if progress.touched.load().is_none() => self.forget_note(),
            _ => Ok(()),
        }
    }

    fn forget_note(&mut self) -> Result<(), StoreError> {
        if !self.is_note_gone {
            PublishedNote::forget(&self.directory)?;
            self.is_note_gone = true;
        }
        Ok(())
    }
}
