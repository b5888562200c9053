//! What every route passes through, on the way in and out: the method, the correlation id, how current the answer is,
//! panics, the metrics, and how an error is written. Must allocate next to nothing: it stands in front of the hot path, which is why it is
//! a service of its own and no stack of layers, each of which boxes the future once more.

use std::any::Any;
use std::convert::Infallible;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use tower::Service;

use super::correlation::{self, CORRELATION_ID};
use super::currency;
use super::errors::{self, HttpError};
use super::log_throttle::LogBurst;
use super::metrics::RouteMetrics;
use crate::status::{State, Status};

pub type Answer = Result<Response, HttpError>;

/// An answer that has to be waited for.
pub type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A resource: a function of the shared state and a request.
pub struct Edge<S> {
    state: Arc<S>,
    metrics: Arc<RouteMetrics>,
    ask: Ask<S>,
    /// Whether its 503 is an answer to what was asked, and no failure to answer it.
    is_probe: bool,
    /// Otherwise only GET and HEAD are answered.
    any_method: bool,
    /// The resource says itself how current its answer is, by the state of what it reads. Otherwise that is looked up before it is
    /// asked.
    marks_itself: bool,
}

enum Ask<S> {
    Now(fn(&S, &Request) -> Answer),
    Later(fn(&S, &Request) -> Result<Pending, HttpError>),
}

impl<S> Edge<S> {
    pub fn now(route: &'static str, state: &Arc<S>, ask: fn(&S, &Request) -> Answer) -> Edge<S> {
        Edge::new(route, state, Ask::Now(ask))
    }

    /// As [`Edge::now`], of a resource that marks its answers itself. Its errors, which are read from nothing, it need not mark.
    pub fn marking(route: &'static str, state: &Arc<S>, ask: fn(&S, &Request) -> Answer) -> Edge<S> {
        Edge { marks_itself: true, ..Edge::now(route, state, ask) }
    }

    pub fn later(
        route: &'static str,
        state: &Arc<S>,
        ask: fn(&S, &Request) -> Result<Pending, HttpError>,
    ) -> Edge<S> {
        Edge::new(route, state, Ask::Later(ask))
    }

    fn new(route: &'static str, state: &Arc<S>, ask: Ask<S>) -> Edge<S> {
        let metrics = Arc::new(RouteMetrics::register(route));
        let is_probe = route == "/readyz";
        Edge { state: Arc::clone(state), metrics, ask, is_probe, any_method: false, marks_itself: false }
    }

    /// Every path that is no resource. The method does not matter there.
    pub fn unknown(state: &Arc<S>) -> Edge<S> {
        let edge = Edge::now("unknown", state, |_, _| {
            Err(HttpError::NotFound("there is nothing at this path: check the address"))
        });
        Edge { any_method: true, ..edge }
    }
}

impl<S> Clone for Edge<S> {
    fn clone(&self) -> Edge<S> {
        Edge {
            state: Arc::clone(&self.state),
            metrics: Arc::clone(&self.metrics),
            ask: self.ask.clone(),
            is_probe: self.is_probe,
            any_method: self.any_method,
            marks_itself: self.marks_itself,
        }
    }
}

impl<S> Clone for Ask<S> {
    fn clone(&self) -> Ask<S> {
        match *self {
            Ask::Now(ask) => Ask::Now(ask),
            Ask::Later(ask) => Ask::Later(ask),
        }
    }
}

impl<S: AsRef<Status>> Service<Request> for Edge<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        self.answer(&request)
    }
}

impl<S: AsRef<Status>> Edge<S> {
    fn current_state(&self) -> State {
        (*self.state).as_ref().state()
    }

