//! The body of a request for statuses: the ids, and how many answers are wanted.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::caller_shares::CallerIdentity;
use super::errors::{HttpError, Mistake};
use super::list_query::MAX_IDS;
use super::response_memory::ResponseMemory;

/// The most bytes of the body: ids are bounded, and escapes make them longer.
const BODY_MAX: usize = 2 << 20;

/// The time in which the body must come.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Number of unknown members of the body that are named.
const IGNORED_MAX: usize = 64;

const IDS: &str = "optimization_ids";
const LIMIT: &str = "limit";

/// A request for statuses, within its bounds.
#[derive(Debug, PartialEq, Eq)]
pub struct StatusQuery {
    pub ids: Vec<String>,
    pub limit: usize,
    /// The names of the first of the body's members that are not known.
    pub ignored: Vec<String>,
}

/// The members of the body as they were sent. Of one that comes twice the last counts.
#[derive(Default)]
struct StatusBody<'a> {
    ids: Option<&'a RawValue>,
    limit: Option<&'a RawValue>,
    ignored: Vec<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for StatusBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StatusBody<'a>, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = StatusBody<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StatusBody<'de>, A::Error> {
                let mut body = StatusBody::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        IDS => body.ids = Some(map.next_value()?),
                        LIMIT => body.limit = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            // A body has room for hundreds of thousands.
                            if body.ignored.len() < IGNORED_MAX {
                                body.ignored.push(name);
                            }
                        }
                    }
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl StatusQuery {
    /// Reads the body of a request. Its memory is counted as that of responses is.
    ///
    /// # Errors
    /// Returns a 413, 408, 422 or 503.
    pub async fn read(
        body: Body,
        caller: &CallerIdentity,
        memory: &ResponseMemory,
    ) -> Result<StatusQuery, HttpError> {
        let expected = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BODY_MAX);
        if expected > BODY_MAX {
            return Err(too_large());
        }
        let _memory = memory.reserve(caller, expected).await?;
        let body = timeout(BODY_WITHIN, Limited::new(body, BODY_MAX).collect()).await;
        match body
            .map_err(|_| HttpError::Timeout("the body of the request did not come in time: send it again"))?
        {
            Ok(body) => StatusQuery::parse(&body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => {
                let msg = format!("the body cannot be read: {error}");
                Err(HttpError::Invalid(vec![mistake("body", msg, "value_error")]))
            }
        }
    }

    fn parse(body: &[u8]) -> Result<StatusQuery, HttpError> {
        let StatusBody { ids, limit, ignored } = serde_json::from_slice(body).map_err(|error| {
            let msg = match error.classify() {
                Category::Data => "Input should be a valid object".to_owned(),
                _ => format!("Input should be valid JSON: {error}"),
            };
            HttpError::Invalid(vec![mistake("body", msg, "json_invalid")])
        })?;
        let ids = match ids {
            Some(ids) => ids_of(ids.get()),
            None => Err(mistake(IDS, "Field required".to_owned(), "missing")),
        };
        let limit = limit.map_or(Ok(MAX_IDS), |limit| limit_of(limit.get()));
        match (ids, limit) {
            (Ok(ids), Ok(limit)) => Ok(StatusQuery { ids, limit, ignored }),
            (ids, limit) => Err(HttpError::Invalid(ids.err().into_iter().chain(limit.err()).collect())),
        }
    }
}

fn ids_of(json: &str) -> Result<Vec<String>, Mistake> {
    let ids: Vec<String> = serde_json::from_str(json)
        .map_err(|_| mistake(IDS, "Input should be a valid list of valid strings".to_owned(), "list_type"))?;
    if ids.len() > MAX_IDS {
        let msg = format!("List should have at most {MAX_IDS} items, not {}", ids.len());
        return Err(mistake(IDS, msg, "too_long"));
    }
    Ok(ids)
}

