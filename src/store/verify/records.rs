//! The verification of the stored optimizations: each is what its registers give, and the catalog agrees with it.

use xxhash_rust::xxh3::xxh3_64;

use super::{Finding, Step, Verifier};
use crate::codec::stored_record;
use crate::domain::Optimization;
use crate::store::catalog::Entry;
use crate::store::{StoreError, pieces};

impl Verifier<'_> {
    pub(super) fn records(&mut self) -> Step {
        let numbers = self.reader.catalog.read().next_number();
        self.total = Some(numbers.into());
        // Numbers whose records were met. The catalog may name others, whose records are missing.
        let mut met = vec![false; numbers as usize];
        let tree = self.reader.trees.optimizations.clone();
        self.each(&tree, |verifier, key, stored| {
            let Ok(number) = <[u8; 4]>::try_from(&key[..]).map(u32::from_be_bytes) else {
                verifier.problem("record", format!("{key:?}"), "its key is not a number of four bytes".to_owned());
                return Ok(());
            };
            if pieces::is_place(&stored) {
                return Ok(());
            }
            if let Some(met) = met.get_mut(number as usize) {
                *met = true;
            }
            verifier.report.records += 1;
            verifier.record(number)
        })?;
        for (number, _) in met.iter().enumerate().filter(|(_, met)| !**met) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if self.reader.catalog.read().id_of(number).is_some() {
                self.record(number)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, number: u32) -> Result<(), StoreError> {
        let mut shown = false;
        let settled = match self.look_at(number) {
            Ok((None, is_shown)) => {
                shown = is_shown;
                Ok(true)
            }
            // A record that cannot be read does not become readable by waiting.
            Err(error) if error.is_damage() => {
                self.unreadable("record", self.name_of(number), error.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
            Ok((Some(_), is_shown)) => {
                shown = is_shown;
                self.settle("record", &self.name_of(number), |verifier| Ok(verifier.look_at(number)?.0))
            }
        };
        self.report.views += u64::from(shown);
        settled.map(|_| ())
    }

    fn name_of(&self, number: u32) -> String {
        let id = self.reader.catalog.read().id_of(number);
        id.map_or_else(|| format!("number {number}"), |id| id.to_string())
    }

    /// Looks at one record. Returns what does not agree, and true if readers see the optimization.
    fn look_at(&self, number: u32) -> Result<(Option<Finding>, bool), StoreError> {
        let trees = &self.reader.trees;
        let Some(stored) = pieces::get(trees, &trees.optimizations, &number.to_be_bytes())? else {
            let problem = "the catalog has it, and there is no record of it".to_owned();
            return Ok((
                Some(Finding { problem, content_hash: 0, may_be_crash_remnant: true, unreadable: false }),
                false,
            ));
        };
        let shown = stored_record::layout(&stored)?.shown;
        let optimization = stored_record::decode_optimization(&stored)?;
        let mut again = Vec::with_capacity(stored.len());
        stored_record::encode_optimization(&optimization, &mut again)?;
        let seen = xxh3_64(&stored);
        if *again != *stored {
            let problem = "the stored response or head is not what its registers give".to_owned();
            return Ok((
                Some(Finding { problem, content_hash: seen, may_be_crash_remnant: false, unreadable: false }),
                shown,
            ));
        }
        let finding = self.disagreement(&optimization, number);
        Ok((
            finding.map(|(problem, may_be_left)| Finding {
                problem,
                content_hash: seen,
                may_be_crash_remnant: may_be_left,
                unreadable: false,
            }),
            shown,
        ))
    }

    /// Returns the way in which the catalog disagrees with a record, and true if a kill may have left it so.
    fn disagreement(&self, optimization: &Optimization, number: u32) -> Option<(String, bool)> {
        let catalog = self.reader.catalog.read();
        match catalog.number(&optimization.id) {
            None => Some(("the catalog does not have it: no reader can find it".to_owned(), false)),
            Some(other) if other != number => {
                Some((format!("the catalog has it under number {other}, not {number}"), false))
            }
            // Entries are written before the records that they name.
            Some(_) if catalog.differs(&Entry::of(optimization, number)) => Some((
                "the catalog has it with another project, status, time, name or job: lists are wrong".to_owned(),
                true,
            )),
            Some(_) => catalog.inconsistency(number).map(|why| (why, false)),
        }
    }
}
