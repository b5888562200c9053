//! Takes connections, serves an app on them, and lets them end. Axum's own `serve` is not used: it bounds neither
//! the connections, nor how long a head may take, nor how long the last requests may.
//! Nor is hyper's own timeout for heads: it enters and leaves a shared timer with every request, which costs the
//! reads by id several percent, and does not see a client that stops reading. `activity` bounds both.
//!
//! Knows nothing of what is served. Never ends by itself: what goes wrong with one connection, or with accepting
//! one, is not the others' concern.

mod activity;

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
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tower::Service;

use super::log_throttle::LogThrottle;
use activity::{Activity, ActivityClock, TICK, watched};

/// How many bytes of a request's head, and of a response that its client does not take, one connection holds at the most.
/// Then nothing more of a body is asked for. hyper's own bound is 400 kB, which 10,000 connections would make 4 GB.
const CONNECTION_BUFFER: usize = 64 << 10;

/// A connection that has been silent for less is not closed to make room for another.
const SILENT_BEFORE_CLOSED: Duration = Duration::from_secs(1);

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
    /// How many connections may be open at the same time. Where one more comes, the one that has been silent for the
    /// longest is closed, as other servers do; where none is silent, the new one waits.
    pub connections: usize,
    /// How long it may take from a request's first byte, and from a connection's beginning, until the answer begins: a
    /// head that trickles in gets no more.
    pub answer: Duration,
    /// How long a client may leave an answer unread.
    pub unread: Duration,
    /// How long a connection is kept between two requests. It must outlast the idle timeout of what stands in front: a
    /// balancer that sends a request just as its connection is closed answers 502.
    pub keep_alive: Duration,
    /// How long the connections that are left may take, once told to stop, before they are cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            answer: Duration::from_secs(30),
            unread: Duration::from_secs(30),
            keep_alive: Duration::from_secs(620),
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
    let mut connections = Connections::new(limits);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut may_accept = true;
    // The connection that was accepted and has no room yet.
    let mut waiting = None;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // First among the rest, so that what has ended does not pile up.
            Some(ended) = connections.tasks.join_next_with_id() => connections.forget(&ended),
            _ = ticks.tick() => {
                connections.clock.look();
                may_accept = true;
            }
            accepted = accept(&listener), if may_accept && waiting.is_none() => match accepted {
                Ok(stream) => waiting = Some(stream),
                Err(error) => {
                    note_refused(&error);
                    connections.end_the_most_silent();
                    may_accept = false;
                }
            }
        }
        if connections.are_full() {
            if waiting.is_some() && !connections.end_the_most_silent() {
                note_full();
            }
        } else if let Some(stream) = waiting.take() {
            let peer = stream.peer_addr().ok().map(|address| address.ip());
            connections.start(stream, app.for_peer(peer));
        }
    }
    // From here on the system refuses new connections.
    drop(listener);
    connections.drain().await
}

/// Waits for the next connection. An error says that none can be accepted for now, for want of descriptors mostly.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn note_refused(error: &io::Error) {
    static FAILED: LogThrottle = LogThrottle::new();
    if FAILED.is_due() {
        tracing::error!(%error, "no connection can be accepted; trying on, logged at most once in ten seconds. If too \
            many files are open, raise the hard limit (ulimit -Hn, LimitNOFILE=)");
    }
}

fn note_full() {
    static FULL: LogThrottle = LogThrottle::new();
    if FULL.is_due() {
        tracing::warn!(
            "all connections allowed are in use, and none is silent: new ones wait; logged at most once in ten \
            seconds. Raise --max-connections, and the limit of open files with it (ulimit -Hn, LimitNOFILE=)"
        );
    }
}

/// The client was gone before it was accepted: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The connections that are open.
struct Connections {
    limits: Limits,
    clock: Arc<ActivityClock>,
    tasks: JoinSet<()>,
    /// Those that have not been told to end.
    open: HashMap<Id, OpenConnection>,
}

struct OpenConnection {
    /// Dropping it tells the connection to end. One each, because what is shared between all of them is locked whenever
    /// any of them is polled.
    _stop: oneshot::Sender<()>,
    activity: Arc<Activity>,
}

impl Connections {
    fn new(limits: Limits) -> Connections {
        let clock = Arc::new(ActivityClock::start());
        Connections { limits, clock, tasks: JoinSet::new(), open: HashMap::new() }
    }

    fn are_full(&self) -> bool {
        self.tasks.len() >= self.limits.connections
    }

    fn start(&mut self, stream: TcpStream, app: impl App) {
        let (stop, stopped) = oneshot::channel();
        let activity = Arc::new(Activity::begin(&self.clock));
        let (limits, watched) = (self.limits, Arc::clone(&activity));
        let task = self.tasks.spawn(async move {
            let _counted = CountedConnection::new();
            serve(stream, app, limits, watched, stopped).await;
        });
        self.open.insert(task.id(), OpenConnection { _stop: stop, activity });
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(%error, "a connection panicked");
                error.id()
            }
        };
        self.open.remove(&id);
    }

    /// Tells the connection to end that has been silent for the longest: it closes at once where it is idle, and else
    /// after its answer. False where none has been silent for a moment.
    fn end_the_most_silent(&mut self) -> bool {
        let silent = self.open.iter().filter_map(|(id, open)| Some((open.activity.silent_since()?, *id)));
        let Some((since, id)) = silent.min_by_key(|(since, _)| *since) else { return false };
        if self.clock.elapsed_since(since) < SILENT_BEFORE_CLOSED {
            return false;
        }
        self.open.remove(&id);
        metrics::counter!("optview_http_connections_closed_for_room_total").increment(1);
        true
    }

    async fn drain(mut self) -> Drained {
        let open = self.tasks.len();
        self.open.clear();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        // The result says no more than what is left does.
        _ = timeout(self.limits.drain, all_ended).await;
        let cut_off = self.tasks.len();
        self.tasks.shutdown().await;
        Drained { finished: open - cut_off, cut_off }
    }
}

/// Counts a connection while it lives, also where it ends by panicking or by being cut off.
struct CountedConnection(metrics::Gauge);

impl CountedConnection {
    fn new() -> CountedConnection {
        let open = metrics::gauge!("optview_http_connections");
        open.increment(1.0);
        CountedConnection(open)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Serves one connection, from its first request to its last.
async fn serve(
    stream: TcpStream,
    app: impl App,
    limits: Limits,
    activity: Arc<Activity>,
    stopped: oneshot::Receiver<()>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let socket = watched(stream, Arc::clone(&activity));
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
        phase = activity.too_long(&limits) => {
            tracing::debug!(?phase, "a connection was silent for too long");
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
