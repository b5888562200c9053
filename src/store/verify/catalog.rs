//! The verification of the catalog: its entries on disk equal those in memory, and its lists and totals are those of its entries.

use super::{Finding, Step, Verifier};
use crate::store::StoreError;
use crate::store::catalog::{Entry, ListCheck, chunk};

impl Verifier<'_> {
    pub(super) fn catalog(&mut self) -> Step {
        let numbers = self.reader.catalog.read().next_number();
        let mut met = vec![false; numbers as usize];
        let tree = self.reader.trees.catalog.clone();
        self.each(&tree, |verifier, key, value| {
            let number = chunk::number(key)?;
            match chunk::decode(&value) {
                Ok(Some(entries)) => verifier.chunk(number, &entries, &mut met),
                // The catalog of another version: the one in memory was made from the records.
                Ok(None) => {}
                Err(damaged) => verifier.unreadable("catalog", format!("chunk {number}"), damaged.to_string()),
            }
            Ok(())
        })?;
        for (number, _) in met.iter().enumerate().filter(|(_, met)| !**met) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if self.settle("catalog", &format!("number {number}"), |verifier| verifier.entry_on_disk(number))? {
                self.report.catalog_entries += 1;
            }
        }
        self.lists()
    }

    /// Ticks off the entries of a chunk that are current, and equal those in memory.
    fn chunk(&mut self, chunk: u64, entries: &[Entry<'_>], met: &mut [bool]) {
        let catalog = self.reader.catalog.read();
        // The last entry of an optimization counts.
        for entry in entries.iter().rev() {
            let Some(met) = met.get_mut(entry.number as usize).filter(|met| !**met) else { continue };
            if catalog.chunk_of(entry.number) == Some(chunk) && is_same(&catalog, entry) {
                *met = true;
                self.report.catalog_entries += 1;
            }
        }
    }

    /// Compares the current entry of an optimization on disk with the one in memory.
    fn entry_on_disk(&self, number: u32) -> Result<Option<Finding>, StoreError> {
        let chunk = self.reader.catalog.read().chunk_of(number);
        let finding = |problem: &str, seen: u64| {
            Ok(Some(Finding {
                problem: problem.to_owned(),
                content_hash: seen,
                may_be_crash_remnant: false,
                unreadable: false,
            }))
        };
        // No optimization has this number, or not yet; or the catalog was made from the records.
        let Some(chunk) = chunk else { return Ok(None) };
        let Some(value) = self.reader.trees.catalog.get(chunk.to_be_bytes())? else {
            return finding(
                "the chunk that holds its entry is not there: the next start would not know of it",
                chunk,
            );
        };
        let entries = chunk::decode(&value)?.unwrap_or_default();
        let entry = entries.iter().rev().find(|entry| entry.number == number);
        match entry {
            None => finding("its entry is not in the chunk that should hold it", chunk),
            Some(entry) if !is_same(&self.reader.catalog.read(), entry) => {
                finding("its entry on disk is not the one in memory", chunk)
            }
            Some(_) => Ok(None),
        }
    }

    /// Verifies the places and the totals of all lists.
    fn lists(&mut self) -> Step {
        let end = self.reader.catalog.read().lists_end();
        (0..end).try_for_each(|list| self.list(list))
    }

    fn list(&mut self, list: u32) -> Step {
        let name = self.reader.catalog.read().list_name(list);
        // No list has this number, or not any more.
        let Some((name, is_project)) = name else { return Ok(()) };
        let snapshot = self.reader.catalog.read().snapshot(list);
        if !snapshot.is_counted_right() {
            self.problem("totals", &name, "its totals by status and kind are not those of its list".to_owned());
        }
        drop(snapshot);
        let mut check = ListCheck::new(list);
        let mut more = true;
        while more {
            let checked = self.reader.catalog.read().check_list(&mut check);
            self.slice(0, |_| Ok(()))?;
            more = checked.unwrap_or_else(|problem| {
                self.problem("totals", &name, problem);
                false
            });
        }
        self.report.projects += u64::from(is_project);
        Ok(())
    }
}

fn is_same(catalog: &crate::store::catalog::Catalog, entry: &Entry<'_>) -> bool {
    catalog.id_of(entry.number).is_some_and(|id| *id == *entry.id) && !catalog.differs(entry)
}
