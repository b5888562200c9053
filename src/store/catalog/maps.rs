//! The hash maps of the catalog, and the numbers that they map to.

use std::collections::HashMap;

/// A hash map with a fast hasher that is seeded by chance.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Converts an index to a number. There are fewer than 2^32 of anything here: each takes 100 bytes and more.
pub fn index(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 optimizations fit into memory")
}
