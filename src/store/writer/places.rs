//! Places that are kept in the tree of optimizations before their records come.
//!
//! sled splits a leaf once it has 17 values, whatever their sizes, and writes both halves whole. New optimizations get ascending
//! numbers, so records that were inserted where nothing is would be written three times: nine records fill a leaf, and then
//! seventeen are written. A place is an empty value under the number of a record to come. Leaves are split while they hold places, which
//! takes some bytes, and a record then replaces its place without a split: a third of the bytes are written.
//!
//! Readers take an empty value for none ([`pieces::get`](crate::store::pieces::get)). Places that no record has taken at the end stay.

use sled::CompareAndSwapError;

use super::StoreError;
use crate::store::keys::Trees;
use crate::store::sled_fsync::wait_for_room;

/// Number of places that are made at once. Each time the last leaf is split with the records that it has already, so that more places
/// at once cost less; those that stay empty at the end take some 10 kB.
const PLACES_AT_ONCE: u32 = 256;

/// The places kept for the numbers after those of all optimizations.
pub(super) struct ReservedPlaces {
    /// The least number without a place or a record.
    end: u32,
}

impl ReservedPlaces {
    /// Begins with the least number that no optimization has. Places that are there already are found to be.
    pub(super) fn from(next_number: u32) -> ReservedPlaces {
        ReservedPlaces { end: next_number }
    }

    /// Makes places at least up to `number`, the greatest of the records that are to be written.
    ///
    /// # Errors
    /// sled's.
    pub(super) fn reserve(&mut self, trees: &Trees, number: Option<u32>) -> Result<(), StoreError> {
        while number.is_some_and(|number| self.end <= number) {
            wait_for_room();
            let end = self.end.saturating_add(PLACES_AT_ONCE);
            for place in self.end..end {
                let key = place.to_be_bytes();
                let made = trees.optimizations.compare_and_swap(key, None::<&[u8]>, Some(&[][..]))?;
                // A process that was killed may have left a place here. A record is never replaced.
                drop::<Result<(), CompareAndSwapError>>(made);
            }
            self.end = end;
        }
        Ok(())
    }
}
