//! The verification of the pieces of large values: each belongs to a value that is there. Missing pieces show where the values
//! are read.

use sled::Tree;
use xxhash_rust::xxh3::xxh3_64;

use super::{Finding, Step, Verifier};
use crate::store::{StoreError, pieces};

impl Verifier<'_> {
    pub(super) fn pieces(&mut self) -> Step {
        let tree = self.reader.trees.pieces.clone();
        self.each(&tree, |verifier, key, _| {
            verifier.report.pieces += 1;
            match pieces::owner(key) {
                Some((name, owner)) if verifier.tree(name).is_some() => {
                    if verifier.is_referred_to(name, owner, key)? {
                        return Ok(());
                    }
                    // Pieces are written before the reference to them, and removed after it.
                    verifier.reader.progress.wait_for_parts();
                    let is_left = !verifier.is_referred_to(name, owner, key)?
                        && verifier.reader.trees.pieces.contains_key(key)?;
                    verifier.report.pieces_left_over += u64::from(is_left);
                }
                _ => verifier.problem(
                    "piece",
                    format!("{key:?}"),
                    "its key is none that is ever written".to_owned(),
                ),
            }
            Ok(())
        })
    }

    fn is_referred_to(&self, name: &[u8], owner: &[u8], piece: &[u8]) -> Result<bool, StoreError> {
        let Some(tree) = self.tree(name) else { return Ok(false) };
        match tree.get(owner)? {
            Some(value) => pieces::refers_to(&value, tree, owner, piece),
            None => Ok(false),
        }
    }

    /// Returns the tree with a name, if its values may be in pieces.
    fn tree(&self, name: &[u8]) -> Option<&Tree> {
        let trees = &self.reader.trees;
        [&trees.optimizations, &trees.jobs, &trees.dead_letters].into_iter().find(|tree| tree.name() == name)
    }

    /// Checks the value under a key of a tree, whatever its size, once it stands still.
    pub(super) fn value(
        &mut self,
        of: &str,
        which: &str,
        tree: &Tree,
        key: &[u8],
        check: impl Fn(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let trees = self.reader.trees.clone();
        self.settle(of, which, |_| {
            let found = pieces::get(&trees, tree, key).map(|value| {
                let value = value?;
                check(&value).err().map(|error| (error, xxh3_64(&value)))
            });
            match found {
                Ok(None) => Ok(None),
                Ok(Some((error, seen))) => Ok(Some(Finding {
                    problem: error.to_string(),
                    content_hash: seen,
                    may_be_crash_remnant: false,
                    unreadable: true,
                })),
                Err(error) if error.is_damage() => Ok(Some(Finding {
                    problem: error.to_string(),
                    content_hash: 0,
                    may_be_crash_remnant: false,
                    unreadable: true,
                })),
                Err(error) => Err(error),
            }
        })?;
        Ok(())
    }
}
