//! The read address as one service: reads by id go straight to their resource, all else through the router, which
//! writes down for each request what it matched, and boxes the answer. Must not answer anything itself.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tower::Service;

use super::Api;
use super::edge::{Answering, Edge};
use super::optimizations;
use super::server::App;

/// Cheap to clone: each request is answered by a clone.
#[derive(Clone)]
pub struct ReadApi {
    resources: Arc<Resources>,
    /// Where the connection comes from, if this is one connection's.
    peer: Option<PeerAddress>,
}

/// The address that a request comes from. Requests by id, which nobody tells apart by it, do not carry it.
#[derive(Clone, Copy)]
pub struct PeerAddress(pub IpAddr);

struct Resources {
    by_id: Edge<Api>,
    others: Router,
}

impl ReadApi {
    pub(super) fn new(by_id: Edge<Api>, others: Router) -> ReadApi {
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
    type Future = ReadAnswer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> ReadAnswer {
        // The rest of the path is the id, slashes and all: clients do not always encode them.
        let is_by_id = request.uri().path().strip_prefix(optimizations::PREFIX).is_some_and(|id| !id.is_empty());
        if !is_by_id {
            if let Some(peer) = self.peer {
                request.extensions_mut().insert(peer);
            }
            return ReadAnswer::Routed(self.resources.others.clone().call(request));
        }
        // Nobody looks at its body, which would have to be boxed.
        let (head, _) = request.into_parts();
        ReadAnswer::ById(self.resources.by_id.answer(&Request::from_parts(head, Body::empty())))
    }
}

/// The future of [`ReadApi`].
pub enum ReadAnswer {
    ById(Answering),
    Routed(RouteFuture<Infallible>),
}

impl Future for ReadAnswer {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            ReadAnswer::ById(answering) => Pin::new(answering).poll(context),
            ReadAnswer::Routed(routed) => Pin::new(routed).poll(context),
        }
    }
}
