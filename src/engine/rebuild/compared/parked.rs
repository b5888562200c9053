//! Compares the jobs that wait in two generations for an optimization: all of them once, and then those that change
//! meanwhile.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{A_STEP, Comparison, Example};
use crate::store::{Reader, StoreError, is_parked_alike};

pub struct ParkedJobs<'a> {
    old: &'a Reader,
    new: &'a Reader,
    /// The jobs that are not the same in both, or were not when they were looked at.
    differing: BTreeSet<Arc<str>>,
}

impl<'a> ParkedJobs<'a> {
    pub fn new(old: &'a Reader, new: &'a Reader) -> ParkedJobs<'a> {
        ParkedJobs { old, new, differing: BTreeSet::new() }
    }

    /// Looks at all. `go_on` is asked between two steps; gives false where it said no.
    pub fn look(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<bool, StoreError> {
        for reader in [self.old, self.new] {
            let mut last: Option<Arc<str>> = None;
            loop {
                let ids = reader.parked_ids_after(last.as_deref(), A_STEP as usize)?;
                self.look_at(ids.iter())?;
                last = ids.last().cloned();
                if last.is_none() {
                    break;
                }
                if !go_on() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Looks again at those that have changed. Gives how many there were.
    pub fn look_at_changed(&mut self) -> Result<usize, StoreError> {
        let mut changed: HashSet<Arc<str>> = self.old.take_changed_jobs();
        changed.extend(self.new.take_changed_jobs());
        self.look_at(changed.iter())?;
        Ok(changed.len())
    }

    /// The jobs that are not the same in both.
    pub fn differing(&self) -> impl Iterator<Item = &Arc<str>> {
        self.differing.iter()
    }

    /// Adds those that differ to what is told, as records of which readers are shown nothing.
    pub fn tell(&self, comparison: &mut Comparison, examples: usize) {
        comparison.unseen += self.differing.len() as u64;
        let left = examples.saturating_sub(comparison.examples.len());
        comparison.examples.extend(self.differing.iter().take(left).map(|id| Example {
            id: id.to_string(),
            how: "unseen".to_owned(),
            fields: vec!["a job that waits for an optimization".to_owned()],
        }));
    }

    fn look_at<'b>(&mut self, ids: impl Iterator<Item = &'b Arc<str>>) -> Result<(), StoreError> {
        // What another version has folded is other bytes.
        if self.old.check_format().is_err() {
            return Ok(());
        }
        for id in ids {
            if is_parked_alike(self.old, self.new, id)? {
                self.differing.remove(id);
            } else {
                self.differing.insert(id.clone());
            }
        }
        Ok(())
    }
}
