//! Free JSON objects (`objectives`, `metrics`): kept as text, each number as the contract wants it.

use std::borrow::Cow;

use prost_types::value::Kind;
use serde::Serialize as _;
use serde_json::value::RawValue;

use crate::domain::event::JsonObject;

/// How deep an object may be nested: as deep as protobuf lets messages be. Readers stop at some depth too, and one view
/// that they cannot parse would cost them the whole page that it is on.
const DEPTH_LIMIT: usize = 100;

/// Makes a valid JSON text compact: no white space, integers as written, doubles in the shortest form that reads back
/// the same. What is compact already is borrowed.
///
/// # Errors
/// A text that is not an object; a number too large for a double; a string that is no Unicode text (`"\ud800"`); an object
/// nested deeper than [`DEPTH_LIMIT`].
pub fn compact(raw: &RawValue) -> Result<JsonObject<'_>, String> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err("is not a JSON object".to_owned());
    }
    let mut compacted = String::with_capacity(text.len());
    let mut rest = text;
    let mut depth = 0;
    while let Some(first) = rest.bytes().next() {
        let len = match first {
            b'"' => {
                let len = string_len(rest);
                check_string(&rest[..len])?;
                len
            }
            b'-' | b'0'..=b'9' => {
                let len = rest.bytes().take_while(|byte| is_of_number(*byte)).count();
                push_number(&mut compacted, &rest[..len])?;
                rest = &rest[len..];
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = &rest[1..];
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_LIMIT {
                    return Err(format!("nests deeper than {DEPTH_LIMIT} levels"));
                }
                1
            }
            b'}' | b']' => {
                depth -= 1;
                1
            }
            _ => 1,
        };
        compacted.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    Ok(JsonObject(if compacted == text { Cow::Borrowed(text) } else { Cow::Owned(compacted) }))
}

/// With both quotes. The text is valid JSON, so the closing quote is there.
fn string_len(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// A raw value's strings have not been looked into: their escapes may name halves of a pair of surrogates.
fn check_string(quoted: &str) -> Result<(), String> {
    if quoted.contains("\\u") && serde_json::from_str::<String>(quoted).is_err() {
        return Err(format!("has the text {quoted:.64}, which is not Unicode"));
    }
    Ok(())
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

fn push_number(out: &mut String, literal: &str) -> Result<(), String> {
    if !literal.contains(['.', 'e', 'E']) {
        out.push_str(literal);
        return Ok(());
    }
    let number: f64 = serde_json::from_str(literal)
        .map_err(|_| format!("has the number {literal:.64}, which is too large for a double"))?;
    push_double(out, number);
    Ok(())
}

/// Never NaN: what JSON cannot say is null.
fn push_double(out: &mut String, number: f64) {
    // serde_json writes the shortest form that reads back the same, and null for what is not finite.
    out.push_str(&serde_json::to_string(&number).unwrap_or_else(|_| "null".to_owned()));
}

/// The text of a protobuf struct. Its numbers are all doubles: a whole one is written as the integer that it means.
/// Keys are in their sorted order, so that one event always gives one text.
pub fn from_struct(object: &prost_types::Struct) -> JsonObject<'static> {
    let mut text = String::new();
    push_fields(&mut text, object);
    JsonObject(Cow::Owned(text))
}

fn push_fields(out: &mut String, object: &prost_types::Struct) {
    out.push('{');
    for (at, (key, value)) in object.fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, key);
        out.push(':');
        push_value(out, value);
    }
    out.push('}');
}

fn push_value(out: &mut String, value: &prost_types::Value) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Kind::NumberValue(number)) => push_struct_number(out, *number),
        Some(Kind::StringValue(text)) => push_string(out, text),
        Some(Kind::StructValue(object)) => push_fields(out, object),
        Some(Kind::ListValue(list)) => {
            out.push('[');
            for (at, value) in list.values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_value(out, value);
            }
            out.push(']');
        }
    }
}

/// Whole numbers up to 2^53 are exact in a double; beyond, the digits would claim a precision that is not there.
fn push_struct_number(out: &mut String, number: f64) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT && !(number == 0.0 && number.is_sign_negative()) {
        out.push_str(&format!("{number:.0}"));
    } else {
        push_double(out, number);
    }
}

fn push_string(out: &mut String, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    let written = text.serialize(&mut serde_json::Serializer::new(&mut bytes));
    debug_assert!(written.is_ok(), "a string always serializes into memory");
    out.push_str(&String::from_utf8_lossy(&bytes));
}
