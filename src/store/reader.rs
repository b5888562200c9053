//! Reads the store. Cheap to clone; cannot write; never waits for the writer.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::catalog::Catalog;
use super::failure::Failure;
use super::keys::Trees;
use super::{StoreError, pieces};
use crate::codec::stored;
use crate::domain::Status;

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

/// One page, newest `created_at` first, then by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `{"optimizations": [...], "total": n}`, the objectives filled in.
    pub body: Bytes,
    /// How many the filters let through, on all pages.
    pub total: u64,
}

#[derive(Clone)]
pub struct Reader {
    trees: Trees,
    catalog: Arc<RwLock<Catalog>>,
    failure: Failure,
}

impl Reader {
    pub(super) fn new(trees: Trees, catalog: Arc<RwLock<Catalog>>, failure: Failure) -> Reader {
        Reader { trees, catalog, failure }
    }

    /// What a reader of this organization (`None`: of any) may see under this id.
    ///
    /// # Errors
    /// Any error ends the projector too, and with it the process: memory may be ahead of the disk.
    pub fn get(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        self.failure.noting(self.find(id, organization_id))
    }

    fn find(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        let Some(number) = self.catalog.read().number(id) else { return Ok(None) };
        let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())? else {
            return Ok(None);
        };
        let layout = stored::layout(&stored)?;
        let theirs =
            organization_id.is_none_or(|wanted| stored[layout.organization_id.clone()] == *wanted.as_bytes());
        if !layout.shown || !theirs {
            return Ok(None);
        }
        let body = Bytes::from_owner(stored).slice(layout.response);
        Ok(Some(Response { body, etag: layout.etag }))
    }

    /// One page of a list.
    ///
    /// # Errors
    /// As for [`Reader::get`].
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        self.failure.noting(self.page(query))
    }

    fn page(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        let (numbers, total) = self.catalog.read().page(query);
        let mut body = Vec::with_capacity(64 + numbers.len() * 1280);
        body.extend_from_slice(br#"{"optimizations":["#);
        let empty = body.len();
        for number in numbers {
            let key = number.to_be_bytes();
            let Some(stored) = pieces::get(&self.trees, &self.trees.optimizations, &key)? else {
                continue;
            };
            let layout = stored::layout(&stored)?;
            // The record may have changed since the catalog was asked.
            if !layout.shown {
                continue;
            }
            if body.len() > empty {
                body.push(b',');
            }
            body.extend_from_slice(&stored[layout.response.start..layout.objectives_null.start]);
            body.extend_from_slice(layout.objectives.map_or(b"null", |objectives| &stored[objectives]));
            body.extend_from_slice(&stored[layout.objectives_null.end..layout.response.end]);
        }
        body.extend_from_slice(format!(r#"],"total":{total}}}"#).as_bytes());
        Ok(Page { body: body.into(), total })
    }
}
