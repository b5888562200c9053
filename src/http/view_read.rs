//! The reading of one view for a request, with the headers that tell how fresh it is: the answer is the stored bytes, or that the
//! client has them already, or that there is no such view.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::api::Api;
use super::caller_shares::CallerIdentity;
use super::errors::{self, HttpError};
use super::json_response::APPLICATION_JSON;
use super::response_memory::ResponseMemory;
use super::{etag, freshness};
use crate::status::State;
use crate::store;

pub const NO_SUCH: HttpError =
    HttpError::NotFound("there is no such optimization: check its id, and that it belongs to your organization");

/// The `cache-control` header: a cache on the way may keep an answer, but has to validate it with the next caller's credentials
/// before it uses it.
static NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The answer to a read by id.
pub enum ViewRead {
    /// The view, which the client does not have.
    New(Response),
    /// A 304: the client has the view.
    Unchanged(Response),
    /// There is no such view for this caller.
    Missing {
        response: Response,
        /// True if records are read from which it could be made.
        may_come: bool,
    },
}

impl From<ViewRead> for Response {
    fn from(read: ViewRead) -> Response {
        match read {
            ViewRead::New(response) | ViewRead::Unchanged(response) | ViewRead::Missing { response, .. } => {
                response
            }
        }
    }
}

/// Reads a view for a caller of this organization, or of any. The state and the position are read before it.
pub fn read(
    api: &Api,
    id: &str,
    organization_id: Option<&str>,
    request: &HeaderMap,
    caller: impl FnOnce() -> CallerIdentity,
) -> Result<ViewRead, HttpError> {
    let reader = api.reader()?;
    let answer_state = reader.answer_state(&api.status);
    let position = reader.visible_position();
    let mark = |response| freshness::mark(freshness::mark_position(response, &position), answer_state);
    Ok(match reader.get(id, organization_id)? {
        Some(found) if etag::client_has(request, found.etag) => {
            ViewRead::Unchanged(mark(not_modified(found.etag)))
        }
        Some(found) => ViewRead::New(mark(whole(found, &api.lists.memory, caller)?)),
        None => ViewRead::Missing {
            response: mark(errors::response(&freshness::not_found(answer_state, NO_SUCH))),
            may_come: !matches!(answer_state.state, State::Frozen | State::Stopping),
        },
    })
}

/// Makes a 200 with the stored bytes.
fn whole(
    found: store::Response,
    memory: &ResponseMemory,
    caller: impl FnOnce() -> CallerIdentity,
) -> Result<Response, HttpError> {
    let mut response = Response::new(Body::from(memory.count(found.body, caller)?));
    describe(&mut response, found.etag);
    Ok(response)
}

fn not_modified(etag: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    describe(&mut response, etag);
    response
}

/// The number of headers that an answer may get on its way to the client.
const MOST_HEADERS: usize = 12;

fn describe(response: &mut Response, etag: u64) {
    let headers = response.headers_mut();
    // In one piece, since to grow a map is to hash all of its names again.
    headers.reserve(MOST_HEADERS);
    headers.insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    headers.insert(ETAG, etag::header(etag));
    headers.insert(CACHE_CONTROL, NO_CACHE.clone());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_stored_bytes_are_the_body() {
        let stored = store::Response { body: Bytes::from_static(b"{\"id\":\"a\"}"), etag: 10 };
        let memory = ResponseMemory::new(1 << 20);
        let response = whole(stored, &memory, || CallerIdentity::Key(String::new())).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"id\":\"a\"}");
    }

    #[tokio::test]
    async fn a_client_that_has_them_gets_a_304() {
        let response = not_modified(10);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}
