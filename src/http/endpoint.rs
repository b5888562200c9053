//! The service that every route is wrapped in. It checks the method, gives the response its correlation id and the state that
//! it was answered in, catches panics, records the metrics, and writes errors. It stands in front of the hot path and must
//! allocate next to nothing. So it is one service and no stack of layers, each of which would box the future once more.

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
use super::errors::{self, HttpError};
use super::freshness;
use super::log_throttle::LogBurst;
use super::metrics::RouteMetrics;
use crate::panic_text::panic_text;
use crate::status::{State, Status};

/// The result of a handler.
pub type HandlerResult = Result<Response, HttpError>;

/// The future of a handler that has to wait for its result.
pub type PendingResult = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// A resource: a function of the shared state and a request, with its route's metrics.
pub struct Endpoint<S> {
    state: Arc<S>,
    metrics: Arc<RouteMetrics>,
    handler: Handler<S>,
    /// True if a 503 is a proper answer of this resource, and no failure to give one.
    is_probe: bool,
    /// True if every method is answered. Otherwise only GET and HEAD are.
    any_method: bool,
    /// True if the handler marks its answer itself with the state of the generation that it reads. Otherwise the state is read
    /// before the handler is called.
    marks_itself: bool,
}

/// The function behind an endpoint.
enum Handler<S> {
    Immediate(fn(&S, &Request) -> HandlerResult),
    Deferred(fn(&S, &Request) -> Result<PendingResult, HttpError>),
    /// The request is a POST whose body is read: a question that is too long for an address.
    Posted(fn(&S, Request) -> Result<PendingResult, HttpError>),
}

impl<S> Endpoint<S> {
    /// Makes an endpoint whose handler returns its result at once.
    pub fn immediate(
        route: &'static str,
        state: &Arc<S>,
        handler: fn(&S, &Request) -> HandlerResult,
    ) -> Endpoint<S> {
        Endpoint::new(route, state, Handler::Immediate(handler))
    }

    /// Makes an endpoint like [`Endpoint::immediate`] whose handler marks its answers itself. It need not mark its errors,
    /// which depend on no generation.
    pub fn self_marking(
        route: &'static str,
        state: &Arc<S>,
        handler: fn(&S, &Request) -> HandlerResult,
    ) -> Endpoint<S> {
        Endpoint { marks_itself: true, ..Endpoint::immediate(route, state, handler) }
    }

    /// Makes an endpoint whose handler returns a future.
    pub fn deferred(
        route: &'static str,
        state: &Arc<S>,
        handler: fn(&S, &Request) -> Result<PendingResult, HttpError>,
    ) -> Endpoint<S> {
        Endpoint::new(route, state, Handler::Deferred(handler))
    }

    /// Makes an endpoint that answers POST only, whose handler reads the body and returns a future.
    pub fn posted(
        route: &'static str,
        state: &Arc<S>,
        handler: fn(&S, Request) -> Result<PendingResult, HttpError>,
    ) -> Endpoint<S> {
        Endpoint::new(route, state, Handler::Posted(handler))
    }

    fn new(route: &'static str, state: &Arc<S>, handler: Handler<S>) -> Endpoint<S> {
        let metrics = Arc::new(RouteMetrics::register(route));
        let is_probe = route == "/readyz";
        Endpoint { state: Arc::clone(state), metrics, handler, is_probe, any_method: false, marks_itself: false }
    }

    /// Makes the endpoint of every path that is no resource. It answers every method.
    pub fn not_found(state: &Arc<S>) -> Endpoint<S> {
        let endpoint = Endpoint::immediate("unknown", state, |_, _| {
            Err(HttpError::NotFound("there is nothing at this path: check the address"))
        });
        Endpoint { any_method: true, ..endpoint }
    }
}

impl<S> Clone for Endpoint<S> {
    fn clone(&self) -> Endpoint<S> {
        Endpoint {
            state: Arc::clone(&self.state),
            metrics: Arc::clone(&self.metrics),
            handler: self.handler.clone(),
            is_probe: self.is_probe,
            any_method: self.any_method,
            marks_itself: self.marks_itself,
        }
    }
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Handler<S> {
        match *self {
            Handler::Immediate(handler) => Handler::Immediate(handler),
            Handler::Deferred(handler) => Handler::Deferred(handler),
            Handler::Posted(handler) => Handler::Posted(handler),
        }
    }
}

impl<S: AsRef<Status>> Service<Request> for Endpoint<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = EndpointFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> EndpointFuture {
        match self.handler {
            Handler::Posted(handler) if request.method() == Method::POST => self.answer_post(request, handler),
            _ => self.answer(&request),
        }
    }
}

impl<S: AsRef<Status>> Endpoint<S> {
    fn current_state(&self) -> State {
        (*self.state).as_ref().state()
    }

    fn context(&self, request: &Request) -> RequestContext {
        RequestContext {
            started: Instant::now(),
            correlation_id: correlation::of(request.headers()),
            head_only: request.method() == Method::HEAD,
            // The state is read before anything else, so that no answer is older than its mark.
            state: (!self.marks_itself).then(|| self.current_state()),
            uri: request.uri().clone(),
            is_probe: self.is_probe,
        }
    }

    fn answer_post(
        &self,
        request: Request,
        handler: fn(&S, Request) -> Result<PendingResult, HttpError>,
    ) -> EndpointFuture {
        let context = self.context(&request);
        self.deferred_future(catch_panic(|| handler(&self.state, request)).flatten(), context)
    }

