//! The service that every route is wrapped in. It checks the method, gives the response its correlation id and the state that
//! it was answered in, catches panics, records the metrics, and writes errors. It stands in front of the hot path and must
//! allocate next to nothing. So it is one service and no stack of layers, each of which would box the future once more.

mod request_context;

use std::convert::Infallible;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::response::Response;
use tower::Service;

use super::caller_shares::PeerAddress;
use super::correlation;
use super::errors::{self, HttpError};
use super::ignored_parameters::KnownParameters;
use super::metrics::RouteMetrics;
use crate::panic_text::panic_text;
use crate::status::{AnswerState, Status};
use request_context::RequestContext;

/// The result of a handler.
pub type HandlerResult = Result<Response, HttpError>;

/// The future of a handler that has to wait for its result.
pub type PendingResult = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// The answer of a handler that waits only if it must.
pub enum Answer {
    Now(Response),
    Later(PendingResult),
}

/// A resource: a function of the shared state and a request, with its route's metrics.
pub struct Endpoint<S> {
    state: Arc<S>,
    metrics: Arc<RouteMetrics>,
    handler: Handler<S>,
    /// True if a 503 is a proper answer of this resource, and no failure to give one.
    is_probe: bool,
    /// True if every method is passed to the handler. Otherwise only GET and HEAD are, and OPTIONS is answered with their names.
    any_method: bool,
    /// The parameters that the resource knows; `None` where nobody is told of others.
    known: Option<KnownParameters>,
    /// True if the handler marks its answer itself with the state of the generation that it reads. Otherwise the state is read
    /// before the handler is called.
    marks_itself: bool,
}

/// A handler of a request that comes from an address, which returns its answer at once or has it waited for.
type WaitingHandler<S> = fn(&Arc<S>, &Request, Option<PeerAddress>) -> Result<Answer, HttpError>;

/// The function behind an endpoint.
enum Handler<S> {
    Immediate(fn(&S, &Request) -> HandlerResult),
    Deferred(fn(&S, &Request) -> Result<PendingResult, HttpError>),
    Waiting(WaitingHandler<S>),
    Streaming(fn(&Arc<S>, &Request) -> Result<PendingResult, HttpError>),
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

    /// Makes an endpoint whose handler returns its result at once, or has it waited for, and marks its answers itself. It need not
    /// mark its errors, which depend on no generation.
    pub fn waiting(route: &'static str, state: &Arc<S>, handler: WaitingHandler<S>) -> Endpoint<S> {
        Endpoint { marks_itself: true, ..Endpoint::new(route, state, Handler::Waiting(handler)) }
    }

    /// Makes an endpoint whose handler returns the future of a stream, and marks it itself. The metrics count the time until it begins.
    pub fn streaming(
        route: &'static str,
        state: &Arc<S>,
        handler: fn(&Arc<S>, &Request) -> Result<PendingResult, HttpError>,
    ) -> Endpoint<S> {
        Endpoint::new(route, state, Handler::Streaming(handler))
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
        let state = Arc::clone(state);
        Endpoint { state, metrics, handler, is_probe, any_method: false, known: None, marks_itself: false }
    }

    /// Names the parameters that the resource knows. Each answer tells which ones of a request change nothing.
    pub fn knowing(self, known: KnownParameters) -> Endpoint<S> {
        Endpoint { known: Some(known), ..self }
    }

    /// Makes the endpoint of every path that is no resource. It answers every method.
    pub fn not_found(state: &Arc<S>) -> Endpoint<S> {
        let endpoint = Endpoint::immediate("unknown", state, |_, request| {
            // The path `*` stands for the server as a whole.
            if request.method() == Method::OPTIONS && request.uri().path() == "*" {
                return Ok(errors::allowed_methods(errors::READING));
            }
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
            known: self.known,
            marks_itself: self.marks_itself,
        }
    }
}

impl<S> Clone for Handler<S> {
    fn clone(&self) -> Handler<S> {
        match *self {
            Handler::Immediate(handler) => Handler::Immediate(handler),
            Handler::Deferred(handler) => Handler::Deferred(handler),
            Handler::Waiting(handler) => Handler::Waiting(handler),
            Handler::Streaming(handler) => Handler::Streaming(handler),
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
            Handler::Posted(handler) if request.method() == Method::POST => {
                let (context, uri) = (self.context(&request), request.uri().clone());
                self.pending(catch_panic(|| handler(&self.state, request)).flatten(), context, &uri)
            }
            _ => self.answer(&request, PeerAddress::of(&request)),
        }
    }
}

impl<S: AsRef<Status>> Endpoint<S> {
    fn current_state(&self) -> AnswerState {
        (*self.state).as_ref().answer_state()
    }

