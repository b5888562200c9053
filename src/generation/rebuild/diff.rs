//! The difference between two generations that both change meanwhile: all views are compared once, then again and again those that
//! have changed, until so few are left that the rest fits into a pause of both.

mod parked_jobs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;

use super::exchange::RebuildExchange;
use crate::domain::Shortfall;
use crate::generation::life::comparison::{Comparison, Example};
use crate::store::{self, Reader, StoreError, ViewDiff};
use parked_jobs::{ParkedJobs, STEP};

/// Below this many changed views the final comparison fits into the pause: they take some milliseconds.
const FINAL_DIFF_VIEWS_MAX: usize = 1_000;
/// Number of times that changed views are compared again before both generations are paused whatever is left.
const ROUNDS_MAX: usize = 20;
/// Number of views that differ of which it is remembered in what they do.
const EXAMPLES_MAX: usize = 10_000;

/// The views and parked jobs in which the generations differ, as far as they have been compared.
pub struct GenerationDiff {
    old: Reader,
    new: Reader,
    /// The views that are not the same, or were not when they were compared last.
    odd: BTreeMap<Arc<str>, (ViewDiff, Shortfall)>,
    parked: ParkedJobs,
}

/// Compares all views of the two generations once.
///
/// # Errors
/// The end of the rebuild is ordered meanwhile, or a generation cannot be read.
pub fn compare(shared: &RebuildExchange, old: Reader, new: Reader) -> anyhow::Result<GenerationDiff> {
    let begin = Instant::now();
    let mut diff = GenerationDiff::begin(old, new);
    let is_whole = diff.compare_all(&mut |done, total| {
        let rate = done as f64 / begin.elapsed().as_secs_f64().max(0.001);
        shared.show_rate("comparing", done, total, rate);
        !shared.is_told_to_end()
    })?;
    if !is_whole {
        bail!("it was told to end");
    }
    Ok(diff)
}

impl GenerationDiff {
    fn begin(old: Reader, new: Reader) -> GenerationDiff {
        old.watch_changes();
        new.watch_changes();
        let parked = ParkedJobs::new(old.clone(), new.clone());
        GenerationDiff { old, new, odd: BTreeMap::new(), parked }
    }

    /// Compares all views, and then those that have changed meanwhile. `go_on` gets the number of optimizations that have been
    /// compared, and of all. Returns false if it returned false.
    fn compare_all(&mut self, go_on: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool, StoreError> {
        let total = u64::from(self.old.numbers()) + u64::from(self.new.numbers());
        let mut done = 0;
        for (reader, is_new) in [(self.old.clone(), false), (self.new.clone(), true)] {
            for from in (0..reader.numbers()).step_by(STEP as usize) {
                if !go_on(done.min(total), total) {
                    return Ok(false);
                }
                let ids = reader.ids(from, STEP);
                done += u64::from(STEP);
                // A view that both have was compared with the old generation's.
                let old = self.old.clone();
                self.compare_views(ids.iter().filter(|id| !is_new || !old.holds(id)))?;
            }
        }
        if !self.parked.compare_all(&mut || go_on(total, total))? {
            return Ok(false);
        }
        for _ in 0..ROUNDS_MAX {
            if self.compare_changed()? <= FINAL_DIFF_VIEWS_MAX || !go_on(total, total) {
                break;
            }
        }
        Ok(true)
    }

    /// Compares the views that have changed since, while both generations are paused. Returns all differences, with so many examples.
    pub fn finish(mut self, examples: usize) -> Result<Comparison, StoreError> {
        self.compare_changed()?;
        let mut comparison = Comparison::default();
        for (id, (compared, shortfall)) in &self.odd {
            comparison.losses.add(id, shortfall);
            let (how, fields, count) = match compared {
                ViewDiff::Same | ViewDiff::Neither => continue,
                ViewDiff::Differing(fields) => ("differing", fields.clone(), &mut comparison.differing),
                ViewDiff::OnlyOld => ("only_old", Vec::new(), &mut comparison.only_old),
                ViewDiff::OnlyNew => ("only_new", Vec::new(), &mut comparison.only_new),
                ViewDiff::Unseen(fields) => ("unseen", fields.clone(), &mut comparison.unseen),
            };
            *count += 1;
            if comparison.examples.len() < examples {
                comparison.examples.push(Example { id: id.to_string(), how: how.to_owned(), fields });
            }
        }
        self.parked.add_to(&mut comparison, examples);
        let odd = comparison.differing + comparison.only_old;
        comparison.same = self.old.views().saturating_sub(odd);
        Ok(comparison)
    }

    /// Compares again the views that have changed since the last time, and returns their number.
    fn compare_changed(&mut self) -> Result<usize, StoreError> {
        let mut changed = self.old.take_changes();
        changed.extend(self.new.take_changes());
        self.compare_views(changed.iter())?;
        Ok(changed.len() + self.parked.compare_changed(&changed)?)
    }

    fn compare_views<'b>(&mut self, ids: impl Iterator<Item = &'b Arc<str>>) -> Result<(), StoreError> {
        for id in ids {
            let (compared, mut shortfall) = store::compare(&self.old, &self.new, id)?;
            // If nearly all views differ, examples are enough.
            let names_fields = self.odd.len() <= EXAMPLES_MAX;
            if !names_fields {
                shortfall.fields.truncate(1);
            }
            let compared = match compared {
                ViewDiff::Same | ViewDiff::Neither => {
                    self.odd.remove(id);
                    continue;
                }
                ViewDiff::Differing(_) if !names_fields => ViewDiff::Differing(Vec::new()),
                ViewDiff::Unseen(_) if !names_fields => ViewDiff::Unseen(Vec::new()),
                compared => compared,
            };
            self.odd.insert(id.clone(), (compared, shortfall));
        }
        Ok(())
    }
}

impl Drop for GenerationDiff {
    fn drop(&mut self) {
        self.old.end_watch();
        self.new.end_watch();
    }
}
