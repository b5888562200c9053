//! The list filter over stored responses. It finds values by the order in which `push_response` writes the keys,
//! which belongs to the layout, and does not parse the rest.

use super::{CorruptValue, Layout};
use crate::codec::view_json;
use crate::domain::{FieldValue, Status};

/// The values that a stored optimization must have to appear in a list. `None` accepts any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    organization_id: Option<Vec<u8>>,
    /// The project id as JSON, as in the response. `status` and `kind` are JSON too.
    project_id: Option<Vec<u8>>,
    status: Option<Vec<u8>>,
    kind: Option<Vec<u8>>,
}

impl Filter {
    /// Makes the filter of a list from the values as readers write them.
    pub fn new(
        organization_id: Option<&str>,
        project_id: Option<&str>,
        status: Option<Status>,
        kind: Option<&str>,
    ) -> Filter {
        let json = |text| view_json::value(FieldValue::Text(text)).into_bytes();
        Filter {
            organization_id: organization_id.map(|id| id.as_bytes().to_vec()),
            project_id: project_id.map(json),
            status: status.map(|status| json(status.as_str())),
            kind: kind.map(json),
        }
    }

    /// Returns true if readers may see the optimization and its values match the filter.
    pub fn accepts(&self, stored: &[u8], layout: &Layout) -> Result<bool, CorruptValue> {
        let is = |wanted: &Option<Vec<u8>>, found: &[u8]| wanted.as_ref().is_none_or(|wanted| wanted == found);
        if !layout.shown || !is(&self.organization_id, &stored[layout.organization_id.clone()]) {
            return Ok(false);
        }
        if self.project_id.is_none() && self.status.is_none() && self.kind.is_none() {
            return Ok(true);
        }
        let found = FilterFields::find_in(&stored[layout.response.clone()]).ok_or_else(|| {
            CorruptValue::new("optimization", "its response does not begin with the keys that lists ask for")
        })?;
        Ok(is(&self.project_id, found.project_id) && is(&self.status, found.status) && is(&self.kind, found.kind))
    }
}

/// The filtered values of a response, as JSON.
#[derive(Debug, PartialEq, Eq)]
struct FilterFields<'a> {
    project_id: &'a [u8],
    status: &'a [u8],
    kind: &'a [u8],
}

impl<'a> FilterFields<'a> {
    fn find_in(response: &'a [u8]) -> Option<FilterFields<'a>> {
        let mut rest = response;
        take_value(&mut rest, br#"{"id":"#)?;
        take_value(&mut rest, br#","name":"#)?;
        take_value(&mut rest, br#","description":"#)?;
        let project_id = take_value(&mut rest, br#","project_id":"#)?;
        take_value(&mut rest, br#","organization_id":"#)?;
        let status = take_value(&mut rest, br#","status":"#)?;
        let kind = take_value(&mut rest, br#","kind":"#)?;
        Some(FilterFields { project_id, status, kind })
    }
}

/// Takes a key and its value, which is a text or null. Returns the value.
fn take_value<'a>(rest: &mut &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let from = rest.strip_prefix(key)?;
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

    use super::super::push_response;
    use super::*;
    use crate::domain::View;

    fn view<'a>(texts: &'a [String; 3], status: Option<Status>, kind: Option<&'a str>) -> View<'a> {
        let [name, project_id, organization_id] = texts;
        View {
            id: "a\"b",
            name: Some(name),
            description: None,
            project_id,
            organization_id,
            status,
            kind,
            created_by_email: Some(r#"","kind":"other"#),
            ..View::default()
        }
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
            push_response(&view(&texts, status, kind.as_deref()), &mut response);
            let found = FilterFields::find_in(&response).unwrap();
            let json = |text: Option<&str>| serde_json::to_vec(&text).unwrap();
            prop_assert_eq!(found.project_id, json(Some(&texts[1])));
            prop_assert_eq!(found.status, json(status.map(Status::as_str)));
            prop_assert_eq!(found.kind, json(kind.as_deref()));
            prop_assert_eq!(Filter::new(None, Some(&texts[1]), None, None).project_id.unwrap(), found.project_id);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..200_usize) {
            let mut response = Vec::new();
            push_response(&view(&["n".into(), "p".into(), "o".into()], None, Some("k")), &mut response);
            response.truncate(cut);
            let _ = FilterFields::find_in(&response);
            let _ = FilterFields::find_in(&bytes);
        }
    }
}
