//! The comparison of a topic of views with a store, for `verify --against-views`. It changes nothing.
//!
//! While the store goes on, a view may change between the look at its record and the look at it. So what differs is looked at again with
//! the records that came since, and counts only if it never was the same.

use std::ops::ControlFlow;
use std::time::Duration;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::local_error::local;
use super::reconciliation::Reconciliation;
use crate::codec::published_view::ViewsFormat;
use crate::progress::{Progress, ProgressSink};
use crate::source::views_topic::{ScanStart, ViewsTopic, ViewsTopicError};
use crate::store::Reader;

/// The number of times that what differs is looked at again while the store goes on.
const LOOKS: u32 = 20;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The most differences that are named.
const NAMED: usize = 100;

/// The result of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewsReport {
    /// Number of records that were read from the topic.
    pub records: u64,
    /// Number of views that readers see.
    pub views: u64,
    /// Number of views of which the topic has no record.
    pub missing: u64,
    /// Number of optimizations whose last record is not what readers see.
    pub different: u64,
    /// Number of keys with a value on the topic of which the store has no optimization.
    pub extra: u64,
    /// The first differences.
    pub differences: Vec<ViewsDifference>,
}

/// A difference between the topic and the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewsDifference {
    /// The key of the record, which is the id of the optimization.
    pub id: String,
    /// `missing`, `different` or `extra`.
    pub how: String,
}

impl ViewsReport {
    /// Number of all differences.
    pub fn count(&self) -> u64 {
        self.missing + self.different + self.extra
    }

    fn name(&mut self, id: &str, how: &str) {
        if self.differences.len() < NAMED {
            self.differences.push(ViewsDifference { id: id.to_owned(), how: how.to_owned() });
        }
    }
}

/// Compares a topic with a store, which `is_served` if it goes on meanwhile.
///
/// # Errors
/// The topic or the store cannot be read, or it was told to end.
pub fn verify(
    topic: &mut dyn ViewsTopic,
    reader: &Reader,
    format: ViewsFormat,
    found: (i32, bool),
    watch: &mut ProgressSink<'_>,
) -> Result<ViewsReport, ViewsTopicError> {
    verify_with_pauses(topic, reader, format, found, watch, &mut || std::thread::sleep(LOOK_EVERY))
}

fn verify_with_pauses(
    topic: &mut dyn ViewsTopic,
    reader: &Reader,
    format: ViewsFormat,
    (partitions, is_served): (i32, bool),
    watch: &mut ProgressSink<'_>,
    pause: &mut dyn FnMut(),
) -> Result<ViewsReport, ViewsTopicError> {
    let mut comparison = Reconciliation::begin(reader, format, partitions);
    scan(topic, ScanStart::Beginning, &mut comparison, watch)?;
    let (mut different, mut missing) = suspects(reader, &comparison)?;
    let mut looks = if is_served { LOOKS } else { 0 };
    while looks > 0 && !(different.is_empty() && missing.is_empty() && extra(reader, &comparison).is_empty()) {
        looks -= 1;
        pause();
        scan(topic, ScanStart::Continuation, &mut comparison, watch)?;
        let (still_different, still_missing) = suspects(reader, &comparison)?;
        // What lay on the topic a moment later is not missing, and what was the same once is not different.
        missing &= still_missing;
        different &= still_different;
    }
    report(reader, &comparison, &different, &missing)
}

fn scan(
    topic: &mut dyn ViewsTopic,
    start: ScanStart,
    comparison: &mut Reconciliation,
    watch: &mut ProgressSink<'_>,
) -> Result<(), ViewsTopicError> {
    topic.begin_scan(start)?;
    loop {
        let is_over = topic.scan(&mut |record| comparison.take(record))?;
        if let Some(error) = comparison.failure() {
            return Err(local(error));
        }
        if is_over {
            return Ok(());
        }
        if watch(Progress::new("comparing", comparison.records, None)) == ControlFlow::Break(()) {
            return Err(ViewsTopicError::Lost("it was told to end".to_owned()));
        }
    }
}

/// Returns the keys with a value on the topic of which the store has no optimization. It may have one by now: another instance may
/// publish that is ahead of this one.
fn extra<'c>(reader: &Reader, comparison: &'c Reconciliation) -> Vec<&'c [u8]> {
    let keys = comparison.strays().iter().map(|key| &**key);
    keys.filter(|key| std::str::from_utf8(key).ok().is_none_or(|id| reader.number_of(id).is_none())).collect()
}

/// Returns the optimizations that differ, and those whose view is missing.
fn suspects(
    reader: &Reader,
    comparison: &Reconciliation,
) -> Result<(RoaringBitmap, RoaringBitmap), ViewsTopicError> {
    let (different, absent) = comparison.differing();
    let mut missing = RoaringBitmap::new();
    for number in absent {
        if reader.numbered_view(number).map_err(local)?.is_some_and(|view| view.shown.is_some()) {
            missing.insert(number);
        }
    }
    Ok((different, missing))
}

