//! The parameters of a list, from the query string to the query that the store gets. Mistakes are reported in FastAPI's form,
//! which existing clients know: all at once, each with its location and its type.

use axum::extract::Query;
use axum::http::Uri;

use super::errors::{HttpError, Mistake};
use crate::domain::Status;
use crate::store::ListQuery;

pub const DEFAULT_LIMIT: usize = 100;
pub const MAX_LIMIT: usize = 1_000;

/// The parameters of a list, parsed and within their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParameters {
    pub project_id: Option<String>,
    pub status: Option<Status>,
    pub kind: Option<String>,
    /// Number of views on the page, 1 to 1000.
    pub limit: usize,
    /// Number of views that are skipped. It is at most `i64::MAX`, so that adding the limit to it cannot overflow.
    pub offset: usize,
}

impl ListParameters {
    /// Parses the query string. The last of several values of a parameter counts; unknown parameters are ignored.
    pub fn of(uri: &Uri) -> Result<ListParameters, HttpError> {
        // Pairs of texts are never refused: bytes that are not UTF-8 are replaced, and invalid escapes are taken as they are.
        let pairs =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
        let mut parameters = ListParameters::default();
        let (mut status, mut limit, mut offset) = (None, None, None);
        for (name, value) in pairs {
            match name.as_str() {
                "project_id" => parameters.project_id = Some(value),
                "kind" => parameters.kind = Some(value),
                "status" => status = Some(value),
                "limit" => limit = Some(value),
                "offset" => offset = Some(value),
                _ => {}
            }
        }
        let mut mistakes = Vec::new();
        if let Some(status) = status {
            parameters.status = accepted(status_of(&status), &mut mistakes);
        }
        if let Some(limit) = limit.and_then(|limit| accepted(limit_of(&limit), &mut mistakes)) {
            parameters.limit = limit;
        }
        if let Some(offset) = offset.and_then(|offset| accepted(offset_of(&offset), &mut mistakes)) {
            parameters.offset = offset;
        }
        if mistakes.is_empty() { Ok(parameters) } else { Err(HttpError::Invalid(mistakes)) }
    }

    /// Returns the store's query for a reader of this organization, or of any.
    pub fn query<'a>(&'a self, organization_id: Option<&'a str>) -> ListQuery<'a> {
        ListQuery {
            organization_id,
            project_id: self.project_id.as_deref(),
            status: self.status,
            kind: self.kind.as_deref(),
            limit: self.limit,
            offset: self.offset,
        }
    }
}

impl Default for ListParameters {
    fn default() -> ListParameters {
        ListParameters { project_id: None, status: None, kind: None, limit: DEFAULT_LIMIT, offset: 0 }
    }
}

