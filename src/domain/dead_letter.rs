//! A record that could not be understood, kept whole unless it is very large.

use serde::{Deserialize, Serialize};

use super::position::Position;

/// How much of a record's value is kept: 1 MiB.
pub const VALUE_LIMIT: usize = 1 << 20;

/// How much of its key is kept, and of its headers together: 64 KiB each.
pub const KEY_LIMIT: usize = 64 << 10;
pub const HEADERS_LIMIT: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub position: Position,
    /// Milliseconds since 1970, as Kafka has it; `None` where the record has none.
    pub timestamp_millis: Option<i64>,
    /// The first [`KEY_LIMIT`] bytes; `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// Name and value, in the record's order, as long as they have [`HEADERS_LIMIT`] bytes at the most.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The first [`VALUE_LIMIT`] bytes; `None` for a null value.
    pub value: Option<Vec<u8>>,
    /// The value's whole length in bytes.
    pub value_len: u64,
    /// Which field could not be understood, and why.
    pub reason: String,
}

impl DeadLetter {
    /// How many bytes it has in memory, about.
    pub fn size(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + len(value));
        size_of::<DeadLetter>() + len(&self.key) + len(&self.value) + headers.sum::<usize>() + self.reason.len()
    }
}
