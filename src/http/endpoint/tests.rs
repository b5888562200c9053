use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::http::correlation::CORRELATION_ID;
use crate::http::freshness;
use crate::http::json_response::json;

fn get() -> Request {
    Request::new(Body::empty())
}

async fn answer(endpoint: Endpoint<Status>, request: Request) -> (StatusCode, Response) {
    let Ok(response) = endpoint.oneshot(request).await;
    assert!(response.headers().contains_key(&CORRELATION_ID));
    assert_eq!(response.headers()["x-optview-state"], "starting");
    (response.status(), response)
}

fn endpoints(
    immediate: fn(&Status, &Request) -> HandlerResult,
    deferred: fn(&Status, &Request) -> Result<PendingResult, HttpError>,
) -> [Endpoint<Status>; 2] {
    [
        Endpoint::immediate("/test", &Arc::new(Status::new(1)), immediate),
        Endpoint::deferred("/test", &Arc::new(Status::new(1)), deferred),
    ]
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let panicking = endpoints(|_, _| panic!("now"), |_, _| Ok(Box::pin(async { panic!("later") })));
    let panics_before_waiting = Endpoint::deferred("/test", &Arc::new(Status::new(1)), |_, _| panic!("at once"));
    for endpoint in panicking.into_iter().chain([panics_before_waiting]) {
        let (status, response) = answer(endpoint, get()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{\"error_code\":\"INTERNAL_ERROR\""));
    }
}

/// A shared state that counts how often its status is read.
struct CountingStatus(Status, AtomicUsize);

impl AsRef<Status> for CountingStatus {
    fn as_ref(&self) -> &Status {
        self.1.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

#[tokio::test]
async fn a_resource_that_marks_its_answers_has_the_state_read_by_itself_only() {
    type CountingHandler = fn(&Arc<CountingStatus>, &Request, Option<PeerAddress>) -> Result<Answer, HttpError>;
    let status = Arc::new(CountingStatus(Status::new(1), AtomicUsize::new(0)));
    let marked: CountingHandler =
        |status, _, _| Ok(Answer::Now(freshness::mark(json("{}"), status.0.answer_state())));
    let later: CountingHandler = |_, _, _| Ok(Answer::Later(Box::pin(async { Ok(json("{}")) })));
    let refused_later: CountingHandler =
        |_, _, _| Ok(Answer::Later(Box::pin(async { Err(HttpError::NotFound("no")) })));
    let refused: CountingHandler = |_, _, _| Err(HttpError::NotFound("no"));
    let panicking: CountingHandler = |_, _, _| panic!("now");
    for (handler, method, reads) in [
        (marked, Method::GET, 0),
        (later, Method::GET, 1),
        (refused_later, Method::GET, 1),
        (refused, Method::GET, 1),
        (panicking, Method::GET, 1),
        (marked, Method::POST, 1),
    ] {
        status.1.store(0, Ordering::Relaxed);
        let mut request = get();
        *request.method_mut() = method;
        let Ok(response) = Endpoint::waiting("/test", &status, handler).oneshot(request).await;
        assert_eq!(response.headers()["x-optview-state"], "starting");
        assert_eq!(status.1.load(Ordering::Relaxed), reads, "{}", response.status());
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    for endpoint in endpoints(|_, _| Ok(json("{}")), |_, _| Ok(Box::pin(async { Ok(json("{}")) }))) {
        let mut request = get();
        *request.method_mut() = Method::HEAD;
        let (status, response) = answer(endpoint, request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_LENGTH], "2");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn head_of_an_unmodified_resource_has_no_length() {
    fn not_modified() -> Response {
        Response::builder().status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap()
    }
    for endpoint in endpoints(|_, _| Ok(not_modified()), |_, _| Ok(Box::pin(async { Ok(not_modified()) }))) {
        let mut request = get();
        *request.method_mut() = Method::HEAD;
        let (status, response) = answer(endpoint, request).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers().get(CONTENT_LENGTH), None);
    }
}

#[tokio::test]
async fn a_method_that_does_not_read_is_answered_before_the_handler_is_called() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        for endpoint in endpoints(|_, _| panic!("asked"), |_, _| panic!("asked")) {
            let mut request = get();
            *request.method_mut() = method.clone();
            let (status, response) = answer(endpoint, request).await;
            let expected =
                if method == Method::OPTIONS { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!(status, expected);
            assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS");
        }
    }
}