/// Reads the limit, a number that may have a fraction of zeros, as an integer in JSON may.
fn limit_of(json: &str) -> Result<usize, Mistake> {
    let limit: Option<f64> = serde_json::from_str(json)
        .map_err(|_| mistake(LIMIT, "Input should be a valid integer".to_owned(), "int_type"))?;
    let Some(limit) = limit else { return Ok(MAX_IDS) };
    (1..=MAX_IDS).find(|number| *number as f64 == limit).ok_or_else(|| {
        let msg = format!("Input should be greater than or equal to 1 and less than or equal to {MAX_IDS}");
        mistake(LIMIT, msg, "value_error")
    })
}

fn too_large() -> HttpError {
    HttpError::TooLarge(format!("the body has more than {BODY_MAX} bytes: send at most {MAX_IDS} ids"))
}

fn mistake(name: &'static str, msg: String, kind: &'static str) -> Mistake {
    Mistake { loc: ["body", name], msg, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<StatusQuery, Vec<String>> {
        StatusQuery::parse(body.as_bytes()).map_err(|error| match error {
            HttpError::Invalid(mistakes) => {
                mistakes.iter().map(|one| format!("{}: {}", one.loc[1], one.msg)).collect()
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn ids_and_a_limit_are_read() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let query = |ids: &[&str], limit, ignored: &[&str]| {
            Ok(StatusQuery { ids: texts(ids), limit, ignored: texts(ignored) })
        };
        for (body, expected) in [
            (r#"{"optimization_ids": ["a", "b"], "limit": 2}"#, query(&["a", "b"], 2, &[])),
            (r#"{"optimization_ids": ["\u0061"], "l\u0069mit": 2}"#, query(&["a"], 2, &[])),
            (
                r#"{"optimization_ids": [], "limit": null, "limitt": {"a": [1]}, "ids": 1}"#,
                query(&[], 1000, &["limitt", "ids"]),
            ),
            (r#"{"optimization_ids": [], "limit": 7.0}"#, query(&[], 7, &[])),
        ] {
            assert_eq!(parsed(body), expected, "{body}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_place_and_in_words_of_the_contract() {
        let many = serde_json::json!({"optimization_ids": vec!["a"; 1001]}).to_string();
        let range = "limit: Input should be greater than or equal to 1 and less than or equal to 1000";
        let list = "optimization_ids: Input should be a valid list of valid strings";
        let object = "body: Input should be a valid object";
        for (body, expected) in [
            ("", &["body: Input should be valid JSON: EOF while parsing a value at line 1 column 0"][..]),
            ("{} x", &["body: Input should be valid JSON: trailing characters at line 1 column 4"]),
            ("[]", &[object]),
            (r#"[["a"], 1]"#, &[object]),
            ("null", &[object]),
            (r#"{"ids": []}"#, &["optimization_ids: Field required"]),
            (r#"{"optimization_ids": [1]}"#, &[list]),
            (r#"{"optimization_ids": null, "limit": "1"}"#, &[list, "limit: Input should be a valid integer"]),
            (r#"{"optimization_ids": ["a"], "limit": 0}"#, &[range]),
            (r#"{"optimization_ids": ["a"], "limit": 1.5}"#, &[range]),
            (r#"{"optimization_ids": ["a"], "limit": 1001}"#, &[range]),
            (&many, &["optimization_ids: List should have at most 1000 items, not 1001"]),
        ] {
            assert_eq!(parsed(body).unwrap_err(), expected, "{body:.60}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_long_or_does_not_come_is_refused() {
        let memory = ResponseMemory::new(64 << 20);
        let caller = CallerIdentity::Key("key".to_owned());
        let read = |body: Body| StatusQuery::read(body, &caller, &memory);
        let long = read(Body::from(vec![b' '; BODY_MAX + 1])).await;
        assert!(matches!(long, Err(HttpError::TooLarge(_))), "{long:?}");
        let piece = || Ok::<_, std::io::Error>(vec![b' '; 1 << 20]);
        let pieces = futures_util::stream::iter([piece(), piece(), piece()]);
        let endless = read(Body::from_stream(pieces)).await;
        assert!(matches!(endless, Err(HttpError::TooLarge(_))), "{endless:?}");
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let late = read(silent).await;
        assert!(matches!(late, Err(HttpError::Timeout(_))), "{late:?}");
    }
}