    pub fn answer(&self, request: &Request) -> Answering {
        let mut departure = Departure {
            started: Instant::now(),
            correlation_id: correlation::of(request.headers()),
            head_only: request.method() == Method::HEAD,
            // Before anything is read: an answer is no older than that.
            state: (!self.marks_itself).then(|| self.current_state()),
            uri: request.uri().clone(),
            is_probe: self.is_probe,
        };
        if request.method() != Method::GET && !departure.head_only && !self.any_method {
            departure.state.get_or_insert_with(|| self.current_state());
            return Answering::Now(departure.response(Err(HttpError::MethodNotAllowed), &self.metrics));
        }
        match self.ask {
            Ask::Now(ask) => {
                let answer = caught(|| ask(&self.state, request)).and_then(|answer| answer);
                if answer.is_err() {
                    departure.state.get_or_insert_with(|| self.current_state());
                }
                Answering::Now(departure.response(answer, &self.metrics))
            }
            Ask::Later(ask) => {
                let pending = caught(|| ask(&self.state, request));
                match pending.and_then(|pending| pending) {
                    Ok(pending) => Answering::Later(pending, departure, Arc::clone(&self.metrics)),
                    Err(error) => Answering::Now(departure.response(Err(error), &self.metrics)),
                }
            }
        }
    }
}

/// The future of an [`Edge`]. An enum, so that an answer that is there already costs no box.
pub enum Answering {
    Now(Response),
    Later(Pending, Departure, Arc<RouteMetrics>),
    Done,
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut *self {
            Answering::Later(pending, ..) => match caught(|| pending.as_mut().poll(context)) {
                Ok(polled) => Some(ready!(polled)),
                Err(error) => Some(Err(error)),
            },
            Answering::Now(_) | Answering::Done => None,
        };
        let response = match (mem::replace(&mut *self, Answering::Done), answer) {
            (Answering::Now(response), _) => response,
            (Answering::Later(_, departure, metrics), Some(answer)) => departure.response(answer, &metrics),
            _ => unreachable!("a future is not polled again once it has answered"),
        };
        Poll::Ready(Ok(response))
    }
}

/// What the way out needs to remember of the way in.
pub struct Departure {
    started: Instant,
    correlation_id: HeaderValue,
    head_only: bool,
    /// `None` where the answer has been marked with it already.
    state: Option<State>,
    uri: Uri,
    is_probe: bool,
}

impl Departure {
    fn response(self, answer: Answer, metrics: &RouteMetrics) -> Response {
        let mut response = match answer {
            Ok(response) => {
                if response.status().is_server_error() {
                    self.log_failure(response.status(), "the answer could not be written");
                }
                response
            }
            Err(error) => {
                let response = errors::response(&error);
                if response.status().is_server_error() {
                    self.log_failure(response.status(), &error.cause());
                }
                response
            }
        };
        if let Some(state) = self.state {
            response = currency::mark(response, state);
        }
        response.headers_mut().insert(CORRELATION_ID.clone(), self.correlation_id);
        if self.head_only {
            response = without_body(response);
        }
        metrics.record(response.status(), self.started.elapsed());
        response
    }

