//! Encodes views as JSON, as readers get them.

use std::io::Write as _;

use crate::domain::{FieldValue, View};

/// Appends the contract's fields as a JSON object. Their order belongs to the layout of stored records, because lists find values by
/// it. Returns the position of `null` in place of the objectives, which only lists fill in.
pub fn push_response(view: &View<'_>, out: &mut Vec<u8>) -> usize {
    let mut objectives_null = 0;
    let mut before: &[u8] = b"{\"";
    for field in view.fields() {
        out.extend_from_slice(before);
        before = b",\"";
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        if field.name == "objectives" {
            objectives_null = out.len();
            push_value(FieldValue::Null, out);
        } else {
            push_value(field.value, out);
        }
    }
    out.push(b'}');
    objectives_null
}

/// Returns a view as a read by id answers it.
pub fn response(view: &View<'_>) -> String {
    let mut out = Vec::new();
    push_response(view, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns a view as lists show it: with its objectives.
pub fn listed(view: &View<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let null = push_response(view, &mut out);
    if let Some(objectives) = view.objectives {
        out.splice(null..null + 4, objectives.bytes());
    }
    out
}

/// Returns the value of a field as JSON.
pub fn value(value: FieldValue<'_>) -> String {
    let mut out = Vec::new();
    push_value(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

// Writing into memory cannot fail, so the results below are dropped.
fn push_value(value: FieldValue<'_>, out: &mut Vec<u8>) {
    match value {
        FieldValue::Null => out.extend_from_slice(b"null"),
        FieldValue::Text(text) => drop(serde_json::to_writer(out, text)),
        FieldValue::Time(time) => drop(write!(out, "\"{time}\"")),
        FieldValue::Number(number) => drop(write!(out, "{number}")),
        // The text goes out as it is, so that every number stays as it was written.
        FieldValue::Object(text) => out.extend_from_slice(text.as_bytes()),
    }
}
