//! Removes duplicate keys from free JSON objects. Readers would otherwise get both values and each choose another
//! one. As in most parsers, the last value counts, in the place of the first key.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Returns the same JSON text with each key once in every object. The text must be valid, and its nesting shallow
/// enough for recursion.
pub fn without_duplicate_keys(text: &str) -> serde_json::Result<String> {
    let mut out = String::with_capacity(text.len());
    write(text, &mut out)?;
    Ok(out)
}

fn write(text: &str, out: &mut String) -> serde_json::Result<()> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let Fields(fields) = serde_json::from_str(text)?;
            out.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&serde_json::to_string(&key)?);
                out.push(':');
                write(value.get(), out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (at, value) in values.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(value.get(), out)?;
            }
            out.push(']');
        }
        _ => out.push_str(text),
    }
    Ok(())
}

/// An object's fields, in the order in which their keys first came.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'a>, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                let mut places = HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    let place = *places.entry(key.clone()).or_insert(fields.len());
                    match fields.get_mut(place) {
                        Some(field) => field.1 = value,
                        None => fields.push((key, value)),
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_key_counts_where_the_first_stood() {
        for (text, expected) in [
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"a":1,"\u0061":{"b":1,"b":[{"c":1,"c":1e2}]}}"#, r#"{"a":{"b":[{"c":1e2}]}}"#),
            (r#"{"\"":1,"\"":2}"#, r#"{"\"":2}"#),
            (r#"{}"#, r#"{}"#),
        ] {
            assert_eq!(without_duplicate_keys(text).unwrap(), expected);
        }
    }
}