    /// The one place that logs of a request, so that no such line is without its correlation id. What clients do wrong is only
    /// counted by the metrics.
    fn log_failure(&self, status: StatusCode, cause: &str) {
        static FAILURES: LogBurst = LogBurst::new();
        let (status, path) = (status.as_u16(), self.uri.path());
        let correlation_id = self.correlation_id.to_str().unwrap_or_default();
        if self.is_probe {
            // What it says is in the status, and changes of that are logged.
            tracing::debug!(correlation_id, status, path, "not ready: {cause}");
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

/// HEAD: the headers of GET, `content-length` included, which only the body knows. A 304 has none that could be told.
fn without_body(mut response: Response) -> Response {
    if response.status() != StatusCode::NOT_MODIFIED
        && let Some(length) = response.body().size_hint().exact()
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}

/// A panic in one answer must not take the connection, and the requests behind it, along.
fn caught<T>(ask: impl FnOnce() -> T) -> Result<T, HttpError> {
    catch_unwind(AssertUnwindSafe(ask))
        .map_err(|panic| HttpError::Internal(format!("the answer panicked: {}", text_of(&*panic))))
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::super::json;
    use super::*;

    fn get() -> Request {
        Request::new(Body::empty())
    }

    async fn answer(edge: Edge<Status>, request: Request) -> (StatusCode, Response) {
        let Ok(response) = edge.oneshot(request).await;
        assert!(response.headers().contains_key(&CORRELATION_ID));
        assert_eq!(response.headers()["x-optview-state"], "starting");
        (response.status(), response)
    }

    fn edges(
        now: fn(&Status, &Request) -> Answer,
        later: fn(&Status, &Request) -> Result<Pending, HttpError>,
    ) -> [Edge<Status>; 2] {
        [
            Edge::now("/test", &Arc::new(Status::new(1)), now),
            Edge::later("/test", &Arc::new(Status::new(1)), later),
        ]
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let panicking = edges(|_, _| panic!("now"), |_, _| Ok(Box::pin(async { panic!("later") })));
        let asking = Edge::later("/test", &Arc::new(Status::new(1)), |_, _| panic!("asking"));
        for edge in panicking.into_iter().chain([asking]) {
            let (status, response) = answer(edge, get()).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"{\"error_code\":\"INTERNAL_ERROR\""));
        }
    }

    /// Counts how often it is asked for the status.
    struct Counted(Status, AtomicUsize);

    impl AsRef<Status> for Counted {
        fn as_ref(&self) -> &Status {
            self.1.fetch_add(1, Ordering::Relaxed);
            &self.0
        }
    }

    #[tokio::test]
    async fn a_resource_that_marks_its_answers_has_the_state_read_by_itself_only() {
        let counted = Arc::new(Counted(Status::new(1), AtomicUsize::new(0)));
        let marked: fn(&Counted, &Request) -> Answer =
            |counted, _| Ok(currency::mark(json("{}"), counted.0.state()));
        let refused: fn(&Counted, &Request) -> Answer = |_, _| Err(HttpError::NotFound("no"));
        let panicking: fn(&Counted, &Request) -> Answer = |_, _| panic!("now");
        for (ask, method, looks) in [
            (marked, Method::GET, 0),
            (refused, Method::GET, 1),
            (panicking, Method::GET, 1),
            (marked, Method::POST, 1),
        ] {
            counted.1.store(0, Ordering::Relaxed);
            let mut request = get();
            *request.method_mut() = method;
            let Ok(response) = Edge::marking("/test", &counted, ask).oneshot(request).await;
            assert_eq!(response.headers()["x-optview-state"], "starting");
            assert_eq!(counted.1.load(Ordering::Relaxed), looks, "{}", response.status());
        }
    }

    #[tokio::test]
    async fn head_has_the_headers_of_get_and_no_body() {
        for edge in edges(|_, _| Ok(json("{}")), |_, _| Ok(Box::pin(async { Ok(json("{}")) }))) {
            let mut request = get();
            *request.method_mut() = Method::HEAD;
            let (status, response) = answer(edge, request).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_LENGTH], "2");
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
    }

    #[tokio::test]
    async fn head_of_what_the_client_has_tells_no_length() {
        fn not_modified() -> Response {
            Response::builder().status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap()
        }
        for edge in edges(|_, _| Ok(not_modified()), |_, _| Ok(Box::pin(async { Ok(not_modified()) }))) {
            let mut request = get();
            *request.method_mut() = Method::HEAD;
            let (status, response) = answer(edge, request).await;
            assert_eq!(status, StatusCode::NOT_MODIFIED);
            assert_eq!(response.headers().get(CONTENT_LENGTH), None);
        }
    }

    #[tokio::test]
    async fn a_method_that_writes_is_refused_before_anything_is_asked() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            for edge in edges(|_, _| panic!("asked"), |_, _| panic!("asked")) {
                let mut request = get();
                *request.method_mut() = method.clone();
                let (status, response) = answer(edge, request).await;
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
                assert_eq!(response.headers()["allow"], "GET, HEAD");
            }
        }
    }
}
