//! The checks of what a topic of views promises, beside its store and the history that both were made from.

use std::collections::BTreeMap;
use std::path::Path;

use optview::data_dir::PublishedNote;
use optview::store::{ListQuery, OpenStore};
use proptest::prelude::*;
use serde_json::Value;

use super::expected;
use super::script::Partition;
use super::views_topic::{FakeTopic, MarkOrView};
use crate::fixtures;

/// The share of its events that a view has. Each part only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measure {
    name: usize,
    job: usize,
    runs: u64,
    is_deleted: bool,
}

impl Measure {
    fn of(view: Option<&[u8]>) -> Measure {
        let Some(view) = view else { return Measure { is_deleted: true, ..Measure::default() } };
        let view: Value = serde_json::from_slice(view).unwrap();
        let job = ["queued", "running", "succeeded"].iter().position(|status| view["status"] == *status);
        Measure {
            name: view["name"].as_str().map_or(0, |name| name.parse().unwrap()),
            job: job.map_or(0, |job| job + 1),
            runs: view["run_count"].as_u64().unwrap(),
            is_deleted: false,
        }
    }

    fn includes(&self, other: &Measure) -> bool {
        self.is_deleted
            || !other.is_deleted && self.name >= other.name && self.job >= other.job && self.runs >= other.runs
    }
}

/// Checks that no key of the topic goes back, and that versions grow over all of it.
pub fn check_monotone(topic: &FakeTopic) -> Result<(), TestCaseError> {
    let mut last: BTreeMap<Vec<u8>, Measure> = BTreeMap::new();
    let mut version = 0;
    for record in topic.records() {
        let MarkOrView::View { key, value, version: given } = record else { continue };
        prop_assert!(given > version, "version {given} after {version}");
        version = given;
        let measure = Measure::of(value.as_deref());
        if let Some(before) = last.insert(key.clone(), measure) {
            let key = String::from_utf8_lossy(&key);
            prop_assert!(measure.includes(&before), "{key} goes back from {before:?} to {measure:?}");
        }
    }
    Ok(())
}

/// Checks that the topic has everything that the checkpoint of a store covers, if the store is noted as published.
pub fn check_complete(directory: &Path, history: &[Partition], topic: &FakeTopic) -> Result<bool, TestCaseError> {
    let OpenStore { writer, path, .. } = fixtures::open(directory);
    let checkpoint = writer.checkpoint_at_open().clone();
    let is_noted = PublishedNote::read(&path).unwrap().is_some();
    drop(writer);
    if !is_noted {
        return Ok(false);
    }
    let covered = |partition: &Partition, offset: i64| {
        let of_partition = checkpoint.iter().find(|(name, _)| {
            (name.topic.as_ref(), name.partition) == (partition.topic.default_name(), partition.number)
        });
        of_partition.is_none_or(|(_, held)| offset >= held.next_offset)
    };
    let fold = expected(history, |partition, offset| covered(partition, offset));
    let on_topic = topic.compacted();
    for id in fold.optimizations.keys() {
        let Some(view) = fold.response(id) else { continue };
        let view = serde_json::to_vec(&view).unwrap();
        let Some(value) = on_topic.get(id.as_bytes()) else {
            return Err(TestCaseError::fail(format!("{id} is covered by the checkpoint and not on the topic")));
        };
        let (covered, published) = (Measure::of(Some(&view)), Measure::of(value.as_deref()));
        prop_assert!(
            published.includes(&covered),
            "{id}: the checkpoint has {covered:?}, the topic {published:?}"
        );
    }
    Ok(true)
}

/// Checks that the topic has the views of a store, to the byte, and nothing else.
pub fn check_equal(directory: &Path, topic: &FakeTopic) -> Result<(), TestCaseError> {
    let OpenStore { writer, .. } = fixtures::open(directory);
    let reader = writer.reader();
    let shown: BTreeMap<Vec<u8>, Vec<u8>> = (0..reader.next_number())
        .filter_map(|number| reader.numbered_view(number).unwrap())
        .filter_map(|view| Some((view.id.as_bytes().to_vec(), view.shown?.json)))
        .collect();
    let listed = reader.list(&ListQuery { limit: 100, ..ListQuery::default() }).unwrap().total;
    prop_assert!(listed > 0 && listed == shown.len() as u64);
    let on_topic: BTreeMap<_, _> =
        topic.compacted().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    prop_assert_eq!(on_topic, shown);
    drop(writer);
    Ok(())
}
