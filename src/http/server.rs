//! The accept loop: it takes connections, serves an app on them, and ends them. Axum's own `serve` is not used, because it
//! bounds neither the number of connections, nor the time for a head, nor the time for the last requests.
//! Nor is hyper's own timeout for heads: it enters and leaves a shared timer with every request, which costs the
//! reads by id several percent, and does not see a client that stops reading. `activity` bounds both.
//!
//! The loop knows nothing of the app, and never ends by itself: a failure of one connection, or of accepting one, must not
//! affect the others.

mod activity;
mod limits;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tower::Service;

use super::connection_end::ConnectionEnd;
use super::log_throttle::LogThrottle;
use activity::{Activity, ActivityClock, Phase, TICK, monitor};
pub use limits::ConnectionLimits;

/// Number of bytes of a request's head, and of a response that its client does not read, that one connection may buffer.
/// When the buffer is full, nothing more of a body is polled. hyper's own bound is 400 kB, which makes 4 GB with 10,000
/// connections.
const CONNECTION_BUFFER: usize = 64 << 10;

/// The time that a connection must have been silent before it may be closed to make room for another.
const SILENT_BEFORE_CLOSED: Duration = Duration::from_secs(1);

/// A service that answers requests: an Axum router, or a service in front of one.
pub trait App: Clone + Send + 'static {
    /// The future of an answer.
    type Answering: Future<Output = Result<Response, Infallible>> + Send;

    /// Returns the service for one connection, which comes from this address. `end` is signalled once the connection is to end.
    fn for_connection(&self, _address: Option<IpAddr>, _end: ConnectionEnd) -> Self {
        self.clone()
    }

    /// Answers a request. Unlike tower's `Service` it takes no clone of the app for each of them, whose counts all threads share.
    fn answer(&self, request: Request<Incoming>) -> Self::Answering;
}

impl App for Router {
    type Answering = RouteFuture<Infallible>;

    fn answer(&self, request: Request<Incoming>) -> RouteFuture<Infallible> {
        self.clone().call(request)
    }
}

/// The numbers of connections that were open at shutdown, by the way they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOutcome {
    /// Number of connections that were idle, or finished their answer.
    pub finished: usize,
    /// Number of connections that were still busy at the deadline.
    pub cut_off: usize,
}

/// Serves until `shutdown` resolves, then lets the open connections finish within [`ConnectionLimits::drain`].
pub async fn run(
    listener: TcpListener,
    app: impl App,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()>,
) -> DrainOutcome {
    let mut connections = Connections::new(limits);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut may_accept = true;
    // The connection that was accepted and waits for one of the others to end.
    let mut waiting = None;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // This comes first among the rest, so that ended connections do not pile up.
            Some(ended) = connections.tasks.join_next_with_id() => connections.forget(&ended),
            _ = connections.ticks.tick() => {
                connections.look();
                may_accept = true;
            }
            accepted = accept(&listener), if may_accept && waiting.is_none() => match accepted {
                Ok(stream) => waiting = Some(stream),
                Err(error) => {
                    note_refused(&error);
                    connections.close_most_silent();
                    may_accept = false;
                }
            }
        }
        if connections.are_full() {
            if waiting.is_some() && !connections.close_most_silent() {
                note_full();
            }
        } else if let Some(stream) = waiting.take() {
            let peer = stream.peer_addr().ok().map(|address| address.ip());
            let end = ConnectionEnd::default();
            connections.start(stream, app.for_connection(peer, end.clone()), end);
        }
    }
    // From here on the system refuses new connections.
    drop(listener);
    connections.drain().await
}

/// Waits for the next connection. An error means that none can be accepted for now, mostly for want of file descriptors.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if concerns_one_connection(&error) => {}
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

/// Returns true if the client was gone before its connection was accepted. The next connection may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The open connections.
struct Connections {
    limits: ConnectionLimits,
    clock: Arc<ActivityClock>,
    ticks: Interval,
    tasks: JoinSet<()>,
    open: HashMap<Id, OpenConnection>,
}

