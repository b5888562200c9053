//! Responses of JSON: of a body that is JSON already, of a value, and of an error.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

/// The content type of JSON bodies. Existing clients compare it as a whole, so it never gets a charset.
pub static APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct ErrorBody<'a, D> {
    error_code: &'static str,
    message: &'a str,
    detail: D,
}

/// The detail of an error that has none, written as `null`.
pub const NO_DETAIL: () = ();

/// Makes a 200 from a body that is JSON already.
pub fn json(body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, APPLICATION_JSON.clone());
    response
}

/// Makes a JSON response from a value that consists of strings, numbers and maps with string keys.
pub fn to_json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = json(body);
            *response.status_mut() = status;
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON; please report this");
            internal()
        }
    }
}

/// Makes the response to a case that should not happen.
pub fn internal() -> Response {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "this should not happen: look for this response's x-correlation-id in the server's log",
        NO_DETAIL,
    )
}

/// Makes the response to an error.
pub fn error(status: StatusCode, error_code: &'static str, message: &str, detail: impl Serialize) -> Response {
    to_json(status, &ErrorBody { error_code, message, detail })
}
