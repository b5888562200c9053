//! Whether the topics are those of the cluster that the store was built from. Those of another may be called the same, and
//! then offsets would mean other records, which no other check is sure to find.

use super::Projector;
use crate::source::{Source, other_cluster};
use crate::store::StoreError;

impl Projector {
    /// Whether anything may be read. Of a store that does not know its cluster yet, this is it.
    pub(super) fn is_of_our_cluster(&mut self, source: &dyn Source) -> Result<bool, StoreError> {
        let Some(found) = source.cluster_id() else { return Ok(true) };
        match &self.cluster {
            Some(built_from) if *built_from == found => {
                if !std::mem::replace(&mut self.cluster_is_told, true) {
                    tracing::info!(cluster = found, "the topics are of the cluster that the views are built from");
                }
                Ok(true)
            }
            Some(built_from) => {
                self.partitions.refuse(&other_cluster(built_from, &found));
                Ok(false)
            }
            None => {
                tracing::info!(cluster = found, "the views are built from this cluster's topics");
                self.writer.note_cluster(&found)?;
                self.cluster_is_told = true;
                self.cluster = Some(found);
                Ok(true)
            }
        }
    }
}
