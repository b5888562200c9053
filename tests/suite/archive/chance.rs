//! Records of any bytes, and the fates of their writers.

use std::collections::BTreeMap;

use optview::domain::{OwnedRecord, PartitionOffset, Topic};
use proptest::collection::SizeRange;
use proptest::prelude::*;

use super::{PARTITIONS, partition};

/// Generates bytes as producers write them, and others: null, empty, text, text that looks like an escape, and any
/// bytes.
fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    let text = |text: &str| Just(Some(text.as_bytes().to_vec()));
    prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        text("null"),
        text("{\"a\": \"\\u0000\"}\n"),
        text("\u{feff}\u{0}\u{1f}\u{7f}\u{2028}\u{10ffff}\r\n"),
        Just(Some(vec![0xff, 0xfe])),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        any::<String>().prop_map(|text| Some(text.into_bytes())),
    ]
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let topic = prop_oneof![Just(Topic::Optimizations), Just(Topic::Jobs), Just(Topic::MultistartRuns)];
    let headers = proptest::collection::vec((any::<String>(), bytes()), 0..3);
    let (partition, hole) = (0..PARTITIONS, 1..4_i64);
    (topic, partition, hole, any::<Option<i64>>(), bytes(), bytes(), headers).prop_map(
        |(topic, partition, offset, timestamp_millis, key, value, headers)| OwnedRecord {
            position: PartitionOffset { topic, partition, offset },
            timestamp_millis,
            key,
            value,
            headers,
        },
    )
}

/// Generates records with offsets that grow within each partition and have holes.
pub fn records(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<OwnedRecord>> {
    proptest::collection::vec(record(), count).prop_map(|mut records| {
        let mut next = BTreeMap::new();
        for record in &mut records {
            let next = next.entry(partition(record)).or_insert(0);
            *next += record.position.offset;
            record.position.offset = *next - 1;
        }
        records
    })
}

/// The writer's next action after a record is written.
#[derive(Clone, Copy, Debug)]
pub enum WriterAction {
    Nothing,
    Commit,
    Finish,
    /// Kill the process, with this much of the unfinished bytes on the disk.
    Kill(u8),
}

pub fn then() -> impl Strategy<Value = WriterAction> {
    prop_oneof![
        6 => Just(WriterAction::Nothing),
        2 => Just(WriterAction::Commit),
        1 => Just(WriterAction::Finish),
        2 => any::<u8>().prop_map(WriterAction::Kill),
    ]
}
