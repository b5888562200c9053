//! The forms in which views go to a topic of views. Each is made of the view as lists show it, and equal views have equal bytes.

use std::fmt;

use prost::Message as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::encode_protobuf;
use super::protobuf_types::views_v1::OptimizationView;
use super::stored_record::CorruptValue;
use crate::domain::Timestamp;

/// The form of the values on a topic of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewsFormat {
    /// The view as lists show it.
    Json,
    /// The same keys, all of whose values are texts, numbers or null: `metrics` and `objectives` are JSON texts. Converters that need a
    /// schema lose nested objects without an error.
    Flat,
    /// The message `OptimizationView` of `proto/`, whose fields are those of the flat form, but for the time, which is a timestamp.
    Protobuf,
}

impl ViewsFormat {
    /// All formats.
    pub const ALL: [ViewsFormat; 3] = [ViewsFormat::Json, ViewsFormat::Flat, ViewsFormat::Protobuf];

    /// Returns the name of the format, as options have it.
    pub const fn name(self) -> &'static str {
        match self {
            ViewsFormat::Json => "json",
            ViewsFormat::Flat => "flat",
            ViewsFormat::Protobuf => "protobuf",
        }
    }

    /// Returns the media type of the values.
    pub const fn content_type(self) -> &'static str {
        match self {
            ViewsFormat::Json | ViewsFormat::Flat => "application/json",
            ViewsFormat::Protobuf => "application/protobuf",
        }
    }

    /// Encodes a view, which is given as lists show it.
    ///
    /// # Errors
    /// [`CorruptValue`] if the view is not what lists show.
    pub fn encode(self, json: Vec<u8>) -> Result<Vec<u8>, CorruptValue> {
        match self {
            ViewsFormat::Json => Ok(json),
            ViewsFormat::Flat => flat(&json),
            ViewsFormat::Protobuf => protobuf(&json),
        }
    }
}

fn flat(json: &[u8]) -> Result<Vec<u8>, CorruptValue> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let fields = parser.deserialize_map(FieldsVisitor).map_err(damaged)?;
    let mut out = Vec::with_capacity(json.len() + json.len() / 4);
    for (name, value) in fields {
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match value.get() {
            object if object.starts_with('{') => serde_json::to_writer(&mut out, object).map_err(damaged)?,
            scalar => out.extend_from_slice(scalar.as_bytes()),
        }
    }
    out.push(b'}');
    Ok(out)
}

fn protobuf(json: &[u8]) -> Result<Vec<u8>, CorruptValue> {
    let view: OptimizationView = serde_json::from_slice(json).map_err(damaged)?;
    Ok(view.encode_to_vec())
}

fn damaged(error: serde_json::Error) -> CorruptValue {
    CorruptValue { what: "view", reason: error.to_string() }
}

/// Reads the time of a view as messages have it. The generated code names this function, and the next.
pub(super) fn time<'de, D: Deserializer<'de>>(json: D) -> Result<Option<prost_types::Timestamp>, D::Error> {
    let text = <&str>::deserialize(json)?;
    let time = Timestamp::parse(text).ok_or_else(|| D::Error::custom(format!("`{text}` is no time")))?;
    Ok(Some(encode_protobuf::time(time)))
}

/// Reads an object of a view, or null, as the text that it is.
pub(super) fn object_text<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    let object = Option::<&RawValue>::deserialize(json)?;
    Ok(object.map(|object| object.get().to_owned()))
}

/// The keys of an object in their order, each with the text of its value.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Vec<(&'de str, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::with_capacity(19);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_flat_view_has_texts_in_place_of_objects_and_all_else_as_it_was() {
        let json = br#"{"id":"a\"b","metrics":{"Time [s]":1e-14,"x":{"y":"\""}},"objectives":null,"run_count":3,"error":"{"}"#;
        let flat = ViewsFormat::Flat.encode(json.to_vec()).unwrap();
        let read: Value = serde_json::from_slice(&flat).unwrap();
        let keys: Vec<_> = serde_json::Deserializer::from_slice(&flat).deserialize_map(FieldsVisitor).unwrap();
        assert_eq!(
            keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            ["id", "metrics", "objectives", "run_count", "error"]
        );
        assert_eq!(read["metrics"], Value::from(r#"{"Time [s]":1e-14,"x":{"y":"\""}}"#), "not a digit is lost");
        assert_eq!(
            (&read["id"], &read["objectives"], &read["error"]),
            (&Value::from("a\"b"), &Value::Null, &Value::from("{"))
        );
        assert_eq!(read["run_count"], Value::from(3));
        assert!(ViewsFormat::Flat.encode(b"[]".to_vec()).is_err());
    }
}
