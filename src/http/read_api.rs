//! The read address as one service. Reads by id go straight to their endpoint, all else through the router, which
//! stores in each request what it matched, and boxes the answer. The service must not answer anything itself.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use tower::Service;

use super::api::Api;
use super::caller_shares::PeerAddress;
use super::connection_end::ConnectionEnd;
use super::endpoint::{Endpoint, EndpointFuture};
use super::position_wait::{self, PositionWait};
use super::server::App;
use super::{lists, optimizations, wait_query};

/// The service of the read address. It is cheap to clone, as each request is answered by a clone.
#[derive(Clone)]
pub struct ReadApi {
    resources: Arc<Resources>,
    /// The address that the connection comes from, if this clone belongs to one connection.
    peer: Option<PeerAddress>,
    /// The end of that connection.
    end: ConnectionEnd,
}

struct Resources {
    api: Arc<Api>,
    by_id: Endpoint<Api>,
    others: Router,
}

impl ReadApi {
    pub(super) fn new(api: &Arc<Api>, by_id: Endpoint<Api>, others: Router) -> ReadApi {
        let resources = Resources { api: Arc::clone(api), by_id, others };
        ReadApi { resources: Arc::new(resources), peer: None, end: ConnectionEnd::default() }
    }
}

impl App for ReadApi {
    type Answering = ReadFuture;

    fn for_connection(&self, address: Option<IpAddr>, end: ConnectionEnd) -> ReadApi {
        ReadApi { peer: address.map(PeerAddress), end, ..self.clone() }
    }

    fn answer(&self, request: Request<Incoming>) -> ReadFuture {
        self.respond(request)
    }
}

impl<B> Service<Request<B>> for ReadApi
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ReadFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ReadFuture {
        self.respond(request)
    }
}

impl ReadApi {
    fn respond<B>(&self, mut request: Request<B>) -> ReadFuture
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let Resources { api, by_id, others } = &*self.resources;
        let is_view = is_view(&request);
        let waits = wait_query::may_wait_for_position(request.uri(), request.headers())
            && is_answered_with_views(&request);
        if let Some(peer) = self.peer
            && (!is_view || waits)
        {
            request.extensions_mut().insert(peer);
        }
        if !is_view && !waits {
            if request.uri().path().ends_with(optimizations::EVENTS) {
                request.extensions_mut().insert(self.end.clone());
            }
            return ReadFuture::Routed(others.clone().call(request));
        }
        // Nearly no handler reads the body, which has to be boxed.
        let is_read = is_statuses(&request);
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, if is_read { Body::new(body) } else { Body::empty() });
        if !waits {
            return ReadFuture::ById(by_id.answer(&request, self.peer));
        }
        match PositionWait::begin(api, &request) {
            Ok(Some(wait)) => ReadFuture::Waiting(Box::pin(answer_after(wait, self.clone(), request))),
            Ok(None) if is_view => ReadFuture::ById(by_id.answer(&request, self.peer)),
            Ok(None) => ReadFuture::Routed(others.clone().call(request)),
            Err(error) => ReadFuture::ById(EndpointFuture::Ready(by_id.refuse(&request, error))),
        }
    }
}

fn is_view<B>(request: &Request<B>) -> bool {
    optimizations::is_view(request.uri().path()) && !is_statuses(request)
}

/// Returns true if a request is one for statuses, or asks for the methods of that path. A view with such an id is still read by GET.
fn is_statuses<B>(request: &Request<B>) -> bool {
    request.uri().path() == lists::STATUSES && ![Method::GET, Method::HEAD].contains(request.method())
}

/// Returns true if a request may be answered with views. No other waits for a position: a preflight, or a method that no resource
/// has, is answered at once.
fn is_answered_with_views<B>(request: &Request<B>) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let is_asked = request.method() == Method::POST && is_statuses(request);
    (is_read || is_asked) && optimizations::shows_views(request.uri().path())
}

/// Waits for the position that a request names, and answers it then.
async fn answer_after(wait: PositionWait, read_api: ReadApi, mut request: Request) -> Response {
    let Resources { by_id, others, .. } = &*read_api.resources;
    let outcome = match wait.outcome().await {
        Ok(outcome) => outcome,
        Err(error) => return by_id.refuse(&request, error),
    };
    let Ok(response) = if is_view(&request) {
        let answering = by_id.answer(&request, read_api.peer);
        answering.await
    } else {
        request.extensions_mut().insert(read_api.end.clone());
        others.clone().call(request).await
    };
    position_wait::mark(response, outcome)
}

/// The future of [`ReadApi`].
pub enum ReadFuture {
    ById(EndpointFuture),
    Routed(RouteFuture<Infallible>),
    Waiting(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl Future for ReadFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            ReadFuture::ById(answering) => Pin::new(answering).poll(context),
            ReadFuture::Routed(routed) => Pin::new(routed).poll(context),
            ReadFuture::Waiting(waiting) => waiting.as_mut().poll(context).map(Ok),
        }
    }
}
