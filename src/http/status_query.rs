//! The body of a request for statuses: the ids, and how many answers are wanted.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use super::caller_shares::CallerIdentity;
use super::errors::{HttpError, Mistake};
use super::list_query::MAX_IDS;
use super::response_memory::ResponseMemory;

/// The most bytes of the body: ids are bounded, and escapes make them longer.
const BODY_MAX: usize = 2 << 20;

/// The time in which the body must come.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// A request for statuses, within its bounds.
#[derive(Debug, PartialEq, Eq)]
pub struct StatusQuery {
    pub ids: Vec<String>,
    pub limit: usize,
}

#[derive(Deserialize)]
struct StatusBody {
    optimization_ids: Vec<String>,
    /// A number that may have a fraction of zeros, as an integer in JSON may.
    limit: Option<f64>,
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
            Err(error) => Err(mistake("body", format!("the body cannot be read: {error}"), "value_error")),
        }
    }

    fn parse(body: &[u8]) -> Result<StatusQuery, HttpError> {
        let StatusBody { optimization_ids: ids, limit } = serde_json::from_slice(body)
            .map_err(|error| mistake("body", format!("JSON: {error}"), "json_invalid"))?;
        if ids.len() > MAX_IDS {
            let msg = format!("List should have at most {MAX_IDS} items, not {}", ids.len());
            return Err(mistake("optimization_ids", msg, "too_long"));
        }
        let limit = match limit {
            None => MAX_IDS,
            Some(limit) => (1..=MAX_IDS).find(|number| *number as f64 == limit).ok_or_else(|| {
                let msg =
                    format!("Input should be greater than or equal to 1 and less than or equal to {MAX_IDS}");
                mistake("limit", msg, "value_error")
            })?,
        };
        Ok(StatusQuery { ids, limit })
    }
}

fn too_large() -> HttpError {
    HttpError::TooLarge(format!("the body has more than {BODY_MAX} bytes: send at most {MAX_IDS} ids"))
}

fn mistake(name: &'static str, msg: String, kind: &'static str) -> HttpError {
    HttpError::Invalid(vec![Mistake { loc: ["body", name], msg, kind }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<StatusQuery, &'static str> {
        StatusQuery::parse(body.as_bytes()).map_err(|error| match error {
            HttpError::Invalid(mistakes) => mistakes[0].loc[1],
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn ids_and_a_limit_are_read_and_mistakes_are_named() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let query = |of: &[&str], limit| Ok(StatusQuery { ids: ids(of), limit });
        assert_eq!(parsed(r#"{"optimization_ids": ["a", "b"], "limit": 2}"#), query(&["a", "b"], 2));
        assert_eq!(parsed(r#"{"optimization_ids": [], "limit": null, "more": 1}"#), query(&[], 1000));
        assert_eq!(parsed(r#"{"optimization_ids": [], "limit": 7.0}"#), query(&[], 7));
        let many = serde_json::json!({"optimization_ids": vec!["a"; 1001]}).to_string();
        for (body, expected) in [
            ("", "body"),
            ("[]", "body"),
            (r#"{"ids": []}"#, "body"),
            (r#"{"optimization_ids": [1]}"#, "body"),
            (r#"{"optimization_ids": ["a"], "limit": 0}"#, "limit"),
            (r#"{"optimization_ids": ["a"], "limit": 1.5}"#, "limit"),
            (r#"{"optimization_ids": ["a"], "limit": 1001}"#, "limit"),
            (&many, "optimization_ids"),
        ] {
            assert_eq!(parsed(body), Err(expected), "{body:.60}");
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
