//! The fields of a stored response that lists need. They are found by the order in which `push_response` writes the keys, which
//! belongs to the layout, and nothing else is parsed.

use std::ops::Range;

use super::{CorruptValue, Layout};
use crate::domain::View;

/// The fields that lists filter by, as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilterFields<'a> {
    pub name: &'a [u8],
    pub project_id: &'a [u8],
    pub status: &'a [u8],
    pub kind: &'a [u8],
    pub created_at: &'a [u8],
}

/// The fields that explain a status, as JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct StatusFields<'a> {
    /// The id of the optimization.
    pub id: &'a [u8],
    /// The status, or null.
    pub status: &'a [u8],
    /// The reason of a failure for people, or null.
    pub error: &'a [u8],
    /// The reason of a failure for programs, or null.
    pub error_code: &'a [u8],
}

impl<'a> FilterFields<'a> {
    pub(super) fn find_in(stored: &'a [u8], layout: &Layout) -> Result<FilterFields<'a>, CorruptValue> {
        FilterFields::find(&stored[layout.response.clone()]).ok_or_else(unknown_keys)
    }

    fn find(response: &'a [u8]) -> Option<FilterFields<'a>> {
        let mut rest = response;
        take_field(&mut rest, "id")?;
        let name = take_field(&mut rest, "name")?;
        take_field(&mut rest, "description")?;
        let project_id = take_field(&mut rest, "project_id")?;
        take_field(&mut rest, "organization_id")?;
        let status = take_field(&mut rest, "status")?;
        let kind = take_field(&mut rest, "kind")?;
        let created_at = take_field(&mut rest, "created_at")?;
        Some(FilterFields { name, project_id, status, kind, created_at })
    }
}

impl<'a> StatusFields<'a> {
    /// Finds the fields in a stored optimization that readers may see.
    ///
    /// # Errors
    /// [`CorruptValue`] if the response does not have the keys in their order.
    pub fn find_in(stored: &'a [u8], layout: &Layout) -> Result<StatusFields<'a>, CorruptValue> {
        StatusFields::find(stored, layout).ok_or_else(unknown_keys)
    }

    fn find(stored: &'a [u8], layout: &Layout) -> Option<StatusFields<'a>> {
        let mut rest = &stored[layout.response.clone()];
        let id = take_field(&mut rest, "id")?;
        for name in ["name", "description", "project_id", "organization_id"] {
            take_field(&mut rest, name)?;
        }
        let status = take_field(&mut rest, "status")?;
        let mut rest = stored.get(layout.objectives_null.end..layout.response.end)?;
        let error = take_field(&mut rest, "error")?;
        let error_code = take_field(&mut rest, "error_code")?;
        Some(StatusFields { id, status, error, error_code })
    }
}

/// Returns the id of the project in a stored optimization that readers may see.
///
/// # Errors
/// [`CorruptValue`] if the response does not have the keys in their order.
pub fn project_id(stored: &[u8], layout: &Layout) -> Result<String, CorruptValue> {
    let fields = FilterFields::find_in(stored, layout)?;
    serde_json::from_slice(fields.project_id).map_err(|error| CorruptValue::new("optimization", error))
}

/// Returns the two parts of a stored response that are left without its metrics and objectives.
///
/// # Errors
/// [`CorruptValue`] if the response does not have the keys in their order.
pub fn without_results(stored: &[u8], layout: &Layout) -> Result<[Range<usize>; 2], CorruptValue> {
    let response = &stored[layout.response.clone()];
    let mut rest = response;
    // The values before the metrics are texts or null.
    let mut before_metrics = View::hidden_fields().into_iter().take_while(|field| field.name != "metrics");
    let found = before_metrics.try_for_each(|field| take_field(&mut rest, field.name).map(drop));
    if found.is_none() || !rest.starts_with(br#","metrics":"#) || layout.objectives_null.end > layout.response.end
    {
        return Err(unknown_keys());
    }
    let before = layout.response.start..layout.response.end - rest.len();
    Ok([before, layout.objectives_null.end..layout.response.end])
}

fn unknown_keys() -> CorruptValue {
    CorruptValue::new("optimization", "its response does not have the keys that lists ask for, in their order")
}

/// Takes a field with its value, which is a text or null. Returns the value.
fn take_field<'a>(rest: &mut &'a [u8], name: &str) -> Option<&'a [u8]> {
    let all = *rest;
    let from = all
        .strip_prefix(b"{\"")
        .or_else(|| all.strip_prefix(b",\""))?
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"\":")?;
    let length = if from.starts_with(b"null") { 4 } else { text_len(from)? };
    let (value, after) = from.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

/// Returns the length of the text at the beginning of `json`, its quotes included.
fn text_len(json: &[u8]) -> Option<usize> {
    let inner = json.strip_prefix(b"\"")?;
    let mut is_escaped = false;
    let end = inner.iter().position(|&byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{json_text, layout, push_response};
    use super::*;
    use crate::domain::Status;

    fn view<'a>(texts: &'a [String; 3], status: Option<Status>, kind: Option<&'a str>) -> View<'a> {
        let [name, project_id, organization_id] = texts;
        View {
            id: "a\"b",
            name: Some(name),
            project_id,
            organization_id,
            status,
            kind,
            created_by_email: Some(r#"","kind":"other"#),
            metrics: Some(r#"{"objectives":null,"error":{}}"#),
            error: Some(name),
            error_code: kind,
            ..View::default()
        }
    }

    /// Returns a stored record with a response, and its layout.
    fn stored(response: &[u8], null: usize) -> (Vec<u8>, Layout) {
        let mut stored = vec![0; 24];
        (stored[0], stored[1]) = (super::super::RECORD_LAYOUT, 1);
        stored[4..8].copy_from_slice(&u32::try_from(response.len()).unwrap().to_le_bytes());
        stored[8..12].copy_from_slice(&u32::try_from(null).unwrap().to_le_bytes());
        stored.extend_from_slice(response);
        // The registers follow.
        stored.extend_from_slice(b"registers");
        let layout = layout(&stored).unwrap();
        (stored, layout)
    }

    fn text() -> impl Strategy<Value = String> {
        // Quotes, backslashes and texts that look like keys could mislead the search.
        prop_oneof![any::<String>(), r#"[\\",:a-c{}\n]{0,12}"#, Just(r#"","project_id":"x"#.to_owned())]
    }

    proptest! {
        #[test]
        fn what_a_response_says_is_what_was_written(
            texts in [text(), text(), text()],
            kind in proptest::option::of(text()),
            status in proptest::option::of(0..5_usize),
        ) {
            let status = status.map(|at| Status::ALL[at]);
            let mut response = Vec::new();
            let null = push_response(&view(&texts, status, kind.as_deref()), &mut response);
            let (stored, layout) = stored(&response, null);
            let found = FilterFields::find_in(&stored, &layout).unwrap();
            let json = |text: Option<&str>| serde_json::to_vec(&text).unwrap();
            prop_assert_eq!(found.name, json(Some(&texts[0])));
            prop_assert_eq!(found.project_id, json(Some(&texts[1])));
            prop_assert_eq!(found.status, json(status.map(Status::as_str)));
            prop_assert_eq!(found.kind, json(kind.as_deref()));
            prop_assert_eq!(found.created_at, br#""1970-01-01T00:00:00Z""#);
            prop_assert_eq!(json_text(&texts[1]), found.project_id);
            let found = StatusFields::find_in(&stored, &layout).unwrap();
            let expected = StatusFields {
                id: br#""a\"b""#,
                status: &json(status.map(Status::as_str)),
                error: &json(Some(&texts[0])),
                error_code: &json(kind.as_deref()),
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_view_without_its_results_is_the_view_without_two_keys(
            texts in [text(), text(), text()],
            kind in proptest::option::of(text()),
        ) {
            let mut response = Vec::new();
            let null = push_response(&view(&texts, None, kind.as_deref()), &mut response);
            let (stored, layout) = stored(&response, null);
            let [before, after] = without_results(&stored, &layout).unwrap();
            let short: Value = serde_json::from_slice(&[&stored[before], &stored[after]].concat()).unwrap();
            let mut expected: Value = serde_json::from_slice(&response).unwrap();
            let fields = expected.as_object_mut().unwrap();
            prop_assert!(fields.remove("metrics").is_some() && fields.remove("objectives").is_some());
            prop_assert_eq!(short, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..400_usize, null in 0..400_usize) {
            let mut response = Vec::new();
            push_response(&view(&["n".into(), "p".into(), "o".into()], None, Some("k")), &mut response);
            response.truncate(cut);
            for response in [&response, &bytes] {
                let (stored, layout) = stored(response, null.min(response.len() + 5));
                let _ = FilterFields::find_in(&stored, &layout);
                let _ = StatusFields::find_in(&stored, &layout);
                let _ = without_results(&stored, &layout);
            }
        }
    }
}
