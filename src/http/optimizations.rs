//! The resource `GET /optimizations/{id}`, which sends the stored bytes as they are. It must never parse or build a body, and must
//! never wait.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::access::{Caller, Scope};
use super::api::Api;
use super::caller_shares::{CallerIdentity, PeerAddress};
use super::endpoint::HandlerResult;
use super::errors::{self, HttpError};
use super::json_response::APPLICATION_JSON;
use super::response_memory::ResponseMemory;
use super::{etag, freshness};
use crate::store;

pub const PREFIX: &str = "/optimizations/";

const NO_SUCH: HttpError =
    HttpError::NotFound("there is no such optimization: check its id, and that it belongs to your organization");

/// The `cache-control` header: a cache on the way may keep an answer, but has to validate it with the next caller's credentials
/// before it uses it.
static NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Answers a read by id. This is the hot path: one look-up, and no copy of the body.
pub fn by_id(api: &Api, request: &Request) -> HandlerResult {
    let caller = api.access.caller(request.headers())?;
    let organization_id = match caller.scope {
        Scope::Everything => None,
        Scope::Organization(id) => Some(id),
        Scope::Nothing => return Err(NO_SUCH),
    };
    let id = id_of(request.uri().path()).ok_or(NO_SUCH)?;
    let reader = api.reader()?;
    let answer_state = reader.answer_state(&api.status);
    let response = match reader.get(&id, organization_id)? {
        Some(found) => found_response(found, request.headers(), &api.lists.memory, || identity(&caller, request))?,
        None => errors::response(&freshness::not_found(answer_state, NO_SUCH)),
    };
    Ok(freshness::mark(response, answer_state.state))
}

/// Returns the identity by which the requests of this caller share memory and turns.
pub fn identity(caller: &Caller<'_>, request: &Request) -> CallerIdentity {
    match caller.key {
        Some(key) => CallerIdentity::Key(key.id.clone()),
        None => CallerIdentity::Unchecked {
            address: request.extensions().get().map(|PeerAddress(address)| *address),
            organization_id: match caller.scope {
                Scope::Organization(id) => Some(id.to_owned()),
                Scope::Everything | Scope::Nothing => None,
            },
        },
    }
}

/// Returns the id in a raw path: everything after the prefix, decoded. Slashes belong to it, since clients do not
/// always encode them, and an invalid escape stands for itself. Returns `None` if the text cannot be an id.
pub fn id_of(path: &str) -> Option<Cow<'_, str>> {
    let raw = path.strip_prefix(PREFIX).filter(|raw| !raw.is_empty())?;
    // Most ids hold no escape, and then there is nothing to decode and to check.
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    percent_decode_str(raw).decode_utf8().ok()
}

/// Makes the response to a read by id: a 200 with the stored bytes, or a 304 if the client has them already.
fn found_response(
    found: store::Response,
    request: &HeaderMap,
    memory: &ResponseMemory,
    caller: impl FnOnce() -> CallerIdentity,
) -> Result<Response, HttpError> {
    let mut response = Response::new(Body::empty());
    if etag::client_has(request, found.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(memory.count(found.body, caller)?);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    headers.insert(ETAG, etag::header(found.etag));
    headers.insert(CACHE_CONTROL, NO_CACHE.clone());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::header::IF_NONE_MATCH;
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_the_rest_of_the_path_decoded() {
        for (path, expected) in [
            ("/optimizations/opt-1", Some("opt-1")),
            ("/optimizations/a/b", Some("a/b")),
            ("/optimizations/a%2Fb", Some("a/b")),
            ("/optimizations//", Some("/")),
            ("/optimizations/a/", Some("a/")),
            ("/optimizations/a%20b+c", Some("a b+c")),
            ("/optimizations/%E2%82%AC", Some("€")),
            ("/optimizations/€", Some("€")),
            ("/optimizations/100%", Some("100%")),
            ("/optimizations/%zz", Some("%zz")),
            ("/optimizations/../x", Some("../x")),
            ("/optimizations/%00", Some("\0")),
            ("/optimizations/%FF", None),
            ("/optimizations/%E2%82", None),
            ("/optimizations/", None),
            ("/optimizations", None),
        ] {
            assert_eq!(id_of(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_plain_id_is_not_copied() {
        assert!(matches!(id_of("/optimizations/opt-1"), Some(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn any_id_that_is_encoded_is_looked_up_decoded(id in "(?s).{1,40}") {
            let path = format!("/optimizations/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
            let found = id_of(&path);
            prop_assert_eq!(found.as_deref(), Some(&*id));
        }
    }

    async fn found(if_none_match: Option<&str>) -> (Response, Bytes) {
        let headers = if_none_match.map(|value| (IF_NONE_MATCH, value.parse().unwrap())).into_iter().collect();
        let stored = store::Response { body: Bytes::from_static(b"{\"id\":\"a\"}"), etag: 10 };
        let memory = ResponseMemory::new(1 << 20);
        let (parts, body) =
            found_response(stored, &headers, &memory, || CallerIdentity::Key(String::new())).unwrap().into_parts();
        (Response::from_parts(parts, Body::empty()), body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn the_stored_bytes_are_the_body() {
        for other in [None, Some("\"000000000000000b\"")] {
            let (response, body) = found(other).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
            assert_eq!(body, "{\"id\":\"a\"}");
        }
    }

    #[tokio::test]
    async fn a_client_that_has_them_gets_a_304() {
        let (response, body) = found(Some("W/\"000000000000000a\"")).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
        assert!(body.is_empty());
    }
}
