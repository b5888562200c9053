//! The views of a topic of views that are written together.

use std::sync::Arc;

use crate::codec::replicated_view::ReplicatedView;

/// Approximate number of bytes that a view takes in memory beside its texts.
const RECORD_BYTES: u64 = 1_000;

/// The latest that a replica knows of an optimization.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicatedRecord {
    /// The id of the optimization.
    pub id: Arc<str>,
    /// The version that the topic gives the view.
    pub version: u64,
    /// The view; `None` if readers see none any more.
    pub view: Option<ReplicatedView>,
}

/// Views that are written together.
pub struct ReplicatedPart {
    pub views: Vec<ReplicatedRecord>,
    /// The number by which the replica knows that they are written.
    pub number: u64,
    /// Approximate number of bytes that they take in memory.
    pub bytes: u64,
}

impl ReplicatedPart {
    /// Makes the part with this number.
    pub fn new(views: Vec<ReplicatedRecord>, number: u64) -> ReplicatedPart {
        let shown: usize = views.iter().filter_map(|record| Some(record.view.as_ref()?.published_len())).sum();
        let bytes = RECORD_BYTES * views.len() as u64 + 2 * shown as u64;
        ReplicatedPart { views, number, bytes }
    }
}
