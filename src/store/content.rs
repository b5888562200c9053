//! The content of a generation: what its records keep beside what readers get, and the number of its fold format.

use std::path::Path;

use super::StoreError;
use crate::codec::stored_record::{FORMAT, VIEWS_FORMAT};

/// The content of a generation, as its records have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreContent {
    /// The views, with the registers that the events of the topics are folded into.
    Events,
    /// The views alone, as a topic of views has them.
    Views,
}

impl StoreContent {
    /// Returns the fold format of such a generation of this version.
    pub fn format(self) -> u8 {
        match self {
            StoreContent::Events => FORMAT,
            StoreContent::Views => VIEWS_FORMAT,
        }
    }

    /// Returns the reason for which a generation of this format cannot be opened as one of this content.
    pub fn refusal(self, path: &Path, format: u8) -> Option<StoreError> {
        match (self, format) {
            (StoreContent::Events, FORMAT) | (StoreContent::Views, VIEWS_FORMAT) => None,
            (StoreContent::Events, found) => Some(StoreError::of_format(path, found)),
            (StoreContent::Views, _) => Some(StoreError::MadeOfEvents { path: path.to_owned() }),
        }
    }
}
