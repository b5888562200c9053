//! A generation that is shown as it was left. Another version has folded it: what readers get of it is read as of any other,
//! but nobody can fold on, since its registers are written otherwise, or mean something else. Or somebody asked for that. Nobody can fold
//! on in a generation either that is made of a topic of views: it has no registers.

use super::{Reader, StoreError};
use crate::codec::stored_record::{FORMAT, VIEWS_FORMAT};

impl Reader {
    /// Returns the fold format of the views, if the generation is frozen.
    pub fn frozen_format(&self) -> Option<u8> {
        self.frozen.as_ref().map(|frozen| frozen.format)
    }

    /// Returns true if the generation is shown as it was left, because of its format or of a request.
    pub fn is_frozen(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.format != VIEWS_FORMAT)
    }

    /// Returns true if the generation is made of a topic of views: it has no registers.
    pub fn is_made_of_views(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| frozen.format == VIEWS_FORMAT)
    }

    /// Counts the dead letters, for a generation whose writer does not.
    ///
    /// # Errors
    /// The errors of [`Reader::get`]. None of them is noted.
    pub fn count_dead_letters(&self) -> Result<u64, StoreError> {
        Ok(self.trees.count_dead_letters()?)
    }

    /// Returns the first failure of a read as an error. If there is a writer, its check returns the same.
    pub fn check(&self) -> Result<(), StoreError> {
        self.progress.failure.check()
    }

    /// # Errors
    /// [`StoreError::MadeOfViews`] if the generation has nothing of the events that its views are made of.
    pub fn check_events(&self) -> Result<(), StoreError> {
        if self.is_made_of_views() { self.check_format() } else { Ok(()) }
    }

    /// # Errors
    /// Fails if the records have a format that this version cannot decode.
    pub fn check_format(&self) -> Result<(), StoreError> {
        match &self.frozen {
            None => Ok(()),
            Some(frozen) if frozen.format == FORMAT => Ok(()),
            Some(frozen) => Err(StoreError::of_format(&frozen.path, frozen.format)),
        }
    }
}
