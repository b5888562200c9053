//! The answer for programs.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::Change;
use super::scan::Scan;
use super::timeline::{DeadLetter, Timeline, Told};
use super::unchanged::Unchanged;
use super::words;
use crate::codec::stored_record;
use crate::domain::{Optimization, Position, Timestamp};
use crate::source::TopicNames;

#[derive(Serialize)]
struct ViewAnswer {
    view: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct HistoryAnswer<'a> {
    id: &'a str,
    /// After all events.
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
    changes: &'a [Change],
    unchanged: Option<Unchanged>,
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
    /// The record's.
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
    old: &'a super::fields::Value,
    new: &'a super::fields::Value,
}

/// `{"view": ...}`, as a read by id answers.
pub fn view(timeline: &Timeline<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    line(&ViewAnswer { view: response(&timeline.last)? }, out)
}

/// All of it, as one object.
pub fn history(
    id: &str,
    timeline: &Timeline<'_>,
    scan: &Scan,
    names: &TopicNames,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let searched = scan.partitions.iter().map(|(&(topic, partition), held)| PartitionAnswer {
        topic: names.get(topic),
        partition,
        low: held.watermarks.low,
        high: held.watermarks.high,
        records: held.records,
    });
    let answer = HistoryAnswer {
        id,
        view: response(&timeline.last)?,
        events: timeline.events.iter().map(|told| event(told, names)).collect(),
        dead_letters: timeline.dead_letters.iter().map(|dead_letter| of_dead_letter(dead_letter, names)).collect(),
        warnings: words::warnings(scan, names),
        searched: searched.collect(),
    };
    line(&answer, out)
}

fn line(answer: &impl Serialize, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.push(b'\n');
    Ok(())
}

/// What a read by id answers, byte for byte: it is made as the store makes it.
fn response(optimization: &Optimization) -> io::Result<Option<Box<RawValue>>> {
    let mut encoded = Vec::new();
    stored_record::encode_optimization(optimization, &mut encoded).map_err(io::Error::other)?;
    let layout = stored_record::layout(&encoded).map_err(io::Error::other)?;
    Ok(if layout.shown { Some(serde_json::from_slice(&encoded[layout.response])?) } else { None })
}

fn event<'a>(told: &'a Told<'_>, names: &'a TopicNames) -> EventAnswer<'a> {
    let metadata = &told.envelope.event.metadata;
    let body = &told.envelope.event.body;
    EventAnswer {
        event: body.kind(),
        job_id: words::job_id(body),
        run_index: words::run_index(body),
        place: place(told.envelope.position, told.timestamp_millis, names),
        occurred_at: metadata.occurred_at,
        event_id: &metadata.event_id,
        sequence: metadata.sequence,
        changes: &told.changes,
        unchanged: told.unchanged,
        irregular: told.irregular,
        mismatched: told.mismatched,
    }
}

fn of_dead_letter<'a>(dead_letter: &DeadLetter<'_>, names: &'a TopicNames) -> DeadLetterAnswer<'a> {
    let DeadLetter { kept, reason } = dead_letter;
    DeadLetterAnswer { place: place(kept.position, kept.timestamp_millis, names), reason: reason.to_string() }
}

fn place(position: Position, timestamp_millis: Option<i64>, names: &TopicNames) -> PlaceAnswer<'_> {
    let Position { topic, partition, offset } = position;
    PlaceAnswer { topic: names.get(topic), partition, offset, timestamp: words::time(timestamp_millis) }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn by_field<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(changes.iter().map(|Change { field, old, new }| (field, ChangeAnswer { old, new })))
}
