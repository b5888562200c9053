//! The answers of operations, with their headers and examples.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Content, ContentBuilder, RefOr, Response, Schema};

use super::schemas::{count, named, state, text};

/// An answer of an operation: its status code and what it means.
pub type Answer = (&'static str, Response);

/// Returns a 200 with JSON of a named schema.
pub fn json_of(schema: &str, description: &str, example: Value) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(named(schema))).example(Some(example)).build();
    base(description).content("application/json", content)
}

/// Returns a 200 with a stream of events.
pub fn stream(description: &str) -> ResponseBuilder {
    let example = "id: 5e0c8a9d4a3c7f10@jobs:0:4711\ndata: {\"id\":\"opt-1\",\"status\":\"running\"}\n\n";
    let content = Content::builder().schema(Some(text().build())).example(Some(json!(example))).build();
    with_views(base(description))
        .content("text/event-stream", content)
        .header("x-accel-buffering", header("Tells proxies to pass each event on at once", text()))
}

/// Returns a 304.
pub fn not_modified() -> Answer {
    ("304", with_views(base("The client has the answer already")).header("etag", etag()).build())
}

/// Adds the headers of an answer that shows views, or that there is none.
pub fn with_views(answer: ResponseBuilder) -> ResponseBuilder {
    answer.header("x-optview-position", position()).header("x-optview-after-outcome", outcome())
}

fn position() -> Header {
    header("The records up to which the answer shows everything: one value, which `after` takes", text())
}

fn outcome() -> Header {
    let description =
        "Where the request has waited for records (`after`): what has become of them, the worst of several";
    header(description, text().enum_values(Some(["applied", "parked", "dead_letter"])))
}

/// Returns the errors of a resource that shows views.
pub fn errors() -> [Answer; 8] {
    [
        error("401", "UNAUTHORIZED", "No credential, or one that is not known")
            .with_header("www-authenticate", HeaderBuilder::new().schema(Some(text())).build()),
        error("404", "NOT_FOUND", "Nothing with this id is visible to the caller").with_views(),
        error(
            "422",
            "VALIDATION_ERROR",
            "A parameter is wrong: `detail` names each. Or, with `strict` and as `NOT_APPLIED`, no view shows a record that is waited for",
        )
        .with_views(),
        error("429", "TOO_MANY_ATTEMPTS", "Too many wrong credentials came from this address").retried(),
        error("500", "INTERNAL_ERROR", "A case that should not happen"),
        error("501", "NOT_OFFERED", "The instance is made of a topic of views, and this needs the events"),
        error("503", "SERVICE_UNAVAILABLE", "The instance cannot answer this yet, or has too much to do")
            .with_views()
            .retried(),
        error("504", "NOT_READ_IN_TIME", "The record that the request waits for has not been read in time")
            .with_position(),
    ]
    .map(ErrorAnswer::build)
}

/// Returns the error of a method that no resource has.
pub fn method_not_allowed() -> Answer {
    error("405", "METHOD_NOT_ALLOWED", "The address is read only")
        .with_header("allow", HeaderBuilder::new().schema(Some(text())).build())
        .build()
}

/// Returns the 503 of an instance that should not get requests.
pub fn not_ready() -> Answer {
    error("503", "SERVICE_UNAVAILABLE", "The instance should not get requests: `message` has the reason")
        .retried()
        .build()
}

/// Returns the header with the validator of an answer.
pub fn etag() -> Header {
    HeaderBuilder::new()
        .description(Some("The validator of the answer, for `if-none-match`"))
        .schema(Some(text()))
        .build()
}

/// Returns the header with the addresses of a list's other pages.
pub fn link() -> Header {
    header(
        "The addresses of the other pages (RFC 8288), relative to the one that was asked; none if they are too long",
        text(),
    )
}

/// Returns the header with the times that a list took.
pub fn server_timing() -> Header {
    let description = "The milliseconds that the list waited (`queue`), that its first piece was read (`store`), and of both (`total`)";
    HeaderBuilder::new().description(Some(description)).schema(Some(text())).build()
}

/// Returns the errors of a resource that reads a body.
pub fn errors_of_bodies() -> [Answer; 2] {
    [
        error("408", "REQUEST_TIMEOUT", "The body did not come in time"),
        error("413", "PAYLOAD_TOO_LARGE", "The body is too large"),
    ]
    .map(ErrorAnswer::build)
}

struct ErrorAnswer(&'static str, ResponseBuilder);

impl ErrorAnswer {
    fn with_header(self, name: &str, header: Header) -> ErrorAnswer {
        ErrorAnswer(self.0, self.1.header(name, header))
    }

    fn with_views(self) -> ErrorAnswer {
        ErrorAnswer(self.0, with_views(self.1))
    }

    fn with_position(self) -> ErrorAnswer {
        self.with_header("x-optview-position", position())
    }

    fn retried(self) -> ErrorAnswer {
        let seconds = HeaderBuilder::new()
            .description(Some("Seconds until it is worth another try; without it, it is not"))
            .schema(Some(count()));
        self.with_header("retry-after", seconds.build())
    }

    fn build(self) -> Answer {
        (self.0, self.1.build())
    }
}

fn error(status: &'static str, error_code: &str, description: &str) -> ErrorAnswer {
    let example = json!({"error_code": error_code, "message": description, "detail": null});
    let content = ContentBuilder::new().schema(Some(named("Error"))).example(Some(example)).build();
    ErrorAnswer(status, base(description).content("application/json", content))
}

/// Makes an answer with the headers that every answer has, and those that every answer may have.
fn base(description: &str) -> ResponseBuilder {
    let ignored = "What the request asks for in vain: parameters that the resource does not know, or that may not be repeated and were";
    ResponseBuilder::new()
        .description(description)
        .header("cache-control", header("How long a cache may keep the answer: never unasked", text()))
        .header("x-correlation-id", header("The request's, or a new one: it stands in the server's log", text()))
        .header("x-optview-state", header("How current the answer is", state()))
        .header(
            "x-optview-lag-seconds",
            header("The age of the oldest record that is not read yet, or `unknown`", text()),
        )
        .header("x-optview-ignored", header(ignored, text()))
        .header(
            "traceparent",
            header("The trace of the request's `traceparent`, with the server's own span", text()),
        )
}

fn header(description: &str, schema: impl Into<RefOr<Schema>>) -> Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(schema)).build()
}
