//! Free JSON objects (`objectives`, `metrics`), kept as text with each number in the contract's form.

use std::borrow::Cow;
use std::collections::HashSet;

use prost_types::value::Kind;
use serde::Serialize as _;
use serde_json::value::RawValue;

use super::duplicate_keys;
use super::non_finite_numbers::string_len;
use crate::domain::event::JsonObject;

/// Maximum nesting depth of an object, which is protobuf's own limit for messages. Readers stop at some depth too,
/// and one view that they cannot parse would cost them the whole page that it is on.
const DEPTH_LIMIT: usize = 100;

/// Makes a valid JSON text compact: no white space, integers as written, doubles in the shortest form that reads
/// back the same, the last value of each key, and null for numbers that no double holds. Returns the number of
/// those nulls too. A text that is compact already is borrowed.
///
/// # Errors
/// Returns an error for a text that is not an object, for a string that is not Unicode text (`"\ud800"`), and for
/// an object nested deeper than [`DEPTH_LIMIT`].
pub fn compact(raw: &RawValue) -> Result<(JsonObject<'_>, u32), String> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err("is not a JSON object".to_owned());
    }
    let mut compacted = CompactJson::of(text)?;
    if compacted.has_doubled_keys {
        compacted =
            CompactJson::of(&duplicate_keys::without_duplicate_keys(text).map_err(|error| error.to_string())?)?;
    }
    let CompactJson { text: compacted, nulled_numbers, .. } = compacted;
    let object = if compacted == text { Cow::Borrowed(text) } else { Cow::Owned(compacted) };
    Ok((JsonObject(object), nulled_numbers))
}

struct CompactJson {
    text: String,
    nulled_numbers: u32,
    has_doubled_keys: bool,
}

impl CompactJson {
    fn of(text: &str) -> Result<CompactJson, String> {
        let mut compacted =
            CompactJson { text: String::with_capacity(text.len()), nulled_numbers: 0, has_doubled_keys: false };
        let mut keys = KeyTracker::default();
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            let len = match first {
                b'"' => {
                    let len = string_len(rest);
                    check_string(&rest[..len])?;
                    if rest[len..].trim_ascii_start().starts_with(':') {
                        compacted.has_doubled_keys |= !keys.is_new(&rest[..len]);
                    }
                    len
                }
                b'-' | b'0'..=b'9' => {
                    let len = rest.bytes().take_while(|byte| is_number_byte(*byte)).count();
                    compacted.push_number(&rest[..len]);
                    rest = &rest[len..];
                    continue;
                }
                b' ' | b'\t' | b'\n' | b'\r' => {
                    rest = &rest[1..];
                    continue;
                }
                b'{' | b'[' => {
                    keys.enter()?;
                    1
                }
                b'}' | b']' => {
                    keys.leave();
                    1
                }
                _ => 1,
            };
            compacted.text.push_str(&rest[..len]);
            rest = &rest[len..];
        }
        Ok(compacted)
    }

    fn push_number(&mut self, literal: &str) {
        if !literal.contains(['.', 'e', 'E']) {
            self.text.push_str(literal);
            return;
        }
        // A number that is too large for a double parses as infinite.
        push_double(&mut self.text, literal.parse().unwrap_or(f64::NAN), &mut self.nulled_numbers);
    }
}

/// The keys of the objects and lists that are open.
#[derive(Default)]
struct KeyTracker<'a> {
    /// The number of each open object or list. They are counted as they are entered.
    open: Vec<u32>,
    entered: u32,
    seen: HashSet<(u32, Cow<'a, str>), foldhash::fast::RandomState>,
}

impl<'a> KeyTracker<'a> {
    fn enter(&mut self) -> Result<(), String> {
        self.entered += 1;
        self.open.push(self.entered);
        if self.open.len() > DEPTH_LIMIT {
            return Err(format!("nests deeper than {DEPTH_LIMIT} levels"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.open.pop();
    }

    /// Returns true if this is the first key of this name in its object.
    fn is_new(&mut self, quoted: &'a str) -> bool {
        let key = match quoted.contains('\\') {
            true => serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned),
            false => Cow::Borrowed(&quoted[1..quoted.len() - 1]),
        };
        self.seen.insert((self.open.last().copied().unwrap_or_default(), key))
    }
}

/// Checks a string whose escapes may name halves of a surrogate pair: serde does not look into the strings of a
/// raw value.
fn check_string(quoted: &str) -> Result<(), String> {
    if quoted.contains("\\u") && serde_json::from_str::<String>(quoted).is_err() {
        return Err(format!("has the text {quoted:.64}, which is not Unicode"));
    }
    Ok(())
}

fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

/// Writes a number, or null for one that JSON cannot express, which is counted.
fn push_double(out: &mut String, number: f64, nulled_numbers: &mut u32) {
    *nulled_numbers += u32::from(!number.is_finite());
    // serde_json writes the shortest form that reads back the same, and null for a number that is not finite.
    out.push_str(&serde_json::to_string(&number).unwrap_or_else(|_| "null".to_owned()));
}

/// Returns the text of a protobuf struct. Its numbers are all doubles, so that a whole one is written as an
/// integer. Keys are sorted, so that one event always gives one text. `nulled_numbers` counts the numbers that
/// become null because JSON has no such number.
pub fn from_struct(object: &prost_types::Struct, nulled_numbers: &mut u32) -> JsonObject<'static> {
    let mut text = String::new();
    push_fields(&mut text, object, nulled_numbers);
    JsonObject(Cow::Owned(text))
}

fn push_fields(out: &mut String, object: &prost_types::Struct, nulled_numbers: &mut u32) {
    out.push('{');
    for (at, (key, value)) in object.fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_string(out, key);
        out.push(':');
        push_value(out, value, nulled_numbers);
    }
    out.push('}');
}

fn push_value(out: &mut String, value: &prost_types::Value, nulled_numbers: &mut u32) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Kind::NumberValue(number)) => push_struct_number(out, *number, nulled_numbers),
        Some(Kind::StringValue(text)) => push_string(out, text),
        Some(Kind::StructValue(object)) => push_fields(out, object, nulled_numbers),
        Some(Kind::ListValue(list)) => {
            out.push('[');
            for (at, value) in list.values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_value(out, value, nulled_numbers);
            }
            out.push(']');
        }
    }
}

/// Writes a double as an integer if it is whole and at most 2^53. Beyond that, the digits would claim a precision
/// that a double does not have.
fn push_struct_number(out: &mut String, number: f64, nulled_numbers: &mut u32) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT && !(number == 0.0 && number.is_sign_negative()) {
        out.push_str(&format!("{number:.0}"));
    } else {
        push_double(out, number, nulled_numbers);
    }
}

fn push_string(out: &mut String, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    let written = text.serialize(&mut serde_json::Serializer::new(&mut bytes));
    debug_assert!(written.is_ok(), "a string always serializes into memory");
    out.push_str(&String::from_utf8_lossy(&bytes));
}
