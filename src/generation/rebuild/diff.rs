//! Compares two generations that go on changing: all of them once, then again and again what has changed meanwhile, until
//! so little is left that the rest can be done while both hold at the same positions.

mod parked;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Comparison, Example};
use crate::domain::Shortfall;
use crate::store::{Reader, StoreError, ViewDiff, compare};
use parked::ParkedJobs;

/// How many optimizations are looked at before others are asked whether to go on.
const A_STEP: u32 = 2_000;
/// So few take some milliseconds.
const FEW: usize = 1_000;
/// How often what has changed is looked at again before both are held whatever is left.
const ROUNDS: usize = 20;

/// Of so many it is remembered in what they differ.
const EXAMPLES_KEPT: usize = 10_000;

pub struct GenerationDiff<'a> {
    old: &'a Reader,
    new: &'a Reader,
    /// What is not the same, or was not when it was looked at.
    odd: BTreeMap<Arc<str>, (ViewDiff, Shortfall)>,
    parked: ParkedJobs<'a>,
}

impl<'a> GenerationDiff<'a> {
    pub fn begin(old: &'a Reader, new: &'a Reader) -> GenerationDiff<'a> {
        old.watch_changes();
        new.watch_changes();
        GenerationDiff { old, new, odd: BTreeMap::new(), parked: ParkedJobs::new(old, new) }
    }

    /// Looks at all, and then at what has changed meanwhile. `go_on` is told how many have been looked at, of how many.
    /// Gives false where it said no.
    pub fn look(&mut self, go_on: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool, StoreError> {
        let total = u64::from(self.old.numbers()) + u64::from(self.new.numbers());
        let mut done = 0;
        for (reader, is_new) in [(self.old, false), (self.new, true)] {
            for from in (0..reader.numbers()).step_by(A_STEP as usize) {
                if !go_on(done.min(total), total) {
                    return Ok(false);
                }
                let ids = reader.ids(from, A_STEP);
                done += u64::from(A_STEP);
                // What both have has been looked at already.
                let of_interest = |id: &&Arc<str>| !is_new || !self.old.holds(id);
                let ids: Vec<&Arc<str>> = ids.iter().filter(of_interest).collect();
                self.look_at(ids.into_iter())?;
            }
        }
        if !self.parked.look(&mut || go_on(total, total))? {
            return Ok(false);
        }
        for _ in 0..ROUNDS {
            if self.look_at_changed()? <= FEW || !go_on(total, total) {
                break;
            }
        }
        Ok(true)
    }

    /// The rest, while both hold at the same positions.
    pub fn finish(mut self, examples: usize) -> Result<Comparison, StoreError> {
        self.look_at_changed()?;
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
        self.parked.tell(&mut comparison, examples);
        let odd = comparison.differing + comparison.only_old;
        comparison.same = self.old.views().saturating_sub(odd);
        Ok(comparison)
    }

    /// Looks again at what has changed since the last time. Gives how much that was.
    fn look_at_changed(&mut self) -> Result<usize, StoreError> {
        let mut changed = self.old.take_changes();
        changed.extend(self.new.take_changes());
        self.look_at(changed.iter())?;
        Ok(changed.len() + self.parked.look_at_changed(&changed)?)
    }

    fn look_at<'b>(&mut self, ids: impl Iterator<Item = &'b Arc<str>>) -> Result<(), StoreError> {
        for id in ids {
            let (compared, mut shortfall) = compare(self.old, self.new, id)?;
            // Where nearly all differ, examples are enough.
            let names_fields = self.odd.len() <= EXAMPLES_KEPT;
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

impl Drop for GenerationDiff<'_> {
    fn drop(&mut self) {
        self.old.end_watch();
        self.new.end_watch();
    }
}
