//! The encoder of optimizations, which works while others are inserted.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::{Catalog, StoreError, Trees, pieces};
use crate::codec::stored_record;
use crate::domain::Optimization;

/// Number of optimizations from which a thread of its own encodes them.
const WORTH_A_THREAD: usize = 512;

/// Number of optimizations that are encoded before they are handed on.
const ENCODED_AT_ONCE: usize = 64;

/// Inserts an encoded record, which is given with its key, and adds its length to a number of bytes.
type PutEncoded<'a> = dyn FnMut(u64, ([u8; 4], Vec<u8>)) -> Result<u64, StoreError> + 'a;

/// Encodes and inserts optimizations. Encoding takes as long as inserting, so that another thread does it if there are many.
/// Returns the number of bytes inserted. `changed` is given the numbers of those whose views are not what they were.
pub(super) fn put_optimizations(
    trees: &Trees,
    numbered: &[(u32, Arc<Optimization>)],
    changed: &mut Option<Vec<u32>>,
) -> Result<u64, StoreError> {
    let encode = |(number, optimization): &(u32, Arc<Optimization>)| {
        let mut value = Vec::with_capacity(2048);
        stored_record::encode_optimization(optimization, &mut value).map(|()| (number.to_be_bytes(), value))
    };
    let mut put = |bytes: u64, (number, value): ([u8; 4], Vec<u8>)| {
        let old = pieces::put(trees, &trees.optimizations, &number, &value)?;
        if let Some(changed) = changed
            && old.is_none_or(|old| !stored_record::shows_the_same(&old, &value))
        {
            changed.push(u32::from_be_bytes(number));
        }
        Ok(bytes + value.len() as u64)
    };
    let put_here = |put: &mut PutEncoded<'_>| {
        numbered.iter().try_fold(0, |bytes, optimization| put(bytes, encode(optimization)?))
    };
    if numbered.len() < WORTH_A_THREAD {
        return put_here(&mut put);
    }
    std::thread::scope(|scope| {
        let (give, encoded) = sync_channel(4);
        let thread = std::thread::Builder::new().spawn_scoped(scope, move || {
            let chunks = numbered.chunks(ENCODED_AT_ONCE);
            let mut encoded = chunks.map(|chunk| chunk.iter().map(encode).collect::<Result<Vec<_>, _>>());
            // The receiver is gone if inserting has failed.
            encoded.try_for_each(|encoded| give.send(encoded))
        });
        if thread.is_err() {
            // A process that may start no more threads encodes here, which only takes longer.
            return put_here(&mut put);
        }
        encoded.into_iter().try_fold(0, |bytes, encoded| encoded?.into_iter().try_fold(bytes, &mut put))
    })
}

/// Returns the optimizations with their numbers, sorted by number. New ones get the next numbers.
pub(super) fn numbered(catalog: &Catalog, optimizations: Vec<Arc<Optimization>>) -> Vec<(u32, Arc<Optimization>)> {
    let mut next = catalog.next_number();
    let number = |optimization: Arc<Optimization>| {
        let number = catalog.number(&optimization.id).unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        (number, optimization)
    };
    let mut numbered: Vec<_> = optimizations.into_iter().map(number).collect();
    numbered.sort_unstable_by_key(|(number, _)| *number);
    numbered
}
