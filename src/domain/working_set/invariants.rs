//! The invariants of the working set, for the suites: what must hold between any two events.

use super::{JobSlot, WorkingSet};

impl WorkingSet {
    /// Checks every invariant, in time proportional to the records in memory.
    ///
    /// # Panics
    /// Panics with the first invariant that does not hold, and the id of the record.
    pub fn check(&self) {
        for (slot, held) in &self.optimizations {
            let id = &held.record.id;
            assert_eq!(self.optimization_slot(id), Some(slot), "optimization {id} is found by its id");
            let listed = self.dirty_optimizations.iter().filter(|dirty| **dirty == slot).count();
            assert_eq!(listed, usize::from(held.dirty), "optimization {id} is listed as dirty if it is");
            for link in held.record.links() {
                let job = self.job_slot(&link.job_id).map(|job| &self.jobs[job]);
                let claims = job.map(|job| job.claimants.iter().filter(|claimant| **claimant == slot).count());
                assert_eq!(claims, Some(1), "optimization {id} is a claimant of its job {}", link.job_id);
            }
        }
        for (slot, job) in &self.jobs {
            assert_eq!(self.job_slot(&job.id), Some(slot), "job {} is found by its id", job.id);
            let listed = self.dirty_jobs.iter().filter(|dirty| **dirty == slot).count();
            assert_eq!(listed, usize::from(job.dirty), "job {} is listed as dirty if it is", job.id);
            self.check_job(slot, job);
        }
        let is_dirty = |slot: &usize| self.optimizations.get(*slot).is_some_and(|held| held.dirty);
        assert!(self.dirty_optimizations.iter().all(is_dirty), "what is listed as dirty is in memory");
        let is_dirty = |slot: &usize| self.jobs.get(*slot).is_some_and(|job| job.dirty);
        assert!(self.dirty_jobs.iter().all(is_dirty), "what is listed as dirty is in memory");
    }

    fn check_job(&self, slot: usize, job: &JobSlot) {
        let id = &job.id;
        for &claimant in &job.claimants {
            let claims = self.optimizations.get(claimant).is_some_and(|held| held.record.links_job(id));
            assert!(claims, "every claimant of job {id} is in memory and links it");
        }
        let home = if job.ready { self.home_of(slot) } else { None };
        assert_eq!(job.home, home, "the home of job {id} is its only claimant, and links it now");
        assert!(job.home.is_none() || job.parked.is_none(), "job {id} is not parked beside its home");
        assert!(
            job.left_unwritten.is_empty() || job.dirty,
            "job {id} is dirty while an optimization has left it unwritten"
        );
    }
}
