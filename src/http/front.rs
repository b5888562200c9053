//! The front of an address: what belongs to every answer and not to a resource. Pages of other origins, the trace that a request
//! belongs to, the access log, and the end of a connection on which a body may be left. A request that concerns none of them passes with a
//! look at two headers.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use hyper::body::Incoming;
use tower::Service;
use tracing::Span;

use super::access::Access;
use super::access_log::{AccessLog, LoggedRequest};
use super::connection_end::ConnectionEnd;
use super::cross_origin::{CrossOrigin, CrossOriginGrant};
use super::server::App;
use super::trace_context::{TRACEPARENT, TraceContext};

/// The settings of a front.
#[derive(Default)]
pub struct FrontSettings {
    /// The origins whose pages may read; `None` if the header `Origin` has no meaning.
    pub cross_origin: Option<CrossOrigin>,
    /// The access log with the rule that names callers in it; `None` if there is no such log.
    pub access_log: Option<(AccessLog, Access)>,
}

/// A service behind a front.
#[derive(Clone)]
pub struct Front<A> {
    app: A,
    settings: Arc<FrontSettings>,
    /// The address that the connection comes from, if this clone belongs to one connection.
    peer: Option<IpAddr>,
}

impl<A> Front<A> {
    /// Puts a front before a service.
    pub fn new(app: A, settings: FrontSettings) -> Front<A> {
        Front { app, settings: Arc::new(settings), peer: None }
    }

    /// Returns what has to be done for a request besides the answer; `None` if there is nothing.
    fn duties<B: HttpBody>(&self, request: &axum::http::Request<B>) -> Option<Box<Duties>> {
        let headers = request.headers();
        let FrontSettings { cross_origin, access_log } = &*self.settings;
        let grant = cross_origin.as_ref().and_then(|rule| rule.grant(request.method(), headers));
        let trace = TraceContext::of(headers);
        let log = access_log.as_ref().map(|(log, access)| {
            let trace_id = trace.as_ref().map(|trace| trace.trace_id.clone());
            (LoggedRequest::of(request, self.peer, caller(access, headers), trace_id), log.clone())
        });
        let has_body = !request.body().is_end_stream();
        if grant.is_none() && trace.is_none() && log.is_none() && !has_body {
            return None;
        }
        let trace = trace.map(|trace| (trace.span(), trace));
        Some(Box::new(Duties { grant, trace, log, has_body }))
    }

    fn begin<B: HttpBody, F>(
        &self,
        request: axum::http::Request<B>,
        answer: impl FnOnce(axum::http::Request<B>) -> F,
    ) -> FrontFuture<F> {
        let duties = self.duties(&request);
        let answer = match duties.as_ref().and_then(|duties| duties.span()) {
            Some(span) => span.in_scope(|| answer(request)),
            None => answer(request),
        };
        FrontFuture { answer, duties }
    }
}

fn caller(access: &Access, headers: &HeaderMap) -> Option<String> {
    access.known_principal(headers).map(|principal| principal.id.clone())
}

impl<A: App<Answering: Unpin>> App for Front<A> {
    type Answering = FrontFuture<A::Answering>;

    fn for_connection(&self, address: Option<IpAddr>, end: ConnectionEnd) -> Front<A> {
        Front { app: self.app.for_connection(address, end), settings: Arc::clone(&self.settings), peer: address }
    }

    fn answer(&self, request: Request<Incoming>) -> Self::Answering {
        self.begin(request, |request| self.app.answer(request))
    }
}

impl<A, B> Service<axum::http::Request<B>> for Front<A>
where
    B: HttpBody,
    A: Service<axum::http::Request<B>, Response = Response, Error = Infallible, Future: Unpin> + Clone,
{
    type Response = Response;
    type Error = Infallible;
    type Future = FrontFuture<A::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.app.poll_ready(context)
    }

    fn call(&mut self, request: axum::http::Request<B>) -> FrontFuture<A::Future> {
        let mut app = self.app.clone();
        self.begin(request, |request| app.call(request))
    }
}

/// The work on an answer.
struct Duties {
    grant: Option<CrossOriginGrant>,
    trace: Option<(Span, TraceContext)>,
    log: Option<(LoggedRequest, AccessLog)>,
    /// True if the request has a body, which an error may leave unread.
    has_body: bool,
}

impl Duties {
    fn span(&self) -> Option<&Span> {
        self.trace.as_ref().map(|(span, _)| span)
    }

    fn fulfil(self, mut response: Response) -> Response {
        if let Some((_, trace)) = &self.trace {
            response.headers_mut().insert(TRACEPARENT.clone(), trace.header());
        }
        // Hyper closes a connection on which a part of a body is left. A client that is not told sends its next request there, and loses it.
        if self.has_body && (response.status().is_client_error() || response.status().is_server_error()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(grant) = self.grant {
            response = grant.add_to(response);
        }
        if let Some((request, AccessLog { format, queue })) = self.log {
            queue.push(request.line(format, &response).into_bytes());
        }
        response
    }
}

/// The future of a [`Front`].
pub struct FrontFuture<F> {
    answer: F,
    duties: Option<Box<Duties>>,
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for FrontFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let FrontFuture { answer, duties } = &mut *self;
        let polled = match duties.as_ref().and_then(|duties| duties.span()) {
            Some(span) => span.in_scope(|| Pin::new(answer).poll(task)),
            None => Pin::new(answer).poll(task),
        };
        let Ok(response) = ready!(polled);
        Poll::Ready(Ok(match duties.take() {
            Some(duties) => duties.fulfil(response),
            None => response,
        }))
    }
}

#[cfg(test)]
mod tests;
