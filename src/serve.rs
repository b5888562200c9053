//! `optview serve`: the store, the projector on its own thread, and the two addresses, from the first answer to a clean
//! end. Composes; decides nothing about records, views or requests.

mod access;
mod projection;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::config::{ProjectionConfig, ServeConfig};
use crate::control::{self, Socket};
use crate::data_dir;
use crate::domain::Topic;
use crate::generation::topic_watch;
use crate::http::server::{self, ConnectionLimits};
use crate::http::{self, Access, Front, FrontSettings, Readiness};
use crate::live_views::ReaderSource;
use crate::logging;
use crate::process::{self, FileBudget};
use crate::publication::Publication;
use crate::shutdown::{self, EndDeadline};
use crate::signals;
use crate::status::State;
use crate::store::StoreError;
use crate::version::{COMMIT, VERSION};
use projection::Projection;

/// A signal that comes so soon after the first is taken for the same one.
const SAME_SIGNAL_WITHIN: Duration = Duration::from_secs(1);

/// Number of connections that the operators' address takes. They are part of what is kept of the limit of open files, so that
/// it answers whatever comes to the other address.
const ADMIN_CONNECTIONS: usize = 64;

/// The addresses that answer. They are known only now if a port was left to the system.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The address of the read API.
    pub read: std::net::SocketAddr,
    /// The address of `/metrics` and `/status`.
    pub admin: std::net::SocketAddr,
}

/// Both addresses answer.
pub struct ListeningServer {
    /// The addresses, as the system has bound them.
    pub addresses: Addresses,
    /// The source of the readers that requests are answered with.
    pub reader: ReaderSource,
}

/// Runs until `shutdown` resolves, or the projector fails. `listening` is called once, when both addresses answer.
pub async fn run(
    config: &ServeConfig,
    listening: impl FnOnce(ListeningServer),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let metrics = http::install_metrics();
    logging::register_metric();
    log_what_starts(config);
    let files = FileBudget::new(process::open_file_limit(), config.max_connections)?;
    http::record_connection_limit(files.connections);
    refuse_missing_snapshot(config)?;
    // Before the store, so that a mistake here shows at once; and health answers while a large store opens.
    let sockets = Sockets {
        read: bind(config.listen, "--listen").await?,
        admin: bind(config.admin_listen, "--admin-listen").await?,
    };
    let addresses = Addresses { read: sockets.read.local_addr()?, admin: sockets.admin.local_addr()? };
    let hold = data_dir::lock_data_dir(&config.projection.data_dir)?;
    let control = control_socket(&config.projection.data_dir);

    let failed = Arc::new(Notify::new());
    let publication = config.publication.publish_views.as_deref();
    let publication = publication.map(|topic| Publication::new(topic, config.publication.views_format));
    let notified = failed.clone();
    let projection = Projection::new(config, move || notified.notify_one(), publication.clone());
    let publisher = publication.map(|publication| projection.publish(config, publication)).transpose()?;
    let status = projection.status().clone();
    let topic_watch = match &projection {
        Projection::Events(_) => Some(topic_watch::start(config.projection.kafka.clone(), status.clone())?),
        Projection::Views(_) => None,
    };
    let access = access::access(&config.access);
    let front = access::front(config, &access).context("the access log cannot be written to stdout")?;
    let credentials_watch = http::watch_credentials(access.clone(), status.clone())?;
    let servers =
        Servers::start(config, sockets, control, &projection, (access, front), metrics, files.connections);
    tracing::info!(read = %addresses.read, admin = %addresses.admin, "listening");
    if let Some(warning) = files.warning() {
        tracing::warn!("{warning}");
    }
    listening(ListeningServer { addresses, reader: projection.reader().clone() });

    let (opened, opening) = open(config, &projection);
    let ended_by = tokio::select! {
        () = shutdown => {
            tracing::info!("told to stop: draining");
            Ok(())
        }
        ended_by = until_failure(opened, &failed) => ended_by,
    };
    status.set_state(State::Stopping);
    // Requests that wait for changes are answered now, and streams end.
    projection.reader().changes().close();
    drop((topic_watch, credentials_watch));
    let deadline = EndDeadline { drain: config.drain_deadline, write: config.write_deadline };
    let ended = tokio::select! {
        ended = servers.end(projection, opening) => ended,
        () = tokio::time::sleep(deadline.whole()) => Err(anyhow!(deadline.exceeded_message(&status.report()))),
        () = second_signal() => Err(anyhow!(shutdown::second_signal_message(&status.report()))),
    };
    if ended.is_ok() {
        drop(publisher);
        drop(hold);
    } else {
        // Threads that were not waited for may still write: nobody else may have the directory before the process is gone.
        std::mem::forget(hold);
    }
    ended_by.and(ended)
}

/// Refuses to start where the store is to be made of a snapshot that cannot be read.
fn refuse_missing_snapshot(config: &ServeConfig) -> anyhow::Result<()> {
    if let Some(file) = &config.from_snapshot
        && data_dir::current(&config.projection.data_dir)?.is_none()
    {
        File::open(file).with_context(|| {
            let file = file.display();
            format!("the snapshot {file} that --from-snapshot names cannot be read, and there is no store yet")
        })?;
    }
    Ok(())
}

/// The sockets of both addresses.
struct Sockets {
    read: TcpListener,
    admin: TcpListener,
}

/// Everything that answers.
struct Servers {
    read: Server,
    admin: Server,
    control: Option<Server>,
}

/// A server on a task of its own, which stops once `stop` is dropped.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start<F: Future + Send + 'static>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Server {
        let (stop, stopped) = oneshot::channel();
        let running = run(stopped);
        Server { stop, task: tokio::spawn(async { drop(running.await) }) }
    }

    /// Orders the end, and returns the task that ends by that.
    fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.task
    }
}

