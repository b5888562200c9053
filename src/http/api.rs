//! The state that the resources of the read address share.

use super::access::Access;
use super::errors::HttpError;
use super::health::Readiness;
use super::list_body::ListMemory;
use super::wait_places::Waits;
use crate::live_views::{CurrentReader, ReaderSource};
use crate::status::Status;

/// The state that the resources of the read address share.
pub struct Api {
    pub reader: ReaderSource,
    pub status: Status,
    pub access: Access,
    pub readiness: Readiness,
    pub lists: ListMemory,
    pub waits: Waits,
}

impl Api {
    /// Returns the reader of the live generation.
    ///
    /// # Errors
    /// Fails until the store is open.
    pub fn reader(&self) -> Result<CurrentReader, HttpError> {
        open_reader(&self.reader)
    }
}

/// Returns the reader of the live generation for one request.
///
/// # Errors
/// Fails until the store is open.
pub fn open_reader(reader: &ReaderSource) -> Result<CurrentReader, HttpError> {
    reader.get().ok_or_else(|| HttpError::unavailable("the store is not open yet: try again shortly"))
}

impl AsRef<Status> for Api {
    fn as_ref(&self) -> &Status {
        &self.status
    }
}
