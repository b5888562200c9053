//! Reads the store. Cheap to clone; cannot write; never waits for the writer.

mod page;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use sled::IVec;

use super::catalog::{Catalog, Ids};
use super::checkpoint::{self, Checkpoint};
use super::done::Done;
use super::frozen_reader::FrozenGeneration;
use super::keys::{CLUSTER, ORIGINS, TOPICS, Trees, WAS_LIVE, dead_letter_key};
use super::{StoreError, pieces};
use crate::codec::stored::{self, Filter};
use crate::domain::{Job, Optimization, Position, Status, Topic};
pub use page::PageReader;

/// How many more than a page holds are looked up, to take the place of those that changed meanwhile. Where more have, the
/// page is shorter.
const SPARE: usize = 32;

/// Smaller records are not worth a copy of their response.
const WORTH_COPYING: usize = 16 << 10;

/// An optimization's response, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// JSON of the 19 fields.
    pub body: Bytes,
    /// Changes with the body and with nothing else.
    pub etag: u64,
}

/// Which optimizations, and which page of them. `None` filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery<'a> {
    pub organization_id: Option<&'a str>,
    pub project_id: Option<&'a str>,
    pub status: Option<Status>,
    pub kind: Option<&'a str>,
    pub limit: usize,
    pub offset: usize,
}

impl ListQuery<'_> {
    fn filter(&self) -> Filter {
        Filter::new(self.organization_id, self.project_id, self.status, self.kind)
    }
}

/// One page, newest `created_at` first, then by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `{"optimizations": [...], "total": n}`, the objectives filled in.
    pub body: Bytes,
    /// How many the filters let through, on all pages.
    pub total: u64,
}

/// All that is stored of one optimization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub optimization: Optimization,
    /// What a reader gets; `None` where readers must not see it.
    pub response: Option<Response>,
}

#[derive(Clone)]
pub struct Reader {
    pub(super) trees: Trees,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    /// The catalog's, to be looked up without its lock.
    pub(super) ids: Arc<Ids>,
    pub(super) done: Arc<Done>,
    /// Why nothing can be decoded that readers do not get, where it is of another format.
    pub(super) frozen: Option<Arc<FrozenGeneration>>,
}

impl Reader {
    pub(super) fn new(trees: Trees, catalog: Arc<RwLock<Catalog>>, done: Arc<Done>) -> Reader {
        let ids = catalog.read().ids();
        Reader { trees, catalog, ids, done, frozen: None }
    }

    /// What a reader of this organization (`None`: of any) may see under this id.
    ///
    /// # Errors
    /// Any error ends the projector too, and with it the process: memory may be ahead of the disk.
    pub fn get(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        self.done.failure.noting(self.find(id, organization_id))
    }

    fn find(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())? else {
            return Ok(None);
        };
        let layout = stored::layout(&stored)?;
        let theirs =
            organization_id.is_none_or(|wanted| stored[layout.organization_id.clone()] == *wanted.as_bytes());
        if !layout.shown || !theirs {
            return Ok(None);
        }
        Ok(Some(Response { body: response_of(stored, layout.response), etag: layout.etag }))
    }

    /// What is stored of an optimization, readers may see it or not. For tools: it decodes, which reads never do.
    ///
    /// # Errors
    /// [`StoreError::OtherFormat`] where it is frozen. None of them ends the projector: it finds by itself what is wrong
    /// with what it needs.
    pub fn kept(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        self.check_format()?;
        let Some(number) = self.ids.get(id) else { return Ok(None) };
        let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())? else {
            return Ok(None);
        };
        let layout = stored::layout(&stored)?;
        let optimization = stored::decode_optimization(&stored)?;
        let body = layout.shown.then(|| response_of(stored, layout.response));
        Ok(Some(Kept { optimization, response: body.map(|body| Response { body, etag: layout.etag }) }))
    }

    /// The state that is parked under a job's id.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn parked_job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.check_format()?;
        let stored = pieces::get(&self.trees, &self.trees.jobs, id.as_bytes())?;
        Ok(stored.map(|stored| stored::decode_job(&stored)).transpose()?)
    }

    /// The optimizations that link a job, now or before; and, very rarely, others.
    pub fn linking(&self, job_id: &str) -> Vec<Arc<str>> {
        self.catalog.read().linking(job_id)
    }

    /// The last checkpoint written.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        checkpoint::read(&self.trees)
    }

    /// From which offset each partition, by its topic's name, was read first.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn origins(&self) -> Result<BTreeMap<(String, i32), i64>, StoreError> {
        match self.trees.meta.get(ORIGINS)? {
            Some(bytes) => Ok(stored::decode(&bytes, "origins")?),
            None => Ok(BTreeMap::new()),
        }
    }

    /// What the topics that it is built from are called, in the order of `Topic::ALL`. `None`: nothing was read yet, or a
    /// version did that did not note it.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn topics(&self) -> Result<Option<[String; 3]>, StoreError> {
        match self.trees.meta.get(TOPICS)? {
            Some(bytes) => Ok(Some(stored::decode(&bytes, "topics' names")?)),
            None => Ok(None),
        }
    }

    /// The id of the cluster that it is built from. `None`: nothing was read yet, or a version did that did not note it.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn cluster(&self) -> Result<Option<String>, StoreError> {
        Ok(self.trees.meta.get(CLUSTER)?.map(|bytes| stored::decode(&bytes, "cluster's id")).transpose()?)
    }

    /// How many dead letters there are of these offsets of a partition.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn dead_letters_among(
        &self,
        topic: Topic,
        partition: i32,
        offsets: Range<i64>,
    ) -> Result<u64, StoreError> {
        let key = |offset| dead_letter_key(Position { topic, partition, offset });
        let keys = self.trees.dead_letters.range(key(offsets.start)..key(offsets.end)).keys();
        Ok(keys.collect::<Result<Vec<_>, _>>()?.len() as u64)
    }

    /// Whether the generation has been live once: all that the topics held then is in it. Versions before fold format 3 did
    /// not note it.
    ///
    /// # Errors
    /// As for [`Reader::kept`].
    pub fn was_live(&self) -> Result<bool, StoreError> {
        Ok(self.trees.meta.contains_key(WAS_LIVE)?)
    }

    /// How many optimizations readers may see.
    pub fn views(&self) -> u64 {
        self.catalog.read().listed()
    }

    /// One page of a list, whole.
    ///
    /// # Errors
    /// As for [`Reader::get`].
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        let mut page = self.page(query);
        let body = page.next_piece(usize::MAX)?;
        Ok(Page { body: body.into(), total: page.total() })
    }

    /// One page of a list, to be read piece by piece.
    pub fn page(&self, query: &ListQuery<'_>) -> PageReader {
        PageReader::new(self, query)
    }
}

/// The response within a stored record. It keeps the whole record in memory, unless the rest of it is the larger part.
fn response_of(stored: IVec, response: Range<usize>) -> Bytes {
    if stored.len() > WORTH_COPYING && response.len() < stored.len() / 2 {
        return Bytes::copy_from_slice(&stored[response]);
    }
    Bytes::from_owner(stored).slice(response)
}

#[cfg(test)]
mod tests;
