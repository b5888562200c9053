//! A dead letter is a record that could not be decoded. It is kept whole unless it is very large.

use serde::{Deserialize, Serialize};

use super::position::PartitionOffset;

/// Maximum number of bytes that are kept of a record's value: 1 MiB.
pub const VALUE_LIMIT: usize = 1 << 20;

/// Maximum number of bytes that are kept of a record's key, and of its headers together: 64 KiB each.
pub const KEY_LIMIT: usize = 64 << 10;
/// Maximum number of bytes that are kept of a record's headers, names and values together: 64 KiB.
pub const HEADERS_LIMIT: usize = 64 << 10;

/// A record that could not be decoded, as the store keeps it, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The position of the record, which is also the dead letter's key in the store.
    pub position: PartitionOffset,
    /// The record's timestamp in milliseconds since 1970; `None` if it has none.
    pub timestamp_millis: Option<i64>,
    /// The first [`KEY_LIMIT`] bytes of the key; `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// Names and values of the headers in the record's order, up to [`HEADERS_LIMIT`] bytes together.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The first [`VALUE_LIMIT`] bytes of the value; `None` for a null value.
    pub value: Option<Vec<u8>>,
    /// The whole value's length in bytes.
    pub value_len: u64,
    /// The field that could not be decoded, and the reason.
    pub reason: String,
}

impl DeadLetter {
    /// Approximate size in memory in bytes.
    pub fn size(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + len(value));
        size_of::<DeadLetter>() + len(&self.key) + len(&self.value) + headers.sum::<usize>() + self.reason.len()
    }
}
