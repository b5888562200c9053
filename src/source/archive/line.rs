//! A record as one line of JSON, and back: the bytes are exactly the same.
//!
//! UTF-8 is written as text (`"key": "..."`), other bytes in base64 (`"key_base64": "..."`), and null as `"key":
//! null`. So null and empty stay distinct, and `jq` shows what people wrote.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::manifest::stream;
use crate::domain::record::Header;
use crate::domain::{OwnedRecord, PartitionOffset, Record, Topic};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(with = "stream")]
    stream: Topic,
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    timestamp_millis: Option<i64>,
    #[serde(default, skip_serializing_if = "LineText::is_absent")]
    key: LineText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "LineText::is_absent")]
    value: LineText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderLine<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "LineText::is_absent")]
    value: LineText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// The value of a field without the suffix `_base64`.
#[derive(Default)]
enum LineText<'a> {
    #[default]
    Absent,
    Null,
    Of(Cow<'a, str>),
}

impl LineText<'_> {
    fn is_absent(&self) -> bool {
        matches!(self, LineText::Absent)
    }
}

impl Serialize for LineText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LineText::Absent | LineText::Null => serializer.serialize_none(),
            LineText::Of(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for LineText<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.map_or(LineText::Null, |text| LineText::Of(Cow::Owned(text))))
    }
}

/// Appends the record's line, its line feed included. `topic` is the topic's name in the cluster.
pub fn encode(record: &Record<'_>, topic: &str, lines: &mut Vec<u8>) -> serde_json::Result<()> {
    let (key, key_base64) = written(record.key);
    let (value, value_base64) = written(record.value);
    let PartitionOffset { topic: stream, partition, offset } = record.position;
    let line = Line {
        stream,
        topic: Cow::Borrowed(topic),
        partition,
        offset,
        timestamp_millis: record.timestamp_millis,
        key,
        key_base64,
        value,
        value_base64,
        headers: record.headers.iter().map(header_line).collect(),
    };
    serde_json::to_writer(&mut *lines, &line)?;
    lines.push(b'\n');
    Ok(())
}

/// Decodes a line into its record and its topic's name in the cluster. An error describes what is wrong with the
/// line.
pub fn decode(line: &[u8]) -> Result<(OwnedRecord, Cow<'_, str>), String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| format!("is no record: {error}"))?;
    let record = OwnedRecord {
        position: PartitionOffset { topic: line.stream, partition: line.partition, offset: line.offset },
        timestamp_millis: line.timestamp_millis,
        key: read("the key", line.key, line.key_base64)?,
        value: read("the value", line.value, line.value_base64)?,
        headers: line
            .headers
            .into_iter()
            .map(|header| {
                Ok((header.name.into_owned(), read("a header's value", header.value, header.value_base64)?))
            })
            .collect::<Result<_, String>>()?,
    };
    Ok((record, line.topic))
}

fn header_line<'a>(&(name, value): &Header<'a>) -> HeaderLine<'a> {
    let (value, value_base64) = written(value);
    HeaderLine { name: Cow::Borrowed(name), value, value_base64 }
}

fn written(bytes: Option<&[u8]>) -> (LineText<'_>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (LineText::Null, None),
        Some((_, Ok(text))) => (LineText::Of(Cow::Borrowed(text)), None),
        Some((bytes, Err(_))) => (LineText::Absent, Some(BASE64.encode(bytes))),
    }
}

fn read(what: &str, text: LineText<'_>, base64: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (LineText::Null, None) => Ok(None),
        (LineText::Of(text), None) => Ok(Some(text.into_owned().into_bytes())),
        (LineText::Absent, Some(base64)) => {
            BASE64.decode(base64).map(Some).map_err(|error| format!("{what} is not base64: {error}"))
        }
        (LineText::Absent, None) => Err(format!("{what} is missing")),
        (_, Some(_)) => Err(format!("{what} is there as text and in base64")),
    }
}
