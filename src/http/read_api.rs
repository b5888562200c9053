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
use tower::Service;

use super::api::Api;
use super::caller_shares::PeerAddress;
use super::endpoint::{Endpoint, EndpointFuture};
use super::server::App;
use super::{lists, optimizations};

/// The service of the read address. It is cheap to clone, as each request is answered by a clone.
#[derive(Clone)]
pub struct ReadApi {
    resources: Arc<Resources>,
    /// The address that the connection comes from, if this clone belongs to one connection.
    peer: Option<PeerAddress>,
}

struct Resources {
    by_id: Endpoint<Api>,
    others: Router,
}

impl ReadApi {
    pub(super) fn new(by_id: Endpoint<Api>, others: Router) -> ReadApi {
        ReadApi { resources: Arc::new(Resources { by_id, others }), peer: None }
    }
}

impl App for ReadApi {
    fn for_peer(&self, address: Option<IpAddr>) -> ReadApi {
        ReadApi { peer: address.map(PeerAddress), ..self.clone() }
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

    fn call(&mut self, mut request: Request<B>) -> ReadFuture {
        // The rest of the path is the id, with its slashes, since clients do not always encode them.
        let path = request.uri().path();
        // A view with such an id is still read by GET.
        let is_statuses = path == lists::STATUSES && request.method() == Method::POST;
        let is_by_id = !is_statuses && path.strip_prefix(optimizations::PREFIX).is_some_and(|id| !id.is_empty());
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        if !is_by_id {
            return ReadFuture::Routed(self.resources.others.clone().call(request));
        }
        // The handler does not read the body, which would have to be boxed.
        let (head, _) = request.into_parts();
        ReadFuture::ById(self.resources.by_id.answer(&Request::from_parts(head, Body::empty())))
    }
}

/// The future of [`ReadApi`].
pub enum ReadFuture {
    ById(EndpointFuture),
    Routed(RouteFuture<Infallible>),
}

impl Future for ReadFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            ReadFuture::ById(answering) => Pin::new(answering).poll(context),
            ReadFuture::Routed(routed) => Pin::new(routed).poll(context),
        }
    }
}
