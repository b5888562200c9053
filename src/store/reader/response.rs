//! The response of a read by id: a part of the stored record, which is not copied.

use bytes::Bytes;
use sled::IVec;

use crate::codec::stored_record::Layout;

/// Size from which a copy of the response may be worth its time.
const WORTH_COPYING: usize = 16 << 10;

/// An optimization's response, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The JSON object of the 19 fields.
    pub body: Bytes,
    /// A hash that changes with the body and with nothing else.
    pub etag: u64,
}

impl Response {
    /// Returns the response within a stored record. It keeps the whole record in memory, unless the rest is the larger part.
    pub fn of(stored: &IVec, layout: &Layout) -> Response {
        let part = layout.response.clone();
        let body = if stored.len() > WORTH_COPYING && part.len() < stored.len() / 2 {
            Bytes::copy_from_slice(&stored[part])
        } else {
            Bytes::from_owner(stored.clone()).slice(part)
        };
        Response { body, etag: layout.etag }
    }
}
