//! The reader of the store. It is cheap to clone, cannot write, and never waits for the writer.

mod numbered_views;
mod page;
mod recent_views;
mod response;
mod view_forms;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;
use parking_lot::RwLock;

use super::catalog::{Catalog, Ids, NameOrders, StatusCount};
use super::checkpoint::{self, Checkpoint};
use super::keys::{CLUSTER, ORIGINS, REPLICA, TOPICS, Trees, WAS_LIVE, dead_letter_key};
use super::list_query::Cursor;
use super::progress::WriterProgress;
use super::{StoreError, ViewChanges, pieces};
use crate::codec::stored_record;
use crate::domain::{Job, NamedPartition, Optimization, PartitionOffset, ReadPosition, Topic};
pub use numbered_views::{NumberedView, ShownView};
pub use page::PageReader;
use recent_views::RecentViews;
pub use response::Response;

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The JSON `{"optimizations": [...], "total": n}`, the objectives filled in.
    pub body: Bytes,
    /// Number of optimizations on all pages together.
    pub total: u64,
    /// The position after which the next page begins, if there is one and the list is read by cursors.
    pub next: Option<Cursor>,
}

/// The stored record of one optimization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The decoded registers.
    pub optimization: Optimization,
    /// The response of a read by id; `None` if readers must not see the optimization.
    pub response: Option<Response>,
}

/// A generation in which nobody can fold on: it is frozen, or made of a topic of views.
pub struct FrozenGeneration {
    pub path: PathBuf,
    /// The fold format; [`VIEWS_FORMAT`](stored_record::VIEWS_FORMAT) if it is made of a topic of views.
    pub format: u8,
}

/// A reader of one generation.
#[derive(Clone)]
pub struct Reader {
    pub(super) trees: Trees,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    /// The catalog's ids, which are looked up without its lock.
    pub(super) ids: Arc<Ids>,
    pub(super) name_orders: Arc<NameOrders>,
    pub(super) recent: Arc<RecentViews>,
    pub(super) progress: Arc<WriterProgress>,
    /// Set if nobody can fold on in the generation.
    pub(super) frozen: Option<Arc<FrozenGeneration>>,
}

impl Reader {
    pub(super) fn new(trees: Trees, catalog: Arc<RwLock<Catalog>>, progress: Arc<WriterProgress>) -> Reader {
        let ids = catalog.read().ids();
        Reader { trees, catalog, ids, name_orders: Arc::default(), recent: Arc::default(), progress, frozen: None }
    }

    /// Returns the response that a reader of an organization (`None`: of any) may see under an id.
    ///
    /// # Errors
    /// The store's. Any of them ends the projector too, and with it the process: memory may be ahead of the disk.
    pub fn get(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        self.progress.failure.note_error(self.find(id, organization_id))
    }

    fn find(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        let parts = self.progress.parts_written();
        if let Some(parts) = parts
            && let Some(found) = self.recent.get(id, organization_id, parts)?
        {
            return Ok(found);
        }
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        // A large record is not put together for another organization, so that the time tells nothing of it.
        let is_shown = |record: &[u8]| stored_record::is_shown_to(record, organization_id);
        let found = pieces::get_if(&self.trees, &self.trees.optimizations, &number.to_be_bytes(), is_shown)?;
        let Some(stored) = found else { return Ok(None) };
        if !is_shown(&stored)? {
            return Ok(None);
        }
        let layout = stored_record::layout(&stored)?;
        let response = Response::of(&stored, &layout);
        if let Some(parts) = parts {
            // If a part has begun since, and this read has seen some of it, nobody takes it: the count is another by then.
            self.recent.note(id, parts, &stored, &response);
        }
        Ok(Some(response))
    }

    /// Has the writer wake these watchers from now on, when what readers see has changed.
    pub fn wake(&self, watchers: &ViewChanges) {
        self.progress.watchers.store(Some(Arc::new(watchers.clone())));
    }

    /// Returns the position that every view has come to. Views that are read after the call are no older.
    pub fn visible_position(&self) -> Guard<Arc<ReadPosition>> {
        self.progress.visible.load()
    }

