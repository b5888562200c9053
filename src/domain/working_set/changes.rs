//! The changes of the working set that are due to be written.

use std::sync::Arc;

use super::{Commit, JobSlot, WorkingSet};
use crate::domain::job::Job;

impl WorkingSet {
    /// Takes the changes that were last touched before `before_epoch`, or all changes without one.
    pub fn take_changes(&mut self, before_epoch: Option<u32>) -> Commit {
        self.take_rested(before_epoch, before_epoch)
    }

    /// Takes the changes that were last touched before `before_epoch`; of optimizations whose job has ended, those before
    /// `ended_before_epoch`. `None` takes all.
    pub fn take_rested(&mut self, before_epoch: Option<u32>, ended_before_epoch: Option<u32>) -> Commit {
        let mut commit = Commit::default();
        self.commits += 1;
        let Self { optimizations, jobs, dirty_optimizations, dirty_jobs, commits, .. } = self;
        let stays = |touched: u32| before_epoch.is_some_and(|epoch| touched >= epoch);
        let stays_ended = |touched: u32| ended_before_epoch.is_some_and(|epoch| touched >= epoch);
        dirty_optimizations.retain(|&slot| {
            let slot = &mut optimizations[slot];
            if !stays(slot.touched_epoch) || (slot.has_ended && !stays_ended(slot.touched_epoch)) {
                (slot.dirty, slot.committed_in, slot.committed_ended) = (false, *commits, slot.has_ended);
                commit.optimizations.push(slot.record.clone());
            }
            slot.dirty
        });
        let unwritten = |optimization: usize| optimizations[optimization].dirty;
        let mut put = |job: &mut JobSlot, parked: Option<Arc<Job>>| {
            (job.stored, job.committed_in) = (parked.is_some(), *commits);
            job.left_unwritten.clear();
            commit.jobs.push((job.id.clone(), parked));
        };
        dirty_jobs.retain(|&slot| {
            let job = &mut jobs[slot];
            let left = job.left_unwritten.len();
            job.left_unwritten.retain(|optimization| unwritten(*optimization));
            // The record that held the state is written without it, so the state must not be written later.
            let at_once = job.left_unwritten.len() < left;
            if let Some(parked) = job.parked.clone() {
                job.dirty = !at_once && stays(job.touched_epoch);
                if !job.dirty {
                    put(job, Some(parked));
                }
                return job.dirty;
            }
            if let Some(home) = job.home.filter(|_| at_once && !job.stored) {
                put(job, Some(optimizations[home].record.job.clone().into()));
            }
            // The parked state remains until the home is written. If this commit writes the home, it removes the
            // parked state after it.
            job.dirty = job.home.is_some_and(unwritten) && (job.stored || !job.left_unwritten.is_empty());
            if !job.dirty {
                job.left_unwritten.clear();
                if job.stored {
                    put(job, None);
                }
            }
            job.dirty
        });
        commit
    }
}
