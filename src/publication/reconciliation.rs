//! The comparison of a whole topic with a store, while the store goes on: which views are to be published again, and which records are
//! to be replaced by tombstones. It keeps a few bits for each optimization, whatever the topic has.
//!
//! A record is compared with the view as it is when the record is read. If the view changes later, the store's writer notes that, so that
//! it is published anyway.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::records::is_mark;
use crate::codec::published_view::ViewsFormat;
use crate::source::views_topic::{FoundRecord, partition_of};
use crate::store::{Reader, StoreError};

/// The most keys that are kept which the topic has and the store has not.
pub const STRAYS_MAX: usize = 10_000;

/// Keys of a topic that no optimization has.
pub type StrayKeys = BTreeSet<Box<[u8]>>;

/// A comparison that has been begun.
pub struct Reconciliation {
    reader: Reader,
    format: ViewsFormat,
    partitions: i32,
    /// The number that the next new optimization had at the beginning. What came since was noted by the writer.
    end: u32,
    /// The optimizations whose last record is as their view is.
    equal: RoaringBitmap,
    /// Those whose last record is not.
    different: RoaringBitmap,
    /// The keys with a value on the topic of which the store has no optimization.
    strays: StrayKeys,
    failure: Option<StoreError>,
    /// Number of records that were read.
    pub records: u64,
}

/// The optimizations that are to be published after a comparison.
#[derive(Debug, Default)]
pub struct ReconciliationBacklog {
    /// The optimizations that are to be published.
    pub numbers: RoaringBitmap,
    /// Those among them of which the topic has no record: if there is no view of one, there is nothing to publish.
    pub absent: RoaringBitmap,
}

impl Reconciliation {
    /// Begins a comparison. The store's writer must note by now what it writes.
    pub fn begin(reader: &Reader, format: ViewsFormat, partitions: i32) -> Reconciliation {
        Reconciliation {
            end: reader.next_number(),
            reader: reader.clone(),
            format,
            partitions,
            equal: RoaringBitmap::new(),
            different: RoaringBitmap::new(),
            strays: StrayKeys::new(),
            failure: None,
            records: 0,
        }
    }

    /// Takes in the next record of the topic. Of one key the last record counts.
    pub fn take(&mut self, record: &FoundRecord<'_>) {
        self.records += 1;
        // A record that lies in another partition, from when the topic had fewer, is not what readers of the key's partition see.
        if is_mark(record) || partition_of(record.key, self.partitions) != record.partition {
            return;
        }
        let number = std::str::from_utf8(record.key).ok().and_then(|id| self.reader.number_of(id));
        match number {
            None if record.value.is_some() => drop(self.strays.insert(record.key.into())),
            None => drop(self.strays.remove(record.key)),
            Some(number) if number >= self.end => {}
            Some(number) => match self.is_equal(number, record.value) {
                Ok(is_equal) => {
                    let (into, out_of) = match is_equal {
                        true => (&mut self.equal, &mut self.different),
                        false => (&mut self.different, &mut self.equal),
                    };
                    into.insert(number);
                    out_of.remove(number);
                }
                Err(error) => drop(self.failure.get_or_insert(error)),
            },
        }
    }

    fn is_equal(&self, number: u32, value: Option<&[u8]>) -> Result<bool, StoreError> {
        let shown = self.reader.numbered_view(number)?.and_then(|view| view.shown);
        let expected = shown.map(|view| self.format.encode(view.json)).transpose()?;
        Ok(expected.as_deref() == value)
    }

    /// Returns the keys with a value on the topic of which the store has no optimization.
    pub fn strays(&self) -> &StrayKeys {
        &self.strays
    }

    /// Returns the optimizations whose last record is not as their view is, and those without a record.
    pub fn differing(&self) -> (RoaringBitmap, RoaringBitmap) {
        let mut absent = RoaringBitmap::new();
        absent.insert_range(..self.end);
        absent -= &self.equal;
        absent -= &self.different;
        (self.different.clone(), absent)
    }

    /// Returns the error by which a view could not be read, if there was one.
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// Takes the keys that are to become tombstones, if they are too many to be kept.
    pub fn take_many_strays(&mut self) -> StrayKeys {
        if self.strays.len() > STRAYS_MAX { std::mem::take(&mut self.strays) } else { StrayKeys::new() }
    }