fn report(
    reader: &Reader,
    comparison: &Reconciliation,
    different: &RoaringBitmap,
    missing: &RoaringBitmap,
) -> Result<ViewsReport, ViewsTopicError> {
    let extra = extra(reader, comparison);
    let mut report = ViewsReport {
        records: comparison.records,
        views: reader.views(),
        missing: missing.len(),
        different: different.len(),
        extra: extra.len() as u64,
        differences: Vec::new(),
    };
    for (numbers, how) in [(missing, "missing"), (different, "different")] {
        for number in numbers.iter().take(NAMED) {
            if let Some(view) = reader.numbered_view(number).map_err(local)? {
                report.name(&view.id, how);
            }
        }
    }
    for key in extra.iter().take(NAMED) {
        report.name(&String::from_utf8_lossy(key), "extra");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::scripted_topic::{PARTITIONS, ScriptedStore, ScriptedTopic, value};
    use crate::source::views_topic::ViewsRecord;

    /// Compares a store that nobody changes, or one that goes on: then `pause` is called before each further look.
    fn compare(
        store: &mut ScriptedStore,
        topic: &mut ScriptedTopic,
        pause: Option<fn(&mut ScriptedStore)>,
    ) -> ViewsReport {
        let reader = store.reader.clone();
        let found = (PARTITIONS, pause.is_some());
        let going_on = &mut |_| ControlFlow::Continue(());
        verify_with_pauses(topic, &reader, ViewsFormat::Json, found, going_on, &mut || {
            pause.expect("it is served")(store);
        })
        .unwrap()
    }

    /// A store with five views, and a topic with one of them as it is, one as it is not, and keys that the store has not.
    fn different() -> (ScriptedStore, Vec<ViewsRecord>) {
        let mut store = ScriptedStore::new();
        for id in ["a", "b", "c", "d"] {
            store.write(id, Some("name"));
        }
        store.write("deleted", None);
        let records =
            vec![store.record("a"), value("b", Some("{}")), value("c", None), value("extra", Some("{}"))];
        (store, records)
    }

    #[test]
    fn each_difference_is_counted_and_named() {
        let (mut store, records) = different();
        let mut topic = ScriptedTopic { records, ..ScriptedTopic::default() };
        let report = compare(&mut store, &mut topic, None);
        assert_eq!((report.records, report.views), (4, 4));
        assert_eq!((report.missing, report.different, report.extra), (1, 2, 1));
        let named = report.differences.iter().map(|found| (found.id.as_str(), found.how.as_str()));
        let named: Vec<_> = named.collect();
        assert_eq!(named, [("d", "missing"), ("b", "different"), ("c", "different"), ("extra", "extra")]);
        assert_eq!(topic.starts, [ScanStart::Beginning], "nobody changes it meanwhile");
    }

    /// A record that comes late is no difference, and one that stays away is.
    #[test]
    fn while_the_store_goes_on_only_that_counts_which_never_was_the_same() {
        let (mut store, records) = different();
        let later =
            [vec![store.record("b")], vec![value("b", Some("{}")), store.record("d")], vec![value("extra", None)]];
        let mut topic = ScriptedTopic { records, later: later.into(), ..ScriptedTopic::default() };
        let report = compare(&mut store, &mut topic, Some(|_| {}));
        assert_eq!((report.missing, report.different, report.extra), (0, 1, 0), "{report:?}");
        assert_eq!(report.differences[0].id, "c");
        // One kind of difference is enough for a further look, which ends them all.
        let (mut store, all) = different();
        let sound = ["a", "b", "c", "d"].map(|id| store.record(id));
        for (records, late) in [
            (all, [&sound[1..], &[value("extra", None)]].concat()),
            (sound[1..].to_vec(), sound[..1].to_vec()),
            ([&sound[..], &[value("b", None)]].concat(), sound[1..2].to_vec()),
            ([&sound[..], &[value("extra", Some("{}"))]].concat(), vec![value("extra", None)]),
        ] {
            let mut topic = ScriptedTopic { records, later: [late].into(), ..ScriptedTopic::default() };
            assert_eq!(compare(&mut store, &mut topic, Some(|_| {})).count(), 0);
            assert_eq!(topic.starts.len(), 2, "it ends once nothing differs");
        }
        let records = vec![store.record("a"), store.record("b"), store.record("c"), store.record("d")];
        let records = records.into_iter().chain([value("extra", Some("{}"))]).collect();
        let mut topic = ScriptedTopic { records, ..ScriptedTopic::default() };
        let report = compare(&mut store, &mut topic, Some(|store| store.write("extra", Some("name"))));
        assert_eq!((report.count(), topic.starts.len()), (0, 2), "the publisher may be ahead of this store");
    }

    #[test]
    fn a_comparison_ends_where_nobody_wants_it_any_more() {
        let (store, records) = different();
        let mut topic = ScriptedTopic { records, ..ScriptedTopic::default() };
        let ended = verify(&mut topic, &store.reader, ViewsFormat::Json, (PARTITIONS, true), &mut |_| {
            ControlFlow::Break(())
        });
        assert!(matches!(ended, Err(ViewsTopicError::Lost(_))), "{ended:?}");
    }
}
