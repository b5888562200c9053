//! The difference between two generations in the jobs that wait for an optimization: all of them are compared once, and then
//! those that change meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::generation::life::comparison::{Comparison, Example};
use crate::store::{Reader, StoreError, is_missing_job, is_parked_alike};

/// Number of jobs, or optimizations, that are compared before somebody is asked whether to go on.
pub const STEP: u32 = 2_000;

/// The parked jobs in which two generations differ.
pub struct ParkedJobs {
    old: Reader,
    new: Reader,
    /// The jobs that are not the same in both, or were not when they were compared last; true if the new generation knows less of it.
    differing: BTreeMap<Arc<str>, bool>,
}

impl ParkedJobs {
    pub fn new(old: Reader, new: Reader) -> ParkedJobs {
        ParkedJobs { old, new, differing: BTreeMap::new() }
    }

    /// Compares all parked jobs. `go_on` is asked between two steps; returns false if it returned false.
    pub fn compare_all(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<bool, StoreError> {
        for reader in [self.old.clone(), self.new.clone()] {
            let mut last: Option<Arc<str>> = None;
            loop {
                let ids = reader.parked_ids_after(last.as_deref(), STEP as usize)?;
                self.compare_jobs(ids.iter())?;
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

    /// Compares again the jobs that have changed, and those that these optimizations, which have changed, link. Returns the number of
    /// the former.
    pub fn compare_changed(&mut self, optimizations: &HashSet<Arc<str>>) -> Result<usize, StoreError> {
        let mut changed: HashSet<Arc<str>> = self.old.take_changed_jobs();
        changed.extend(self.new.take_changed_jobs());
        let count = changed.len();
        changed.extend(self.linked_by(optimizations)?);
        self.compare_jobs(changed.iter())?;
        Ok(count)
    }

    /// Returns the jobs that differ and that one of these optimizations links by now.
    fn linked_by(&self, optimizations: &HashSet<Arc<str>>) -> Result<Vec<Arc<str>>, StoreError> {
        let mut linked = Vec::new();
        if self.differing.is_empty() {
            return Ok(linked);
        }
        for id in optimizations {
            let Some(kept) = self.new.stored_record(id)? else { continue };
            linked.extend(kept.optimization.linked_job().filter(|id| self.differing.contains_key(*id)).cloned());
        }
        Ok(linked)
    }

    /// Adds the jobs that differ to a comparison, as records of which readers are shown nothing. Reads nothing, since both generations
    /// are paused meanwhile.
    pub fn add_to(&self, comparison: &mut Comparison, examples: usize) {
        comparison.losses.parked_jobs = self.differing.values().filter(|knows_less| **knows_less).count() as u64;
        comparison.unseen += self.differing.len() as u64;
        let left = examples.saturating_sub(comparison.examples.len());
        comparison.examples.extend(self.differing.keys().take(left).map(|id| Example {
            id: id.to_string(),
            how: "unseen".to_owned(),
            fields: vec!["a job that waits for an optimization".to_owned()],
        }));
    }

    fn compare_jobs<'b>(&mut self, ids: impl Iterator<Item = &'b Arc<str>>) -> Result<(), StoreError> {
        // What another version has folded is other bytes.
        if self.old.check_format().is_err() {
            return Ok(());
        }
        for id in ids {
            if is_parked_alike(&self.old, &self.new, id)? {
                self.differing.remove(id);
            } else {
                self.differing.insert(id.clone(), is_missing_job(&self.old, &self.new, id)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::event::JobChange;
    use crate::domain::{Commit, Job, Metadata, PartitionOffset, Stamp, Timestamp, Topic};
    use crate::store::{self, OpenStore};

    fn job(sequence: u64) -> Arc<Job> {
        let occurred_at = Timestamp::new(1, 0).unwrap();
        let metadata = Metadata { event_id: "event".into(), occurred_at, sequence };
        let mut job = Job::default();
        job.apply(
            &JobChange::Pending,
            Stamp::new(&metadata, 0, PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 1 }),
        );
        Arc::new(job)
    }

    fn open(directory: &Path) -> OpenStore {
        store::open(directory, 1 << 20).unwrap()
    }

    fn park(opened: &OpenStore, number: u64, jobs: &[(&str, u64)]) {
        let jobs = jobs.iter().map(|&(id, sequence)| (id.into(), Some(job(sequence)))).collect();
        opened.writer.commit(Commit { jobs, ..Commit::default() }, Vec::new(), number).unwrap();
        while opened.writer.commits_written() < number {
            std::thread::yield_now();
        }
    }

    fn counts(parked: &ParkedJobs) -> (u64, u64) {
        let mut comparison = Comparison::default();
        parked.add_to(&mut comparison, 9);
        (comparison.unseen, comparison.losses.parked_jobs)
    }

    #[test]
    fn while_both_are_paused_only_what_has_changed_is_compared() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [old, new] = directories.each_ref().map(|directory| open(directory.path()));
        park(&old, 1, &[("gone", 5), ("older", 5), ("same", 5)]);
        park(&new, 1, &[("older", 4), ("more", 6), ("same", 5)]);
        let readers = [old.writer.reader(), new.writer.reader()];
        let mut parked = ParkedJobs::new(readers[0].clone(), readers[1].clone());
        assert!(parked.compare_all(&mut || true).unwrap());
        assert_eq!(counts(&parked), (3, 2));
        // Nobody watches, so no change is noted, and nothing is read again.
        park(&new, 2, &[("gone", 5)]);
        assert_eq!(parked.compare_changed(&HashSet::new()).unwrap(), 0);
        assert_eq!(counts(&parked), (3, 2));
        readers.iter().for_each(Reader::watch_changes);
        park(&new, 3, &[("older", 5)]);
        assert_eq!(parked.compare_changed(&HashSet::new()).unwrap(), 1);
        assert_eq!(counts(&parked), (2, 1));
    }
}