impl Servers {
    fn start(
        config: &ServeConfig,
        sockets: Sockets,
        control: Option<Socket>,
        projection: &Projection,
        (access, front): (Access, FrontSettings),
        metrics: PrometheusHandle,
        connections: usize,
    ) -> Servers {
        let (drain, keep_alive) = (config.drain_deadline, config.keep_alive);
        let limits = ConnectionLimits { connections, keep_alive, drain, ..ConnectionLimits::default() };
        let admin_limits = ConnectionLimits { connections: ADMIN_CONNECTIONS, ..limits };
        let readiness = Readiness { require_fresh: config.require_fresh };
        let (status, reader) = (projection.status().clone(), projection.reader().clone());
        let (source, shown) = (reader.clone(), status.clone());
        let read_api = http::read_api_that_waits(source, shown, access, readiness, config.missing_wait);
        let read_api = Front::new(read_api, front);
        let topics = config.projection.kafka.topics.clone();
        let admin_router = http::admin_router(status, metrics, reader, topics, readiness);
        let answer = projection.tools();
        Servers {
            read: Server::start(|stop| server::run(sockets.read, read_api, limits, async { drop(stop.await) })),
            admin: Server::start(|stop| {
                server::run(sockets.admin, admin_router, admin_limits, async { drop(stop.await) })
            }),
            control: control
                .map(|socket| Server::start(|stop| control::run(socket, answer, async { drop(stop.await) }))),
        }
    }

    /// Ends what answers from the store, then closes that, and then ends the operators' address, which answers until then.
    async fn end(self, projection: Projection, opening: Option<thread::JoinHandle<()>>) -> anyhow::Result<()> {
        let (read, control) = (self.read.stop(), self.control.map(Server::stop));
        read.await?;
        if let Some(control) = control {
            control.await?;
        }
        let ended = close(projection, opening).await;
        self.admin.stop().await?;
        ended
    }
}

/// Begins to open the store, on a thread. Gives the result later.
fn open(
    config: &ServeConfig,
    projection: &Projection,
) -> (Result<OpeningResult, StoreError>, Option<thread::JoinHandle<()>>) {
    let (projection, opened) = (projection.clone(), config.clone());
    let opening = on_a_thread("opening", move || projection.start(&opened));
    match opening {
        Ok((opened, thread)) => (Ok(opened), Some(thread)),
        Err(error) => (Err(StoreError::of_thread(&config.projection.data_dir, error)), None),
    }
}

/// The result of opening the store, once it is there.
type OpeningResult = oneshot::Receiver<anyhow::Result<()>>;

/// Waits until the store could not be opened, or the projector has failed. Returns why it was not opened.
async fn until_failure(opened: Result<OpeningResult, StoreError>, failed: &Notify) -> anyhow::Result<()> {
    let opened = match opened {
        Ok(opened) => {
            opened.await.unwrap_or_else(|_| Err(anyhow!("opening the store panicked; the log says where")))
        }
        Err(error) => Err(error.into()),
    };
    if opened.is_ok() {
        failed.notified().await;
    }
    tracing::error!("the projector has ended: draining");
    opened
}

/// Closes the store on a thread, and waits for that, and for the thread that opens it.
async fn close(projection: Projection, opening: Option<thread::JoinHandle<()>>) -> anyhow::Result<()> {
    let opening = Mutex::new(opening);
    let close = Arc::new(move || {
        let ended = projection.stop();
        // It removes what it has not finished to make; that it panicked was logged before.
        let _ = opening.lock().take().map(thread::JoinHandle::join);
        ended
    });
    let closing = close.clone();
    match on_a_thread("closing", move || closing()) {
        Ok((ended, _)) => {
            ended.await.unwrap_or_else(|_| Err(anyhow!("closing the store panicked; the log says where")))
        }
        // The operators' address is not answered meanwhile.
        Err(_) => close(),
    }
}

/// Waits for a signal to stop after the first.
async fn second_signal() {
    // Some that start programs pass on a signal that the program has had already.
    tokio::time::sleep(SAME_SIGNAL_WITHIN).await;
    signals::stop_signal().await;
}

/// Logs what runs, on what. The cluster is not known before a broker has answered.
fn log_what_starts(config: &ServeConfig) {
    let ProjectionConfig { kafka, data_dir, group_id, .. } = &config.projection;
    if let Some(views) = &config.from_views {
        return tracing::info!(
            version = VERSION,
            commit = COMMIT,
            data_dir = %data_dir.display(),
            brokers = kafka.brokers,
            views,
            "optview starts as a replica of a topic of views"
        );
    }
    tracing::info!(
        version = VERSION,
        commit = COMMIT,
        data_dir = %data_dir.display(),
        brokers = kafka.brokers,
        group_id,
        optimizations = kafka.topics.get(Topic::Optimizations),
        jobs = kafka.topics.get(Topic::Jobs),
        multistart_runs = kafka.topics.get(Topic::MultistartRuns),
        "optview starts"
    );
}

/// Does what takes long, and gives its result later; an error where it panics. Where the process may start no more threads,
/// that is an error, which with tokio's own threads would be a panic.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<(oneshot::Receiver<T>, thread::JoinHandle<()>)> {
    let (done, ended) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Whoever waits for it may have to stop.
        let _ = done.send(work());
    })?;
    Ok((ended, thread))
}

/// Binds the socket for tools. Reads do without it, so a failure is only logged.
fn control_socket(data_dir: &Path) -> Option<Socket> {
    match Socket::bind(data_dir) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::error!(%error, data_dir = %data_dir.display(), "control.sock cannot be made there: tools do not work until this process ends");
            None
        }
    }
}

async fn bind(address: std::net::SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is it in use? Choose another with {option}"))
}
