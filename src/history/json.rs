//! The answers of `history` for programs: one line of JSON.

use std::io;

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::FieldChange;
use super::names;
use super::no_effect::NoEffect;
use super::scan::Scan;
use super::timeline::{Timeline, TimelineEvent, UndecodableRecord};
use crate::codec::view_json;
use crate::domain::{Optimization, PartitionOffset, Timestamp, TopicPartition, View};
use crate::source::TopicNames;

#[derive(Serialize)]
struct ViewAnswer {
    view: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct HistoryAnswer<'a> {
    id: &'a str,
    /// The view after all events.
    view: Option<Box<RawValue>>,
    events: Vec<EventAnswer<'a>>,
    dead_letters: Vec<DeadLetterAnswer<'a>>,
    warnings: Vec<String>,
    searched: Vec<PartitionAnswer<'a>>,
}

#[derive(Serialize)]
struct EventAnswer<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_index: Option<u32>,
    #[serde(flatten)]
    place: PlaceAnswer<'a>,
    #[serde(serialize_with = "as_text")]
    occurred_at: Timestamp,
    event_id: &'a str,
    sequence: u64,
    #[serde(serialize_with = "by_field")]
    changes: &'a [FieldChange],
    unchanged: Option<NoEffect>,
    irregular: bool,
    mismatched: bool,
}

#[derive(Serialize)]
struct DeadLetterAnswer<'a> {
    #[serde(flatten)]
    place: PlaceAnswer<'a>,
    reason: String,
}

#[derive(Serialize)]
struct PlaceAnswer<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    /// The record's timestamp, RFC 3339.
    timestamp: Option<String>,
}

#[derive(Serialize)]
struct PartitionAnswer<'a> {
    topic: &'a str,
    partition: i32,
    low: i64,
    high: i64,
    records: u64,
}

#[derive(Serialize)]
struct ChangeAnswer<'a> {
    old: &'a RawValue,
    new: &'a RawValue,
}

/// Writes `{"view": ...}`, with the view as a read by id answers it.
pub fn view(timeline: &Timeline<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    line(&ViewAnswer { view: response(&timeline.last)? }, out)
}

/// Writes the whole history as one object.
pub fn history(
    id: &str,
    timeline: &Timeline<'_>,
    scan: &Scan,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let searched = scan.partitions.iter().map(|(&TopicPartition { topic, partition }, scanned)| PartitionAnswer {
        topic: names.get(topic),
        partition,
        low: scanned.watermarks.low,
        high: scanned.watermarks.high,
        records: scanned.records,
    });
    let answer = HistoryAnswer {
        id,
        view: response(&timeline.last)?,
        events: timeline.events.iter().map(|entry| event(entry, names)).collect(),
        dead_letters: timeline.dead_letters.iter().map(|dead_letter| of_dead_letter(dead_letter, names)).collect(),
        warnings: names::warnings(scan, names),
        searched: searched.collect(),
    };
    line(&answer, out)
}

fn line(answer: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.push(b'\n');
    Ok(())
}

/// Returns the view byte for byte as a read by id answers it.
fn response(optimization: &Optimization) -> io::Result<Option<Box<RawValue>>> {
    let view = View::of(optimization).map(|view| RawValue::from_string(view_json::response(&view)));
    Ok(view.transpose()?)
}

fn event<'a>(entry: &'a TimelineEvent<'_>, names: &'a TopicNames) -> EventAnswer<'a> {
    let metadata = &entry.envelope.event.metadata;
    let body = &entry.envelope.event.body;
    EventAnswer {
        event: body.kind(),
        job_id: body.job_id(),
        run_index: names::run_index(body),
        place: place(entry.envelope.position, entry.timestamp_millis, names),
        occurred_at: metadata.occurred_at,
        event_id: &metadata.event_id,
        sequence: metadata.sequence,
        changes: &entry.changes,
        unchanged: entry.unchanged,
        irregular: entry.irregular,
        mismatched: entry.mismatched,
    }
}

fn of_dead_letter<'a>(dead_letter: &UndecodableRecord<'_>, names: &'a TopicNames) -> DeadLetterAnswer<'a> {
    let UndecodableRecord { record, reason } = dead_letter;
    DeadLetterAnswer { place: place(record.position, record.timestamp_millis, names), reason: reason.to_string() }
}

fn place(position: PartitionOffset, timestamp_millis: Option<i64>, names: &TopicNames) -> PlaceAnswer<'_> {
    let PartitionOffset { topic, partition, offset } = position;
    PlaceAnswer { topic: names.get(topic), partition, offset, timestamp: names::time(timestamp_millis) }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn by_field<S: Serializer>(changes: &[FieldChange], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(changes.len()))?;
    for FieldChange { field, old, new } in changes {
        let [old, new] = [old, new].map(|value| serde_json::from_str(value).map_err(S::Error::custom));
        map.serialize_entry(field, &ChangeAnswer { old: old?, new: new? })?;
    }
    map.end()
}
