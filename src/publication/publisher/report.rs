//! The facts that a publisher reports of itself.

use std::sync::Arc;

use super::Publisher;
use crate::publication::progress::GenerationProgress;
use crate::publication::records::Mark;
use crate::publication::stage::Stage;

impl<T> Publisher<T> {
    /// Returns what the publisher is at.
    pub fn stage(&self) -> Stage {
        match &self.progress {
            _ if self.identity.is_none() => Stage::Starting,
            None | Some(GenerationProgress { has_reached: false, .. }) => Stage::Waiting,
            Some(GenerationProgress { is_noted: false, .. }) => Stage::Reconciling,
            Some(_) => Stage::Publishing,
        }
    }

    /// The number of views that a comparison has found and that are not published yet.
    pub fn left(&self) -> u64 {
        self.progress.as_ref().map_or(0, GenerationProgress::left)
    }

    /// The position that the views have to come to before any of them is published; `None` if they have, or it is not known yet.
    pub fn awaited_position(&self) -> Option<String> {
        let progress = self.progress.as_ref().filter(|progress| !progress.has_reached)?;
        progress.target.as_ref().map(|target| target.text().to_owned())
    }

    /// The greatest version that was given.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The number of records that were published, without marks.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The last mark that was written.
    pub fn marked(&self) -> Option<&Mark> {
        self.marked.as_deref()
    }

    /// The last mark that was written, for who keeps it.
    pub(in crate::publication) fn last_mark(&self) -> Option<Arc<Mark>> {
        self.marked.clone()
    }
}
