//! Reads the store. Cheap to clone; cannot write.

use bytes::Bytes;

use crate::domain::Status;
use crate::store::StoreError;

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
pub struct Reader {}

impl Reader {
    /// What a reader of this organization (`None`: of any) may see under this id.
    pub fn get(&self, id: &str, organization_id: Option<&str>) -> Result<Option<Response>, StoreError> {
        let _ = (id, organization_id);
        Ok(None)
    }

    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page, StoreError> {
        let _ = query;
        Ok(Page::default())
    }
}
