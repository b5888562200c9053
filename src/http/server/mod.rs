//! Takes connections, serves an app on them, and lets them end. Axum's own `serve` is not used: it bounds neither
//! the connections, nor how long a head may take, nor how long the last requests may.
//! Nor is hyper's own timeout for heads: it enters and leaves a shared timer with every request, which costs the
//! reads by id several percent, and does not see a client that stops reading. `sending` bounds both.
//!
//! Knows nothing of what is served. Never ends by itself: what goes wrong with one connection, or with accepting
//! one, is not the others' concern.

mod sending;
mod write_deadline;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{sleep, timeout};
use tower::Service;

use super::seldom::Seldom;
use sending::watched;
use write_deadline::WriteDeadline;

/// How many bytes of a request's head, and of a response that its client does not take, one connection holds at the most.
/// Then nothing more of a body is asked for. hyper's own bound is 400 kB, which 10,000 connections would make 4 GB.
const CONNECTION_BUFFER: usize = 64 << 10;

/// How long nothing is accepted after accepting failed for want of something, file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers requests: an Axum router, or what stands before one.
pub trait App:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    /// What answers the requests of one connection, which comes from this address.
    fn for_peer(&self, _address: Option<IpAddr>) -> Self {
        self.clone()
    }
}

impl App for Router {}

/// What one address takes upon itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open at the same time. Further ones wait in the listener's backlog.
    pub connections: usize,
    /// From a connection's beginning until its first response has begun: a head that trickles in gets no more.
    pub first_response: Duration,
    /// How long nothing may be sent after that, be it that no request comes, or that nobody reads the response;
    /// twice as long at the most. Must outlast the gateway's own idle timeout, 60 s in most: a gateway that sends
    /// a request just as its connection is closed answers 502.
    pub idle: Duration,
    /// How long a client may take nothing of a response that is being sent to it.
    pub unread: Duration,
    /// From being told to stop until the connections that are left are cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            first_response: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            unread: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// How the connections that were open at the end came to theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Had been answered, or were idle.
    pub finished: usize,
    /// Were still busy at the deadline.
    pub cut_off: usize,
}

/// Serves until `shutdown` resolves, then drains.
pub async fn run(
    listener: TcpListener,
    app: impl App,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let permits = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // First among the rest, so that what has ended does not pile up.
            Some(ended) = connections.tasks.join_next_with_id() => connections.forget(&ended),
            (stream, permit) = accept(&listener, &permits) => {
                let peer = stream.peer_addr().ok().map(|address| address.ip());
                connections.start(stream, app.for_peer(peer), limits, permit);
            }
        }
    }
    // From here on the system refuses new connections.
    drop(listener);
    connections.drain(limits.drain).await
}

/// The next connection, as soon as there is room for it. Loses nothing when it is dropped.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    static FULL: Seldom = Seldom::new();
    static FAILED: Seldom = Seldom::new();
    if permits.available_permits() == 0 && FULL.is_due() {
        tracing::warn!("all connections allowed are in use: new ones wait; logged at most once in ten seconds");
    }
    let permit = Arc::clone(permits).acquire_owned().await.expect("the connections' semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if FAILED.is_due() {
                    tracing::error!(%error, "no connection can be accepted; trying on, logged at most once in ten \
                        seconds. If too many files are open, raise the limit (ulimit -n)");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client was gone before it was accepted: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The connections that are open.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// Dropping a connection's sender tells it to end. One each, because what is shared between all of them is
    /// locked whenever any of them is polled.
    stops: HashMap<Id, oneshot::Sender<()>>,
}

impl Connections {
    fn start(&mut self, stream: TcpStream, app: impl App, limits: Limits, permit: OwnedSemaphorePermit) {
        let (stop, stopped) = oneshot::channel();
        let task = self.tasks.spawn(async move {
            let _open = Open::counted();
            serve(stream, app, limits, stopped).await;
            drop(permit);
        });
        self.stops.insert(task.id(), stop);
    }

    fn forget(&mut self, ended: &Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(%error, "a connection panicked");
                error.id()
            }
        };
        self.stops.remove(&id);
    }

    async fn drain(mut self, deadline: Duration) -> Drained {
        let open = self.tasks.len();
        self.stops.clear();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        // The result says no more than what is left does.
        _ = timeout(deadline, all_ended).await;
        let cut_off = self.tasks.len();
        self.tasks.shutdown().await;
        Drained { finished: open - cut_off, cut_off }
    }
}

/// Counts a connection while it lives, also where it ends by panicking or by being cut off.
struct Open(metrics::Gauge);

impl Open {
    fn counted() -> Open {
        let open = metrics::gauge!("optview_http_connections");
        open.increment(1.0);
        Open(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// One connection, from its first request to its last.
async fn serve(stream: TcpStream, app: impl App, limits: Limits, stopped: oneshot::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let (socket, watch) = watched(stream);
    let socket = WriteDeadline::new(socket, limits.unread);
    let connection = http1::Builder::new()
        .max_buf_size(CONNECTION_BUFFER)
        .serve_connection(socket, TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let ending = async {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            _ = stopped => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    let ended = tokio::select! {
        biased;
        ended = ending => ended,
        () = watch.silence(limits.first_response, limits.idle) => {
            tracing::debug!("a connection was silent for too long");
            return;
        }
    };
    if let Err(error) = ended {
        // Clients come and go; whoever looks for a certain one turns debug on.
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
