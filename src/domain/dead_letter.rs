//! A record that could not be understood, kept whole.

use serde::{Deserialize, Serialize};

use super::position::Position;

/// How much of a record's value is kept: 1 MiB.
pub const VALUE_LIMIT: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub position: Position,
    /// Milliseconds since 1970, as Kafka has it; `None` where the record has none.
    pub timestamp_millis: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// Name and value, in the record's order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The first [`VALUE_LIMIT`] bytes; `None` for a null value.
    pub value: Option<Vec<u8>>,
    /// The value's whole length in bytes.
    pub value_len: u64,
    /// Which field could not be understood, and why.
    pub reason: String,
}