    /// Returns a position that no view is beyond that was read before the call.
    pub fn position_bound(&self) -> Arc<ReadPosition> {
        self.progress.bound.load_full()
    }

    /// Returns true if the record at this place could not be understood.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn is_dead_letter(&self, position: PartitionOffset) -> Result<bool, StoreError> {
        Ok(self.trees.dead_letters.contains_key(dead_letter_key(position))?)
    }

    /// Returns the record of an optimization, readers may see it or not. It is for tools: it decodes, which reads never do.
    ///
    /// # Errors
    /// [`StoreError::OtherFormat`] if the generation has another fold format. No error here ends the projector, which finds by
    /// itself what is wrong with the records that it needs.
    pub fn stored_record(&self, id: &str) -> Result<Option<StoredRecord>, StoreError> {
        self.check_format()?;
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())? else {
            return Ok(None);
        };
        let layout = stored_record::layout(&stored)?;
        let optimization = stored_record::decode_optimization(&stored)?;
        Ok(Some(StoredRecord { optimization, response: layout.shown.then(|| Response::of(&stored, &layout)) }))
    }

    /// Returns the state that is parked under a job's id.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn parked_job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.check_format()?;
        let stored = pieces::get(&self.trees, &self.trees.jobs, id.as_bytes())?;
        Ok(stored.map(|stored| stored_record::decode_job(&stored)).transpose()?)
    }

    /// Returns the ids of the optimizations that link a job, now or before; and, very rarely, others.
    pub fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        self.catalog.read().linking(job_id)
    }

    /// Returns the last checkpoint written.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        checkpoint::read(&self.trees)
    }

    /// Returns the offset from which each partition, by its topic's name, was read first.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn origins(&self) -> Result<BTreeMap<NamedPartition, i64>, StoreError> {
        match self.trees.meta.get(ORIGINS)? {
            Some(bytes) => Ok(stored_record::decode(&bytes, "origins")?),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Returns the names of the topics that the generation is built from, in the order of `Topic::ALL`. `None` if nothing was
    /// read yet, or a version read it that noted no names.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn topics(&self) -> Result<Option<[String; 3]>, StoreError> {
        match self.trees.meta.get(TOPICS)? {
            Some(bytes) => Ok(Some(stored_record::decode(&bytes, "topics' names")?)),
            None => Ok(None),
        }
    }

    /// Returns the id of the cluster that the generation is built from. `None` if nothing was read yet, or a version read it that
    /// noted no id.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn cluster(&self) -> Result<Option<String>, StoreError> {
        Ok(self.trees.meta.get(CLUSTER)?.map(|bytes| stored_record::decode(&bytes, "cluster's id")).transpose()?)
    }

    /// Returns the note that the replica has left of how far it is, as it wrote it; `None` if it has written none.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn replica_note(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(pieces::get(&self.trees, &self.trees.meta, REPLICA)?.map(|note| note.to_vec()))
    }

    /// Returns the number of dead letters in a range of offsets of a partition.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn dead_letters_among(
        &self,
        topic: Topic,
        partition: i32,
        offsets: Range<i64>,
    ) -> Result<u64, StoreError> {
        let key = |offset| dead_letter_key(PartitionOffset { topic, partition, offset });
        let keys = self.trees.dead_letters.range(key(offsets.start)..key(offsets.end)).keys();
        Ok(keys.collect::<Result<Vec<_>, _>>()?.len() as u64)
    }

    /// Returns true if the generation has been live once: everything that the topics held then is in it. Versions before fold
    /// format 3 did not note it.
    ///
    /// # Errors
    /// The errors of [`Reader::stored_record`].
    pub fn was_live(&self) -> Result<bool, StoreError> {
        Ok(self.trees.meta.contains_key(WAS_LIVE)?)
    }

    /// Returns the numbers of a list's optimizations by status and kind, those of one kind together. `None` stands for any
    /// organization or project.
    pub fn counts(&self, organization_id: Option<&str>, project_id: Option<&str>) -> Vec<StatusCount> {
        self.catalog.read().counts(organization_id, project_id)
    }

    /// Returns the number of optimizations that readers may see.
    pub fn views(&self) -> u64 {
        self.catalog.read().listed()
    }
}

#[cfg(test)]
mod tests;
