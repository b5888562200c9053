//! The writing of views that a replica has read from a topic of views. A view is written only if it is newer than the one that is there,
//! by the version that the topic gives it: so none goes back, whatever is read again.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::btree_map;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::replicated_part::{ReplicatedPart, ReplicatedRecord};
use super::{Writer, WriterCommand, WriterThread};
use crate::codec::stored_record::{self, RecordOrigin};
use crate::store::catalog::Entry;
use crate::store::view_changes::ScopeChange;
use crate::store::{StoreError, pieces};

impl Writer {
    /// Hands over views of a topic of views, as commit `number`. Waits if the writing thread, or the disk, is far behind.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn put_views(&self, views: Vec<ReplicatedRecord>, number: u64) -> Result<(), StoreError> {
        let part = ReplicatedPart::new(views, number);
        self.backlog.enter(part.bytes);
        self.send(WriterCommand::Views(part))
    }
}

impl WriterThread {
    /// Writes those of some views that are newer than what is there. Returns the number of bytes of their records.
    pub(super) fn put_views(&mut self, part: ReplicatedPart) -> Result<u64, StoreError> {
        let newer = self.newer(part.views)?;
        self.progress.records.fetch_add(newer.len() as u64, Ordering::AcqRel);
        let views: Vec<_> = newer
            .iter()
            .map(|(number, record)| (*number, record, record.view.as_ref().map(|view| view.view())))
            .collect();
        let entries: Vec<_> = views
            .iter()
            .map(|(number, record, view)| Entry::of_view(&record.id, view.as_ref(), *number))
            .collect();
        let watchers = self.progress.watchers.load_full();
        let scopes = watchers
            .as_ref()
            .filter(|watchers| watchers.is_log_on())
            .map(|_| self.catalog.read().scopes_before(&entries));
        self.places.reserve(&self.trees, newer.last_key_value().map(|(number, _)| *number))?;
        let mut written = 0;
        self.journal.append(&self.trees, &self.catalog, entries, || {
            let mut value = Vec::with_capacity(2048);
            for (number, record, view) in &views {
                let origin = RecordOrigin { version: record.version, id: &record.id };
                stored_record::encode_replicated(origin, view.as_ref(), &mut value)?;
                pieces::put(&self.trees, &self.trees.optimizations, &number.to_be_bytes(), &value)?;
                written += value.len() as u64;
            }
            Ok(())
        })?;
        if let Some(watchers) = watchers {
            let scopes = scopes.map(|before| {
                let catalog = self.catalog.read();
                let after = newer.keys().map(|number| catalog.scope_of(*number));
                before.into_iter().zip(after).map(|(before, after)| ScopeChange { before, after }).collect()
            });
            watchers.note(newer.values().map(|record| &record.id), scopes);
        }
        self.progress.commits.store(part.number, Ordering::Release);
        Ok(written)
    }

    /// Returns the newest of each optimization by its number, without those that are there as new. New ones get the next numbers.
    fn newer(&self, views: Vec<ReplicatedRecord>) -> Result<BTreeMap<u32, ReplicatedRecord>, StoreError> {
        let mut newest = BTreeMap::new();
        let first_new = {
            let catalog = self.catalog.read();
            let first_new = catalog.next_number();
            let mut new: HashMap<Arc<str>, u32> = HashMap::new();
            for record in views {
                let number = catalog.number(&record.id).unwrap_or_else(|| {
                    let next = first_new + u32::try_from(new.len()).unwrap_or(u32::MAX);
                    *new.entry(record.id.clone()).or_insert(next)
                });
                match newest.entry(number) {
                    btree_map::Entry::Vacant(place) => drop(place.insert(record)),
                    btree_map::Entry::Occupied(mut held) if held.get().version < record.version => {
                        held.insert(record);
                    }
                    btree_map::Entry::Occupied(_) => {}
                }
            }
            first_new
        };
        let mut old = Vec::new();
        for (number, record) in newest.range(..first_new) {
            let stored = pieces::get(&self.trees, &self.trees.optimizations, &number.to_be_bytes())?;
            let version =
                stored.as_deref().map(stored_record::origin_of).transpose()?.map(|origin| origin.version);
            if version.is_some_and(|version| version >= record.version) {
                old.push(*number);
            }
        }
        old.iter().for_each(|number| drop(newest.remove(number)));
        Ok(newest)
    }
}
