//! The place of an error in JSON: the line and the column that the decoder names, or else the value of the field that it names.

use std::fmt;

use prost_types::{DescriptorProto, FieldDescriptorProto};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::unknown_fields::inner_message;
use super::super::{DecodeError, EVENT_FIELD, payload_encoding};

/// Depth of objects within objects beyond which no place is looked for.
const DEPTH_LIMIT: usize = 8;

/// Returns the offset in a payload at which its error begins.
pub fn place(message: &DescriptorProto, payload: &[u8], error: &DecodeError) -> Option<usize> {
    // Lines and columns are those of the text behind a byte order mark and white space.
    let text = std::str::from_utf8(payload_encoding::json_text(payload)).ok()?;
    let place = match error {
        DecodeError::Field { field, .. } if field == EVENT_FIELD => unknown(message, text),
        DecodeError::Field { field, reason } => {
            let path: Vec<&str> = field.split('.').collect();
            named_line(text, reason).or_else(|| named(message, text, text, &path, 0))
        }
        DecodeError::Payload { reason, .. } => named_line(text, reason),
        _ => None,
    };
    Some(payload.len() - text.len() + place?)
}

/// Returns the offset of the line and the column that a reason names, both counted from 1; `None` if it names none, or the text has no
/// such line. A column counts bytes.
pub fn named_line(text: &str, reason: &str) -> Option<usize> {
    let (_, rest) = reason.rsplit_once("line ")?;
    let (line, column) = rest.split_once(" column ")?;
    let digits = column.find(|character: char| !character.is_ascii_digit()).unwrap_or(column.len());
    let (line, column): (usize, usize) = (line.parse().ok()?, column[..digits].parse().ok()?);
    let content = text.split('\n').nth(line.checked_sub(1)?)?;
    Some(offset_in(text, content) + column.saturating_sub(1).min(content.len()))
}

/// Returns the offset of a part of a text.
fn offset_in(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// Returns the offset of the value of the last field of a path, or of the innermost object of it that is there. `object` is a part of
/// `text`.
fn named(message: &DescriptorProto, text: &str, object: &str, path: &[&str], depth: usize) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let field = field_of(message, name)?;
    let members = members(object)?;
    let (_, value) = members.iter().rfind(|(name, _)| is_called(field, name))?;
    let inner = match inner_message(field) {
        Some(inner) if depth < DEPTH_LIMIT => named(inner, text, value.get(), rest, depth + 1),
        _ => None,
    };
    Some(inner.unwrap_or(offset_in(text, value.get())))
}

/// Returns true if a field has this name in either spelling.
fn is_called(field: &FieldDescriptorProto, name: &str) -> bool {
    field.name() == name || field.json_name() == name
}

fn field_of<'a>(message: &'a DescriptorProto, name: &str) -> Option<&'a FieldDescriptorProto> {
    message.field.iter().find(|field| is_called(field, name))
}

/// Returns the offset of the first name that the message does not have; where it is written with escapes, that of its value.
fn unknown(message: &DescriptorProto, text: &str) -> Option<usize> {
    let (name, value) = members(text)?.into_iter().find(|(name, _)| field_of(message, name).is_none())?;
    let value = offset_in(text, value.get());
    let before = text[..value].trim_end().trim_end_matches(':').trim_end();
    let begin = before.strip_suffix('"').and_then(|before| before.strip_suffix(name.as_str())).map(str::len);
    Some(begin.map_or(value, |begin| begin - 1))
}