    fn deferred_future(
        &self,
        result: Result<PendingResult, HttpError>,
        context: RequestContext,
    ) -> EndpointFuture {
        match result {
            Ok(pending) => EndpointFuture::Pending(pending, context, Arc::clone(&self.metrics)),
            Err(error) => EndpointFuture::Ready(context.response(Err(error), &self.metrics)),
        }
    }

    pub fn answer(&self, request: &Request) -> EndpointFuture {
        let mut context = self.context(request);
        if request.method() != Method::GET && !context.head_only && !self.any_method {
            context.state.get_or_insert_with(|| self.current_state());
            return EndpointFuture::Ready(context.response(Err(HttpError::MethodNotAllowed), &self.metrics));
        }
        match self.handler {
            Handler::Immediate(handler) => {
                let result = catch_panic(|| handler(&self.state, request)).flatten();
                if result.is_err() {
                    context.state.get_or_insert_with(|| self.current_state());
                }
                EndpointFuture::Ready(context.response(result, &self.metrics))
            }
            Handler::Deferred(handler) => {
                self.deferred_future(catch_panic(|| handler(&self.state, request)).flatten(), context)
            }
            // Only POST is routed to it.
            Handler::Posted(_) => {
                EndpointFuture::Ready(context.response(Err(HttpError::MethodNotAllowed), &self.metrics))
            }
        }
    }
}

/// The future of an [`Endpoint`]. It is an enum, so that a response that is there already costs no box.
pub enum EndpointFuture {
    Ready(Response),
    Pending(PendingResult, RequestContext, Arc<RouteMetrics>),
    Finished,
}

impl Future for EndpointFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut *self {
            EndpointFuture::Pending(pending, ..) => match catch_panic(|| pending.as_mut().poll(task)) {
                Ok(polled) => Some(ready!(polled)),
                Err(error) => Some(Err(error)),
            },
            EndpointFuture::Ready(_) | EndpointFuture::Finished => None,
        };
        let response = match (mem::replace(&mut *self, EndpointFuture::Finished), result) {
            (EndpointFuture::Ready(response), _) => response,
            (EndpointFuture::Pending(_, context, metrics), Some(result)) => context.response(result, &metrics),
            _ => unreachable!("a future is not polled again once it has finished"),
        };
        Poll::Ready(Ok(response))
    }
}

/// The facts of a request that its response needs.
pub struct RequestContext {
    started: Instant,
    correlation_id: HeaderValue,
    head_only: bool,
    /// The state to mark the response with; `None` if the handler has marked it already.
    state: Option<State>,
    uri: Uri,
    is_probe: bool,
}

impl RequestContext {
    fn response(self, result: HandlerResult, metrics: &RouteMetrics) -> Response {
        let mut response = match result {
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
            response = freshness::mark(response, state);
        }
        response.headers_mut().insert(CORRELATION_ID.clone(), self.correlation_id);
        if self.head_only {
            response = without_body(response);
        }
        metrics.record(response.status(), self.started.elapsed());
        response
    }

    /// Logs a failed request. Nothing else logs requests, so that no such line lacks its correlation id. Mistakes of clients
    /// are counted by the metrics and not logged.
    fn log_failure(&self, status: StatusCode, cause: &str) {
        static FAILURES: LogBurst = LogBurst::new();
        let (status, path) = (status.as_u16(), self.uri.path());
        let correlation_id = self.correlation_id.to_str().unwrap_or_default();
        if self.is_probe {
            // The answer repeats the status, whose changes are logged elsewhere.
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

/// Turns a panic into an error, so that it does not end the connection and the requests behind it.
fn catch_panic<T>(answer: impl FnOnce() -> T) -> Result<T, HttpError> {
    catch_unwind(AssertUnwindSafe(answer))
        .map_err(|panic| HttpError::Internal(format!("the answer panicked: {}", panic_text(&*panic))))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::super::json_response::json;
    use super::*;

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
        let panics_before_waiting =
            Endpoint::deferred("/test", &Arc::new(Status::new(1)), |_, _| panic!("at once"));
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
        type CountingHandler = fn(&CountingStatus, &Request) -> HandlerResult;
        let status = Arc::new(CountingStatus(Status::new(1), AtomicUsize::new(0)));
        let marked: CountingHandler = |status, _| Ok(freshness::mark(json("{}"), status.0.state()));
        let refused: CountingHandler = |_, _| Err(HttpError::NotFound("no"));
        let panicking: CountingHandler = |_, _| panic!("now");
        for (handler, method, reads) in [
            (marked, Method::GET, 0),
            (refused, Method::GET, 1),
            (panicking, Method::GET, 1),
            (marked, Method::POST, 1),
        ] {
            status.1.store(0, Ordering::Relaxed);
            let mut request = get();
            *request.method_mut() = method;
            let Ok(response) = Endpoint::self_marking("/test", &status, handler).oneshot(request).await;
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
    async fn a_method_that_writes_is_refused_before_the_handler_is_called() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            for endpoint in endpoints(|_, _| panic!("asked"), |_, _| panic!("asked")) {
                let mut request = get();
                *request.method_mut() = method.clone();
                let (status, response) = answer(endpoint, request).await;
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
                assert_eq!(response.headers()["allow"], "GET, HEAD");
            }
        }
    }
}
