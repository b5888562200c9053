//! The errors that a request can be answered with, and their responses. The list is closed: everything else is an
//! [`HttpError::Internal`]. A response never shows the cause of a failure inside the server; that is for the log.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::freshness::Freshness;
use super::json_response::{self, NO_DETAIL};
use crate::store::StoreError;

/// The seconds after which a client should ask a store again that is not open. Existing clients honour it, five times.
const RETRY_AFTER_SECONDS: &str = "5";

/// The header with what has become of the records that a request waits for.
pub static OUTCOME: HeaderName = HeaderName::from_static("x-optview-after-outcome");

/// Number of mistakes that one answer names. An address has room for thousands.
const MISTAKES_MAX: usize = 100;

/// The methods of a resource that is read.
pub const READING: &str = "GET, HEAD, OPTIONS";
/// The methods of a path where a resource is asked by a body, and a view with such an id is read.
pub const POSTING: &str = "GET, HEAD, POST, OPTIONS";

/// An error that a request is answered with.
#[derive(Debug)]
pub enum HttpError {
    /// The error for an id that is unknown, deleted, malformed, or another organization's: a caller must not be able to
    /// distinguish them.
    NotFound(&'static str),
    /// The error for a method that the resource does not have; the value is those that it has.
    MethodNotAllowed(&'static str),
    Unauthorized(&'static str),
    /// The error for an address that has sent too many wrong credentials.
    TooManyAttempts {
        retry_after: Duration,
    },
    Invalid(Vec<Mistake>),
    /// The body of a request that is longer than any that is meant.
    TooLarge(String),
    /// The body of a request that does not come.
    Timeout(&'static str),
    Unavailable {
        message: String,
        detail: Value,
        /// True if the client should ask again before long, for which the answer has the header `retry-after`.
        is_worth_retrying: bool,
    },
    /// The error for a wait whose time is over before what it waits for has come.
    TooLate {
        message: String,
        detail: Value,
    },
    /// The error for what an instance that is made of a topic of views cannot answer, since that has nothing of the events.
    NotOffered(&'static str),
    /// The error for a record that no view shows, where the client insists on it.
    NotApplied {
        message: &'static str,
        /// The outcome of the record, as in the header.
        outcome: &'static str,
    },
    /// An error that follows from what has been read. Its answer has the headers that views have.
    OfViews {
        freshness: Freshness,
        error: Box<HttpError>,
    },
    Store(StoreError),
    /// A panic, or a case that should not happen, with its cause for the log.
    Internal(String),
}

/// A mistake in a request, in the form that FastAPI gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The mistake's location: `query`, `header` or `body`, and the parameter's name.
    pub loc: [&'static str; 2],
    pub msg: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl HttpError {
    pub fn unavailable(message: &str) -> HttpError {
        HttpError::Unavailable { message: message.to_owned(), detail: Value::Null, is_worth_retrying: true }
    }

    /// Returns the same error, which follows from what has been read.
    pub fn of_views(self, freshness: Freshness) -> HttpError {
        HttpError::OfViews { freshness, error: Box::new(self) }
    }
}

impl HttpError {
    /// Returns the cause for the log, which is more than the caller gets.
    pub fn cause(&self) -> String {
        match self {
            HttpError::Unavailable { message, .. } | HttpError::TooLate { message, .. } => message.clone(),
            HttpError::OfViews { error, .. } => error.cause(),
            HttpError::Store(error) => error.to_string(),
            HttpError::Internal(what) => what.clone(),
            HttpError::NotFound(message)
            | HttpError::Unauthorized(message)
            | HttpError::NotOffered(message)
            | HttpError::NotApplied { message, .. } => (*message).to_owned(),
            HttpError::TooLarge(message) => message.clone(),
            HttpError::Timeout(message) => (*message).to_owned(),
            HttpError::MethodNotAllowed(_) | HttpError::Invalid(_) | HttpError::TooManyAttempts { .. } => {
                "the request is wrong".to_owned()
            }
        }
    }
}

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> HttpError {
        match error {
            // The store is sound; this version cannot decode the registers of another format. To build its own takes it a while.
            StoreError::OtherFormat { .. } => HttpError::Unavailable {
                message: "another version has made the views of this instance, and their records cannot be decoded by this one: ask an \
                          instance of that version, or this one once it has built its own"
                    .to_owned(),
                detail: Value::Null,
                is_worth_retrying: false,
            },
            StoreError::MadeOfViews { .. } => HttpError::NotOffered(
                "this instance is made of a topic of views, which has nothing of the events: ask an instance that reads them",
            ),
            StoreError::TooManyToSearch { .. } => HttpError::Invalid(vec![Mistake {
                loc: ["query", "project_id"],
                msg: error.to_string(),
                kind: "value_error",
            }]),
            error => HttpError::Store(error),
        }
    }
}

/// Makes the response to an error, complete but for the correlation id.
pub fn response(error: &HttpError) -> Response {
    match error {
        HttpError::NotFound(message) => {
            json_response::error(StatusCode::NOT_FOUND, "NOT_FOUND", message, NO_DETAIL)
        }
        HttpError::MethodNotAllowed(methods) => {
            let message = match *methods {
                POSTING => "this resource is asked by POST, with a body of JSON",
                _ => "this address is read only: use GET or HEAD",
            };
            let response =
                json_response::error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message, NO_DETAIL);
            with_header(response, ALLOW, methods)
        }
        HttpError::Unauthorized(message) => with_header(
            json_response::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message, NO_DETAIL),
            WWW_AUTHENTICATE,
            "Bearer",
        ),
        HttpError::TooManyAttempts { retry_after } => {
            let message = "too many wrong credentials came from this address: try again later";
            let mut response =
                json_response::error(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", message, NO_DETAIL);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            response
        }
        HttpError::Invalid(mistakes) => invalid(mistakes),
        HttpError::TooLarge(message) => {
            json_response::error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message, NO_DETAIL)
        }
        HttpError::Timeout(message) => {
            json_response::error(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message, NO_DETAIL)
        }
        HttpError::Unavailable { message, detail, is_worth_retrying: true } => unavailable(message, detail),
        HttpError::Unavailable { message, detail, is_worth_retrying: false } => {
            json_response::error(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message, detail)
        }
        HttpError::TooLate { message, detail } => {
            json_response::error(StatusCode::GATEWAY_TIMEOUT, "NOT_READ_IN_TIME", message, detail)
        }
        HttpError::NotOffered(message) => {
            let detail = json!({ "reads_from": "views" });
            json_response::error(StatusCode::NOT_IMPLEMENTED, "NOT_OFFERED", message, detail)
        }
        HttpError::NotApplied { message, outcome } => {
            let detail = json!({ "outcome": outcome });
            let response = json_response::error(StatusCode::UNPROCESSABLE_ENTITY, "NOT_APPLIED", message, detail);
            with_header(response, OUTCOME.clone(), outcome)
        }
        HttpError::OfViews { freshness, error } => freshness.mark(response(error)),
        HttpError::Store(_) => {
            unavailable("the store cannot be read: try again later, and see the server's log", NO_DETAIL)
        }
        HttpError::Internal(_) => json_response::internal(),
    }
}

/// Makes the answer to OPTIONS, complete but for the correlation id.
pub fn allowed_methods(methods: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    with_header(response, ALLOW, methods)
}

fn unavailable(message: &str, detail: impl Serialize) -> Response {
    let response = json_response::error(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message, detail);
    with_header(response, RETRY_AFTER, RETRY_AFTER_SECONDS)
}

fn invalid(mistakes: &[Mistake]) -> Response {
    let mistakes = &mistakes[..mistakes.len().min(MISTAKES_MAX)];
    let each: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.loc[1], mistake.msg)).collect();
    json_response::error(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", &each.join("; "), mistakes)
}

fn with_header(mut response: Response, name: HeaderName, value: &'static str) -> Response {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