struct OpenConnection {
    /// Dropping the sender asks the connection to end; `None` once it has been asked. Each connection has its own channel, because a
    /// shared one would be locked whenever any connection is polled.
    stop: Option<oneshot::Sender<()>>,
    activity: Arc<Activity>,
    end: ConnectionEnd,
    task: AbortHandle,
}

impl Connections {
    fn new(limits: ConnectionLimits) -> Connections {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let clock = Arc::new(ActivityClock::start());
        Connections { limits, clock, ticks, tasks: JoinSet::new(), open: HashMap::new() }
    }

    fn are_full(&self) -> bool {
        self.tasks.len() >= self.limits.connections
    }

    fn start(&mut self, stream: TcpStream, app: impl App, end: ConnectionEnd) {
        let (stop, stopped) = oneshot::channel();
        let activity = Arc::new(Activity::begin(&self.clock));
        let monitored = Arc::clone(&activity);
        let ending = end.clone();
        let task = self.tasks.spawn(async move {
            let _counted = CountedConnection::new();
            // Answers that would never end by themselves learn of it, too.
            let stopped = async {
                drop(stopped.await);
                ending.request();
            };
            serve(stream, app, monitored, stopped).await;
        });
        self.open.insert(task.id(), OpenConnection { stop: Some(stop), activity, end, task });
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection panicked");
                }
                error.id()
            }
        };
        self.open.remove(&id);
    }

    /// Reads the clock for all connections, and ends those that have been in one phase for longer than their limit. A timer of each
    /// connection would be looked at with every request.
    fn look(&mut self) {
        self.clock.look();
        let now = Instant::now();
        for OpenConnection { activity, end, task, .. } in self.open.values() {
            if let Some(phase) = activity.overdue(&self.limits, now) {
                // It has sent all of its answer so far, and more is to come.
                if phase == Phase::Idle && end.has_endless_answer() {
                    continue;
                }
                tracing::debug!(?phase, "a connection was silent for too long");
                task.abort();
            }
        }
    }

    /// Asks the connection to end that has been silent for the longest: it closes at once if it is idle, else
    /// after its answer. Returns false if none has been silent for [`SILENT_BEFORE_CLOSED`].
    fn close_most_silent(&mut self) -> bool {
        let silent = self
            .open
            .values_mut()
            .filter(|open| open.stop.is_some())
            .filter_map(|open| Some((open.activity.silent_since()?, open)));
        let Some((since, open)) = silent.min_by_key(|(since, _)| *since) else { return false };
        if self.clock.elapsed_since(since) < SILENT_BEFORE_CLOSED {
            return false;
        }
        open.stop = None;
        metrics::counter!("optview_http_connections_closed_for_room_total").increment(1);
        true
    }

    async fn drain(mut self) -> DrainOutcome {
        let open = self.tasks.len();
        self.open.values_mut().for_each(|connection| connection.stop = None);
        let limit = self.limits.drain;
        let all_ended = async {
            loop {
                tokio::select! {
                    biased;
                    ended = self.tasks.join_next_with_id() => match ended {
                        Some(ended) => self.forget(&ended),
                        None => break,
                    },
                    _ = self.ticks.tick() => self.look(),
                }
            }
        };
        // The number of tasks that are left shows whether the time has run out.
        _ = timeout(limit, all_ended).await;
        let cut_off = self.tasks.len();
        self.tasks.shutdown().await;
        DrainOutcome { finished: open - cut_off, cut_off }
    }
}

/// A count of one open connection. Dropping it ends the count, also after a panic or a cut-off.
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
async fn serve(stream: TcpStream, app: impl App, activity: Arc<Activity>, stopped: impl Future<Output = ()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let socket = monitor(stream, activity);
    let connection = http1::Builder::new()
        .max_buf_size(CONNECTION_BUFFER)
        .serve_connection(socket, service_fn(move |request| app.answer(request)));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients come and go all the time, so this is logged for debugging only.
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
