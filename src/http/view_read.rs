//! The reading of one view for a request, with the headers that tell how fresh it is: the answer is the stored bytes, or that the
//! client has them already, or that there is no such view.

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::api::Api;
use super::caller_shares::CallerIdentity;
use super::correlation::CORRELATION_ID;
use super::errors::{self, HttpError};
use super::freshness::FreshnessMark;
use super::json_response::APPLICATION_JSON;
use super::response_memory::ResponseMemory;
use super::{etag, freshness, incomplete_views};
use crate::domain::ReadPosition;
use crate::status::{AnswerState, State};

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
    Ok(match reader.get(id, organization_id)? {
        Some(found) => {
            let headers = view_headers(&position, answer_state, found.etag);
            match etag::client_has(request, found.etag) {
                true => ViewRead::Unchanged(not_modified(headers)),
                false => ViewRead::New(whole(headers, found.body, &api.lists.memory, caller)?),
            }
        }
        None => {
            let response = errors::response(&incomplete_views::not_found(answer_state, reader.status(), NO_SUCH));
            ViewRead::Missing {
                response: freshness::mark(freshness::mark_position(response, &position), answer_state),
                may_come: may_come(answer_state),
            }
        }
    })
}

/// Returns true if an instance in this state reads records from which a view could come.
pub fn may_come(answer_state: AnswerState) -> bool {
    !matches!(answer_state.state, State::Frozen | State::Stopping)
}

/// Makes a 200 with the stored bytes.
fn whole(
    headers: HeaderMap,
    body: Bytes,
    memory: &ResponseMemory,
    caller: impl FnOnce() -> CallerIdentity,
) -> Result<Response, HttpError> {
    let mut response = Response::new(Body::from(memory.count(body, caller)?));
    *response.headers_mut() = headers;
    Ok(response)
}

fn not_modified(headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}

/// The headers of the last view that a thread has sent, but for its own `etag`, and what they follow from.
struct LastHeaders {
    position: Arc<ReadPosition>,
    mark: FreshnessMark,
    headers: HeaderMap,
}

thread_local! {
    static LAST_HEADERS: RefCell<Option<LastHeaders>> = const { RefCell::new(None) };
}

/// Returns the headers of a view. Most answers have the same as the one before, but for the `etag`: to copy a map costs much less than to
/// hash its names again.
fn view_headers(position: &Arc<ReadPosition>, answer_state: AnswerState, etag: u64) -> HeaderMap {
    let mark = FreshnessMark::of(answer_state);
    let mut headers = LAST_HEADERS.with_borrow_mut(|last| match last {
        Some(last) if Arc::ptr_eq(&last.position, position) && last.mark == mark => last.headers.clone(),
        _ => {
            let headers = new_headers(position, answer_state);
            *last = Some(LastHeaders { position: Arc::clone(position), mark, headers: headers.clone() });
            headers
        }
    });
    headers.insert(ETAG, etag::header(etag));
    headers
}

fn new_headers(position: &Arc<ReadPosition>, answer_state: AnswerState) -> HeaderMap {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    // What differs with each answer has its place in the map, so that it is replaced and the map does not grow.
    headers.insert(ETAG, etag::header(0));
    headers.insert(CORRELATION_ID.clone(), HeaderValue::from_static(""));
    headers.insert(CACHE_CONTROL, NO_CACHE.clone());
    freshness::mark(freshness::mark_position(response, position), answer_state).into_parts().0.headers
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::domain::NamedPartition;

    fn headers_of(etag: u64) -> HeaderMap {
        let answer_state = AnswerState { state: State::Live, was_live: true, lag_micros: Some(0) };
        view_headers(&Arc::default(), answer_state, etag)
    }

    #[test]
    fn headers_are_those_of_the_position_and_the_state_of_each_answer() {
        let [first, second] =
            [1, 2].map(|next| Arc::new(ReadPosition::new([(NamedPartition::new("jobs", 0), next)].into())));
        let live = AnswerState { state: State::Live, was_live: true, lag_micros: Some(0) };
        let stale = AnswerState { state: State::Stale, ..live };
        let late = AnswerState { lag_micros: Some(100_001), ..live };
        for _ in 0..2 {
            for position in [&first, &first, &second] {
                for (answer_state, state, lag) in
                    [(live, "live", "0"), (stale, "stale", "0"), (late, "live", "0.2")]
                {
                    let headers = view_headers(position, answer_state, 10);
                    assert_eq!(headers["x-optview-position"], position.text());
                    assert_eq!(headers["x-optview-state"], state);
                    assert_eq!(headers["x-optview-lag-seconds"], lag);
                    assert_eq!(headers[ETAG], "\"000000000000000a\"");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_stored_bytes_are_the_body() {
        let memory = ResponseMemory::new(1 << 20);
        let body = Bytes::from_static(b"{\"id\":\"a\"}");
        let response = whole(headers_of(10), body, &memory, || CallerIdentity::Key(String::new())).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"id\":\"a\"}");
    }

    #[tokio::test]
    async fn a_client_that_has_them_gets_a_304() {
        let response = not_modified(headers_of(10));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"000000000000000a\"");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}
