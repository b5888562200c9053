//! The guard of the cluster: topics are read only from the cluster that the store was built from. Those of another may have the
//! same names, and then the offsets mean other records, which no other check is sure to find.

use crate::source::{Source, StopCode, StopReason, other_cluster};
use crate::store::{StoreError, Writer};

/// The cluster that the store was built from, compared with the cluster that the source reads.
pub struct ClusterGuard {
    /// Id of the cluster that the store was built from; `None` while no cluster has given one.
    built_from: Option<String>,
    is_logged: bool,
    /// The reason for which nothing is read, for good.
    refusal: Option<StopReason>,
}

impl ClusterGuard {
    pub fn new(built_from: Option<String>) -> ClusterGuard {
        ClusterGuard { built_from, is_logged: false, refusal: None }
    }

    /// The id of the cluster that the store was built from, if known.
    pub fn id(&self) -> Option<&str> {
        self.built_from.as_deref()
    }

    /// The reason for which nothing is read; `None` if no other cluster was ever seen.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_ref().map(|reason| reason.text.as_str())
    }

    /// Returns the reason for which nothing may be read of the source's cluster; `None` if it may be. A store that knows no
    /// cluster yet adopts this one.
    pub fn refuse(&mut self, source: &dyn Source, writer: &Writer) -> Result<Option<StopReason>, StoreError> {
        let Some(found) = source.cluster_id() else { return Ok(None) };
        match &self.built_from {
            Some(built_from) if *built_from == found => {
                if !std::mem::replace(&mut self.is_logged, true) {
                    tracing::info!(cluster = found, "the topics are of the cluster that the views are built from");
                }
                Ok(None)
            }
            Some(built_from) => {
                let reason = StopReason::new(StopCode::OtherCluster, other_cluster(built_from, &found));
                if self.refusal.is_none() {
                    tracing::error!("nothing is read: {reason}");
                    self.refusal = Some(reason.clone());
                }
                Ok(Some(reason))
            }
            None => {
                tracing::info!(cluster = found, "the views are built from this cluster's topics");
                writer.note_cluster(&found)?;
                self.is_logged = true;
                self.built_from = Some(found);
                Ok(None)
            }
        }
    }
}