    /// Ends the comparison: every record was taken in. Returns also the keys that are to become tombstones.
    ///
    /// # Errors
    /// A view could not be read.
    pub fn finish(self) -> Result<(ReconciliationBacklog, StrayKeys), StoreError> {
        let (different, absent) = self.differing();
        if let Some(error) = self.failure {
            return Err(error);
        }
        let numbers = different | &absent;
        Ok((ReconciliationBacklog { numbers, absent }, self.strays))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::scripted_topic::{PARTITIONS, ScriptedStore, mark, value};
    use crate::source::views_topic::ViewsRecord;

    fn begin(store: &ScriptedStore) -> Reconciliation {
        Reconciliation::begin(&store.reader, ViewsFormat::Json, PARTITIONS)
    }

    fn take(comparison: &mut Reconciliation, records: impl IntoIterator<Item = ViewsRecord>) {
        for record in records {
            comparison.take(&FoundRecord {
                partition: record.partition,
                offset: 0,
                key: &record.key,
                value: record.value.as_deref(),
                headers: record.headers.iter().map(|(name, value)| (*name, &value[..])).collect(),
            });
        }
    }

    /// Returns the ids that are to be published, those among them that are absent, and the keys that are to become tombstones.
    fn finish(store: &ScriptedStore, comparison: Reconciliation) -> [Vec<String>; 3] {
        let (backlog, strays) = comparison.finish().unwrap();
        let ids = |numbers: RoaringBitmap| {
            let views = numbers.into_iter().map(|number| store.reader.numbered_view(number).unwrap().unwrap());
            let mut ids: Vec<String> = views.map(|view| view.id.to_string()).collect();
            ids.sort();
            ids
        };
        let strays = strays.iter().map(|key| String::from_utf8_lossy(key).into_owned());
        [ids(backlog.numbers), ids(backlog.absent), strays.collect()]
    }

    #[test]
    fn the_last_record_of_each_key_decides() {
        let mut store = ScriptedStore::new();
        for id in ["equal", "older", "newer", "null", "absent"] {
            store.write(id, Some("name"));
        }
        let [equal, older, newer, null] = ["equal", "older", "newer", "null"].map(|id| store.record(id));
        let other = |id| value(id, Some("{}"));
        let mut comparison = begin(&store);
        take(
            &mut comparison,
            [other("equal"), equal, older, other("older"), newer.clone(), other("newer"), newer],
        );
        take(&mut comparison, [null, value("null", None)]);
        take(&mut comparison, [other("stray"), other("stray-2"), value("stray-2", None), value("stray-3", None)]);
        assert_eq!(comparison.records, 13);
        assert_eq!(finish(&store, comparison), [&["absent", "null", "older"][..], &["absent"], &["stray"]]);
    }

    #[test]
    fn null_is_the_record_of_an_optimization_that_is_deleted() {
        let mut store = ScriptedStore::new();
        for id in ["as it is", "left over", "absent"] {
            store.write(id, None);
        }
        let mut comparison = begin(&store);
        take(
            &mut comparison,
            [value("as it is", Some("{}")), value("as it is", None), value("left over", Some("{}"))],
        );
        assert_eq!(finish(&store, comparison), [&["absent", "left over"][..], &["absent"], &[]]);
    }

    #[test]
    fn marks_and_records_in_another_partition_than_their_keys_count_as_none() {
        let mut store = ScriptedStore::new();
        store.write("a", Some("name"));
        let record = store.record("a");
        let elsewhere = |record: ViewsRecord| ViewsRecord { partition: 1 - record.partition, ..record };
        let mut comparison = begin(&store);
        take(&mut comparison, [mark(0, "p", 1, 1), mark(1, "p", 1, 1), elsewhere(record)]);
        take(&mut comparison, [elsewhere(value("stray", Some("{}")))]);
        assert_eq!(finish(&store, comparison), [&["a"][..], &["a"], &[]]);
    }

    /// The writer has noted it, whatever the topic has.
    #[test]
    fn an_optimization_that_comes_during_the_comparison_is_no_matter_of_it() {
        let mut store = ScriptedStore::new();
        store.write("a", Some("name"));
        let mut comparison = begin(&store);
        take(&mut comparison, [value("b", Some("{}"))]);
        store.write("b", Some("name"));
        take(&mut comparison, [store.record("a"), value("b", Some("{ }"))]);
        assert_eq!(
            finish(&store, comparison),
            [&[][..], &[], &["b"]],
            "the key is looked up again before it is published"
        );
    }

    #[test]
    fn many_strays_are_given_out_before_the_end() {
        let store = ScriptedStore::new();
        let mut comparison = begin(&store);
        take(&mut comparison, (0..STRAYS_MAX).map(|number| value(&format!("stray-{number}"), Some("{}"))));
        assert_eq!(comparison.take_many_strays().len(), 0);
        take(&mut comparison, [value("stray", Some("{}"))]);
        assert_eq!(comparison.take_many_strays().len(), STRAYS_MAX + 1);
        assert_eq!(comparison.strays().len(), 0);
    }

    #[test]
    fn a_view_of_another_form_is_another() {
        let mut store = ScriptedStore::new();
        store.write("a", Some("name"));
        let mut comparison = Reconciliation::begin(&store.reader, ViewsFormat::Protobuf, PARTITIONS);
        take(&mut comparison, [store.record("a")]);
        assert_eq!(finish(&store, comparison), [&["a"][..], &[], &[]]);
    }
}