    /// Answers a request, which may be for another resource, with an error that was found before the handler was called.
    pub fn refuse(&self, request: &Request, error: HttpError) -> Response {
        let mut context = RequestContext { known: None, ..self.context(request) };
        context.state.get_or_insert_with(|| self.current_state());
        context.response(Err(error), request.uri(), &self.metrics)
    }

    fn context(&self, request: &Request) -> RequestContext {
        RequestContext {
            started: Instant::now(),
            correlation_id: correlation::of(request.headers()),
            head_only: request.method() == Method::HEAD,
            // The state is read before anything else, so that no answer is older than its mark.
            state: (!self.marks_itself).then(|| self.current_state()),
            is_probe: self.is_probe,
            known: self.known,
        }
    }

    fn methods(&self) -> &'static str {
        match self.handler {
            Handler::Posted(_) => errors::POSTING,
            Handler::Immediate(_) | Handler::Deferred(_) | Handler::Waiting(_) | Handler::Streaming(_) => {
                errors::READING
            }
        }
    }

    /// Answers a request that comes from this address. To take it along as the request's extension costs three allocations.
    pub fn answer(&self, request: &Request, peer: Option<PeerAddress>) -> EndpointFuture {
        let mut context = self.context(request);
        if request.method() == Method::OPTIONS && !self.any_method {
            context.state.get_or_insert_with(|| self.current_state());
            return EndpointFuture::Ready(context.response(
                Ok(errors::allowed_methods(self.methods())),
                request.uri(),
                &self.metrics,
            ));
        }
        if request.method() != Method::GET && !context.head_only && !self.any_method {
            context.state.get_or_insert_with(|| self.current_state());
            return EndpointFuture::Ready(context.response(
                Err(HttpError::MethodNotAllowed(self.methods())),
                request.uri(),
                &self.metrics,
            ));
        }
        match self.handler {
            Handler::Immediate(handler) => {
                let result = catch_panic(|| handler(&self.state, request)).flatten();
                if result.is_err() {
                    context.state.get_or_insert_with(|| self.current_state());
                }
                EndpointFuture::Ready(context.response(result, request.uri(), &self.metrics))
            }
            Handler::Deferred(handler) => {
                self.pending(catch_panic(|| handler(&self.state, request)).flatten(), context, request.uri())
            }
            Handler::Streaming(handler) => {
                self.pending(catch_panic(|| handler(&self.state, request)).flatten(), context, request.uri())
            }
            // Only POST is routed to it.
            Handler::Posted(_) => {
                self.pending(Err(HttpError::MethodNotAllowed(self.methods())), context, request.uri())
            }
            Handler::Waiting(handler) => {
                let answer = catch_panic(|| handler(&self.state, request, peer)).flatten();
                if !matches!(answer, Ok(Answer::Now(_))) {
                    // An error depends on no generation, and the handler marks all else before this mark is added.
                    context.state.get_or_insert_with(|| self.current_state());
                }
                match answer {
                    Ok(Answer::Now(response)) => {
                        EndpointFuture::Ready(context.response(Ok(response), request.uri(), &self.metrics))
                    }
                    Ok(Answer::Later(pending)) => self.pending(Ok(pending), context, request.uri()),
                    Err(error) => self.pending(Err(error), context, request.uri()),
                }
            }
        }
    }

    fn pending(
        &self,
        pending: Result<PendingResult, HttpError>,
        context: RequestContext,
        uri: &Uri,
    ) -> EndpointFuture {
        match pending {
            Ok(pending) => EndpointFuture::Pending(pending, context, uri.clone(), Arc::clone(&self.metrics)),
            Err(error) => EndpointFuture::Ready(context.response(Err(error), uri, &self.metrics)),
        }
    }
}

/// The future of an [`Endpoint`]. It is an enum, so that a response that is there already costs no box.
pub enum EndpointFuture {
    Ready(Response),
    Pending(PendingResult, RequestContext, Uri, Arc<RouteMetrics>),
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
            (EndpointFuture::Pending(_, context, uri, metrics), Some(result)) => {
                context.response(result, &uri, &metrics)
            }
            _ => unreachable!("a future is not polled again once it has finished"),
        };
        Poll::Ready(Ok(response))
    }
}

/// Turns a panic into an error, so that it does not end the connection and the requests behind it.
fn catch_panic<T>(answer: impl FnOnce() -> T) -> Result<T, HttpError> {
    catch_unwind(AssertUnwindSafe(answer))
        .map_err(|panic| HttpError::Internal(format!("the answer panicked: {}", panic_text(&*panic))))
}

#[cfg(test)]
mod tests;
