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
    (partitions, is_served): (i32, bool),
    watch: &mut ProgressSink<'_>,
) -> Result<ViewsReport, ViewsTopicError> {
    let mut comparison = Reconciliation::begin(reader, format, partitions);
    scan(topic, ScanStart::Beginning, &mut comparison, watch)?;
    let (mut different, mut missing) = suspects(reader, &comparison)?;
    let mut looks = if is_served { LOOKS } else { 0 };
    while looks > 0 && !(different.is_empty() && missing.is_empty() && comparison.strays().is_empty()) {
        looks -= 1;
        std::thread::sleep(LOOK_EVERY);
        scan(topic, ScanStart::Continuation, &mut comparison, watch)?;
        let (still_different, still_missing) = suspects(reader, &comparison)?;
        // What lay on the topic a moment later is not missing, and what was the same once is not different.
        missing &= still_missing;
        different &= still_different;
        different = different.into_iter().filter(|number| !comparison.is_as_shown(*number)).collect();
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
    while !topic.scan(&mut |record| comparison.take(record))? {
        if let Some(error) = comparison.failure() {
            return Err(local(error));
        }
        if watch(Progress::new("comparing", comparison.records, None)) == ControlFlow::Break(()) {
            return Err(ViewsTopicError::Lost("it was told to end".to_owned()));
        }
    }
    Ok(())
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
    let mut report = ViewsReport {
        records: comparison.records,
        views: reader.views(),
        missing: missing.len(),
        different: different.len(),
        extra: comparison.strays().len() as u64,
        differences: Vec::new(),
    };
    for (numbers, how) in [(missing, "missing"), (different, "different")] {
        for number in numbers.iter().take(NAMED) {
            if let Some(view) = reader.numbered_view(number).map_err(local)? {
                report.name(&view.id, how);
            }
        }
    }
    for key in comparison.strays().iter().take(NAMED) {
        report.name(&String::from_utf8_lossy(key), "extra");
    }
    Ok(report)
}