/// Returns the names and values of an object in their order; `None` if the text is none.
fn members(object: &str) -> Option<Vec<(String, &RawValue)>> {
    serde_json::from_str::<Members<'_>>(object).ok().map(|members| members.0)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::named_line;
    use crate::codec::Framing;
    use crate::codec::error_place;
    use crate::domain::{Record, Topic, TopicPartition};

    fn record<'a>(value: &'a [u8], content_type: Option<&'a str>) -> Record<'a> {
        let headers = content_type.map(|text| ("content-type", Some(text.as_bytes()))).into_iter().collect();
        let position = TopicPartition::new(Topic::Optimizations, 0).at(0);
        Record { position, timestamp_millis: None, key: None, value: Some(value), headers }
    }

    /// Checks that the place is where `<` stands in the text, which is taken out. Without one there is no place.
    fn check(marked: &str) {
        let expected = marked.find('<');
        let text = marked.replacen('<', "", 1);
        assert_eq!(error_place(&record(text.as_bytes(), None), Framing::Auto), expected, "{marked}");
        let is_json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // Behind a mark or white space, what is broken is not known to be JSON.
        let begins = [&[0, 0, 0, 0, 7][..], &[0xEF, 0xBB, 0xBF], b"\n \n"];
        for frame in begins.into_iter().take(if is_json { 3 } else { 1 }) {
            let framed = [frame, text.as_bytes()].concat();
            let place = error_place(&record(&framed, None), Framing::Auto);
            assert_eq!(place, expected.map(|place| place + frame.len()), "{frame:?} {marked}");
        }
        if !is_json {
            return;
        }
        let event = format!(r#"{{"specversion":"1.0","id":"e","source":"/a","type":"t","data":{text}}}"#);
        let place = error_place(&record(event.as_bytes(), Some("application/cloudevents+json")), Framing::Auto);
        assert_eq!(place, expected.map(|place| place + event.find(&text).unwrap()), "{event}");
    }

    #[test]
    fn the_place_is_that_of_the_value_or_of_what_it_is_missing_in_or_of_a_name_that_is_unknown() {
        let metadata = r#""metadata":{"eventId":"e","occurredAt":"2026-03-01T09:00:00Z"}"#;
        for rest in [
            r#""optimizationId":"a","deleted":{}"#,
            r#""optimizationId":<"","deleted":{}"#,
            r#""optimization_id":"a","created":{"organizationId":"o","projectId":<""}"#,
            r#""optimizationId":"a","created":<{"organizationId":"o"}"#,
            r#""optimizationId":"a","created":{"organizationId":"o","project_id":"p","createdAt":<"never"}"#,
            r#""optimizationId":"a", <"createdd" : {"any": 1}"#,
            r#""optimizationId":"a","created\u0064":<{"any": 1}"#,
            // serde names the column of the last byte that it has read.
            r#""optimizationId":"a","created":{"name":<5,"organizationId":"o","projectId":"p"}"#,
            "\"optimizationId\":\"a\",\n \"created\":<x",
        ] {
            check(&format!("{{{metadata},{rest}}}"));
        }
        check(r#"{"metadata":{"eventId":"e","occurredAt":<"yesterday"},"optimizationId":"a","deleted":{}}"#);
        check(r#"{"metadata":<{"eventId":"e"},"optimizationId":"a","deleted":{}}"#);
    }

    #[test]
    fn a_line_and_a_column_that_a_reason_names_are_a_place_in_the_text() {
        for (text, reason, expected) in [
            ("{\n  \"jobId\": x\n}", "expected value at line 2 column 12", Some(13)),
            ("\"ä\" x", "at line 1 column 6", Some(5)),
            ("{}", "event: none of created is set", None),
            ("{}", "at line 3 column 1", None),
            // A reason quotes names that producers choose.
            ("{}", "there is `line 1 column 18446744073709551615`", Some(2)),
            ("{}", "there is `line 0 column 0`", None),
        ] {
            assert_eq!(named_line(text, reason), expected, "{reason}");
        }
    }

    proptest! {
        #[test]
        fn a_place_lies_within_the_value(
            text in r#"[\{\}":,a-z\\\n\[\]0-9 ü]{0,40}"#,
            name in prop::sample::select(vec!["metadata", "created", "optimizationId", "createdd"]),
        ) {
            for value in [text.clone(), format!("{{\"{name}\":{text}}}"), format!("{{\"{name}\":\"{text}\"}}")] {
                let place = error_place(&record(value.as_bytes(), None), Framing::Auto);
                prop_assert!(place.is_none_or(|place| place <= value.len()));
            }
        }
    }
}
