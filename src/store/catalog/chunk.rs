//! A chunk of the catalog on disk: some entries, with the version of the catalog's chunks before them.

use super::Entry;
use crate::codec::stored_record::{self, CorruptValue};
use crate::store::StoreError;
use crate::store::keys::VALUE_LIMIT;

/// The version of the catalog's chunks. It changes whenever [`Entry`] does, and with nothing else: the layout of the records and
/// the format of the fold have numbers of their own. A catalog of another version is built again from the records.
pub const VERSION: u8 = 2;

/// Encodes as many of the entries as fit into one value, at least one. Returns the chunk and their number.
pub fn encode(entries: &[Entry<'_>]) -> Result<(Vec<u8>, usize), StoreError> {
    // Ids and names are bounded, so that an entry is far smaller than a value may be, but for a very long kind.
    let mut count = entries.len().min(VALUE_LIMIT / 48);
    loop {
        let chunk = stored_record::encode_versioned(VERSION, &&entries[..count], "catalog chunk")?;
        if chunk.len() <= VALUE_LIMIT || count == 1 {
            return Ok((chunk, count));
        }
        count = (count * VALUE_LIMIT / (chunk.len() + 256)).clamp(1, count - 1);
    }
}

/// Decodes the entries of a chunk, the newest last. Returns `None` if the chunk is of another version.
///
/// # Errors
/// [`CorruptValue`] if the bytes are no entries.
pub fn decode(chunk: &[u8]) -> Result<Option<Vec<Entry<'_>>>, CorruptValue> {
    match chunk.first() {
        Some(&version) if version != VERSION => Ok(None),
        _ => stored_record::decode_versioned(VERSION, chunk, "catalog chunk").map(Some),
    }
}

/// Returns the number of a chunk from its key.
pub fn number(key: &[u8]) -> Result<u64, CorruptValue> {
    let key = key
        .try_into()
        .map_err(|_| CorruptValue { what: "catalog chunk", reason: "its number is not eight bytes".to_owned() })?;
    Ok(u64::from_be_bytes(key))
}
