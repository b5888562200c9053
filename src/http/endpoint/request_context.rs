//! The facts of a request that its response needs. Nothing else writes the headers that all responses have, counts a response, or logs
//! that a request failed.

use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;

use crate::http::correlation::CORRELATION_ID;
use crate::http::errors::{self, HttpError};
use crate::http::freshness;
use crate::http::ignored_parameters::{KnownParameters, name_ignored};
use crate::http::log_throttle::LogBurst;
use crate::http::metrics::RouteMetrics;
use crate::status::AnswerState;

/// The `cache-control` of an answer that has no other. Without one, caches may keep a 404 for as long as they see fit, also for callers of
/// another organization, and after there is such a view.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The facts of a request that its response needs.
pub struct RequestContext {
    pub started: Instant,
    pub correlation_id: HeaderValue,
    pub head_only: bool,
    /// The state to mark the response with; `None` if the handler has marked it already.
    pub state: Option<AnswerState>,
    pub is_probe: bool,
    /// The parameters that the resource knows; `None` where nobody is told of others.
    pub known: Option<KnownParameters>,
}

impl RequestContext {
    /// Makes the response of a result: with its headers, without a body where only the head was asked for, and counted.
    pub fn response(self, result: Result<Response, HttpError>, uri: &Uri, metrics: &RouteMetrics) -> Response {
        let mut response = match result {
            Ok(response) => {
                if response.status().is_server_error() {
                    let cause = match response.status() {
                        StatusCode::SERVICE_UNAVAILABLE => {
                            "whether there is such a view is not known yet, since the instance is not live"
                        }
                        _ => "the answer could not be written",
                    };
                    self.log_failure(uri, response.status(), cause);
                }
                response
            }
            Err(error) => {
                let response = errors::response(&error);
                if response.status().is_server_error() {
                    self.log_failure(uri, response.status(), &error.cause());
                }
                response
            }
        };
        if let Some(state) = self.state {
            response = freshness::mark(response, state);
        }
        let headers = response.headers_mut();
        if let Some(known) = self.known {
            name_ignored(headers, uri, known);
        }
        headers.insert(CORRELATION_ID.clone(), self.correlation_id);
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
        if self.head_only {
            response = without_body(response);
        }
        metrics.record(response.status(), self.started.elapsed());
        response
    }

    /// Logs a failed request. Nothing else logs requests, so that no such line lacks its correlation id. Mistakes of clients
    /// are counted by the metrics and not logged.
    fn log_failure(&self, uri: &Uri, status: StatusCode, cause: &str) {
        static FAILURES: LogBurst = LogBurst::new();
        let is_of_client = matches!(status, StatusCode::GATEWAY_TIMEOUT | StatusCode::NOT_IMPLEMENTED);
        let (status, path) = (status.as_u16(), uri.path());
        let correlation_id = self.correlation_id.to_str().unwrap_or_default();
        if self.is_probe || is_of_client {
            // A probe's answer repeats the status, whose changes are logged elsewhere; a wait that was too short is its client's, and
            // so is a question that this instance does not answer.
            tracing::debug!(correlation_id, status, path, "not answered: {cause}");
            return;
        }
        let Some(left_out) = FAILURES.is_due() else { return };
        if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
            tracing::warn!(correlation_id, status, path, left_out, "a request could not be answered: {cause}");
        } else {
            tracing::error!(correlation_id, status, path, left_out, "a request failed: {cause}");
        }
    }
}

/// Answers HEAD: removes the body and keeps the headers of GET. That includes `content-length`, which only the body knows; the
/// length of a 304 is not known.
fn without_body(mut response: Response) -> Response {
    if response.status() != StatusCode::NOT_MODIFIED
        && let Some(length) = response.body().size_hint().exact()
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}
