//! A generation that is shown as it was left. Another version has folded it: what readers get of it is read as of any other,
//! but nobody can fold on, since its registers are written otherwise, or mean something else. Or somebody asked for that.

use std::path::PathBuf;

use super::{Reader, StoreError};
use crate::codec::stored_record::FORMAT;

/// What is known of it.
pub struct FrozenGeneration {
    pub path: PathBuf,
    /// Of its fold.
    pub format: u8,
}

impl Reader {
    /// The format of the fold that gave the views, where it is frozen.
    pub fn frozen_format(&self) -> Option<u8> {
        self.frozen.as_ref().map(|frozen| frozen.format)
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// How many records are kept that could not be understood, where no writer counts them.
    ///
    /// # Errors
    /// As for [`Reader::get`], none of which is noted.
    pub fn count_dead_letters(&self) -> Result<u64, StoreError> {
        Ok(self.trees.count_dead_letters()?)
    }

    /// The first thing that failed while it was read. Where there is a writer, that says it too.
    pub fn check(&self) -> Result<(), StoreError> {
        self.progress.failure.check()
    }

    /// # Errors
    /// Where its records cannot be decoded.
    pub fn check_format(&self) -> Result<(), StoreError> {
        match &self.frozen {
            None => Ok(()),
            Some(frozen) if frozen.format == FORMAT => Ok(()),
            Some(frozen) => Err(StoreError::OtherFormat { path: frozen.path.clone(), found: frozen.format }),
        }
    }
}
