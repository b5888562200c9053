//! The generations that stay beside the live one. One that has more than what took its place stays until somebody asks for its
//! removal: nothing could bring back what it has.

use std::path::Path;

use crate::data_dir::{self, DataDirError};

/// Leaves `keep` generations beside the live one: first the one that was live until now, then the latest. Returns those that stay
/// beyond that. One that cannot be removed is left to the next rebuild.
pub fn prune(data_dir: &Path, before: u64, keep: usize) -> Vec<u64> {
    let current = data_dir::current(data_dir).ok().flatten();
    let mut others = data_dir::usable(data_dir).unwrap_or_default();
    others.retain(|&number| Some(number) != current && number != before);
    others.push(before);
    let mut spared = Vec::new();
    for generation in others.into_iter().rev().skip(keep) {
        match data_dir::surplus(&data_dir::directory(data_dir, generation)) {
            // It is left to the next rebuild.
            Ok(None) => drop(remove(data_dir, generation)),
            Err(error) => {
                tracing::warn!(generation, %error, "a generation is kept beyond --keep: it cannot be told what it has");
                spared.push(generation);
            }
            Ok(Some(more)) => {
                tracing::warn!(
                    generation,
                    has = more.what,
                    "a generation is kept beyond --keep: it has more than the one that took its place, and `optview \
                     generations --remove {generation:06} --accept-loss` is what removes it"
                );
                spared.push(generation);
            }
        }
    }
    spared
}

/// Removes a generation, unless it is the live one. Logs a failure, since the next start or rebuild removes what is left.
///
/// # Errors
/// Its files cannot be removed.
pub fn remove(data_dir: &Path, generation: u64) -> Result<(), DataDirError> {
    let removed = data_dir::remove(data_dir, generation);
    if let Err(error) = &removed {
        tracing::warn!(generation, %error, "a generation that is not needed could not be removed");
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn what_has_more_than_its_successor_is_kept_whatever_keep_says() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        drop(store::open(data_dir, 1 << 20).unwrap());
        for number in 2..=4 {
            drop(store::begin_beside(data_dir, number, 1 << 20).unwrap());
        }
        let path = |number| data_dir::directory(data_dir, number);
        data_dir::note_surplus(&path(1), 2, Some("all that was lost".to_owned())).unwrap();
        data_dir::make_current(data_dir, 4).unwrap();
        assert_eq!(prune(data_dir, 3, 1), [1]);
        assert_eq!(data_dir::usable(data_dir).unwrap(), [1, 3, 4]);
        assert_eq!(prune(data_dir, 3, 0), [1]);
        assert_eq!(data_dir::usable(data_dir).unwrap(), [1, 4]);
        // What took its place by then had everything.
        data_dir::note_surplus(&path(1), 4, None).unwrap();
        assert_eq!(prune(data_dir, 1, 0), [0_u64; 0]);
        assert_eq!(data_dir::usable(data_dir).unwrap(), [4]);
    }
}