fn accepted<T>(read: Result<T, Mistake>, mistakes: &mut Vec<Mistake>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn status_of(text: &str) -> Result<Status, Mistake> {
    let status = Status::ALL.into_iter().find(|status| status.as_str() == text);
    status.ok_or_else(|| {
        let [others @ .., last] = Status::ALL.map(|status| format!("'{}'", status.as_str()));
        mistake("status", format!("Input should be {} or {last}", others.join(", ")), "enum")
    })
}

fn limit_of(text: &str) -> Result<usize, Mistake> {
    match integer("limit", text)? {
        ..1 => Err(at_least("limit", 1)),
        limit => match usize::try_from(limit) {
            Ok(limit @ ..=MAX_LIMIT) => Ok(limit),
            _ => {
                let msg = format!("Input should be less than or equal to {MAX_LIMIT}");
                Err(mistake("limit", msg, "less_than_equal"))
            }
        },
    }
}

fn offset_of(text: &str) -> Result<usize, Mistake> {
    usize::try_from(integer("offset", text)?).map_err(|_| at_least("offset", 0))
}

fn at_least(name: &'static str, least: usize) -> Mistake {
    mistake(name, format!("Input should be greater than or equal to {least}"), "greater_than_equal")
}

/// Parses a decimal integer with an optional sign and spaces around it. A number that is too large for 64 bits becomes the
/// nearest that fits.
fn integer(name: &'static str, text: &str) -> Result<i64, Mistake> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let msg = "Input should be a valid integer, unable to parse string as an integer".to_owned();
        return Err(mistake(name, msg, "int_parsing"));
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Ok(if negative { -magnitude } else { magnitude })
}

fn mistake(name: &'static str, msg: String, kind: &'static str) -> Mistake {
    Mistake { loc: ["query", name], msg, kind }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<ListParameters, Vec<(&'static str, &'static str)>> {
        let uri: Uri = format!("/optimizations?{query}").parse().unwrap();
        ListParameters::of(&uri).map_err(|error| match error {
            HttpError::Invalid(mistakes) => {
                mistakes.iter().map(|mistake| (mistake.loc[1], mistake.kind)).collect()
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn parameters_are_read() {
        let default = ListParameters::default;
        let text = |text: &str| Some(text.to_owned());
        for (query, expected) in [
            ("", default()),
            ("&&=&unknown=1&limits=0", default()),
            ("project_id=a+b%20c%2Fd%26", ListParameters { project_id: text("a b c/d&"), ..default() }),
            ("project_id=%FF%zz", ListParameters { project_id: text("\u{FFFD}%zz"), ..default() }),
            ("project_id=&kind", ListParameters { project_id: text(""), kind: text(""), ..default() }),
            ("kind=a&kind=b", ListParameters { kind: text("b"), ..default() }),
            ("status=bad&status=failed", ListParameters { status: Some(Status::Failed), ..default() }),
            ("limit=1&offset=0", ListParameters { limit: 1, ..default() }),
            ("limit=1000&offset=7", ListParameters { limit: 1000, offset: 7, ..default() }),
            ("limit=+%2B5+&offset=-0", ListParameters { limit: 5, ..default() }),
            (
                "offset=9999999999999999999999",
                ListParameters { offset: usize::try_from(i64::MAX).unwrap(), ..default() },
            ),
        ] {
            assert_eq!(read(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        for (query, expected) in [
            ("limit=0", &[("limit", "greater_than_equal")][..]),
            ("limit=-99999999999999999999", &[("limit", "greater_than_equal")]),
            ("limit=1001", &[("limit", "less_than_equal")]),
            ("limit=99999999999999999999", &[("limit", "less_than_equal")]),
            ("limit=", &[("limit", "int_parsing")]),
            ("limit=5&limit=ten", &[("limit", "int_parsing")]),
            ("limit=1.5", &[("limit", "int_parsing")]),
            ("limit=1_0", &[("limit", "int_parsing")]),
            ("limit=%2B-1", &[("limit", "int_parsing")]),
            ("limit=%D9%A1", &[("limit", "int_parsing")]),
            ("offset=-1", &[("offset", "greater_than_equal")]),
            ("status=", &[("status", "enum")]),
            ("status=Failed", &[("status", "enum")]),
            (
                "status=x&offset=y&limit=0",
                &[("status", "enum"), ("limit", "greater_than_equal"), ("offset", "int_parsing")],
            ),
        ] {
            assert_eq!(read(query), Err(expected.to_vec()), "{query}");
        }
    }

    #[test]
    fn the_enum_is_spelled_out() {
        let mistake = status_of("x").unwrap_err();
        assert_eq!(mistake.msg, "Input should be 'queued', 'running', 'succeeded', 'failed' or 'canceled'");
    }

    proptest! {
        #[test]
        fn any_number_is_taken_or_refused_by_its_range(limit: i128, offset: i128) {
            match read(&format!("limit={limit}&offset={offset}")) {
                Ok(read) => {
                    prop_assert_eq!(read.limit as i128, limit);
                    prop_assert!((1..=1000).contains(&limit) && offset >= 0);
                    prop_assert!(read.offset.checked_add(read.limit).is_some());
                }
                Err(mistakes) => {
                    prop_assert_eq!(mistakes.iter().any(|(name, _)| *name == "limit"), !(1..=1000).contains(&limit));
                    prop_assert_eq!(mistakes.iter().any(|(name, _)| *name == "offset"), offset < 0);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(limit: String, offset in "[-+ 0-9a-z.]{0,30}", status: String) {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let _ = read(&format!("limit={}&offset={}&status={}", encoded(&limit), encoded(&offset), encoded(&status)));
        }

        #[test]
        fn any_text_survives_its_encoding(project: String, kind: String) {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let read = read(&format!("project_id={}&kind={}", encoded(&project), encoded(&kind))).unwrap();
            prop_assert_eq!((read.project_id, read.kind), (Some(project), Some(kind)));
        }
    }
}
