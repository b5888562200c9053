//! `optview serve`: the store, the projector on its own thread, and the two addresses, from the first answer to a clean
//! end. Composes; decides nothing about records, views or requests.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::config::{ProjectionConfig, ServeConfig};
use crate::domain::{NamedPartition, Topic};
use crate::generation::{Engine, topic_watch};
use crate::http::control::{self, Socket};
use crate::http::server::{self, ConnectionLimits};
use crate::http::{self, Access, ReaderSource, Readiness};
use crate::logging;
use crate::process::{self, FileBudget};
use crate::shutdown::{self, EndDeadline};
use crate::signals;
use crate::snapshot::{self, DiskReserve};
use crate::status::{PartitionReport, Report, State};
use crate::store;
use crate::store::verify::{PartitionBounds, TopicBounds};
use crate::tools;
use crate::version::{COMMIT, VERSION};

/// A signal that comes so soon after the first is taken for the same one.
const SAME_SIGNAL_WITHIN: Duration = Duration::from_secs(1);

/// Number of connections that the operators' address takes. They are part of what is kept of the limit of open files, so that
/// it answers whatever comes to the other address.
const ADMIN_CONNECTIONS: usize = 64;

/// The addresses that answer. They are known only now if a port was left to the system.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub read: std::net::SocketAddr,
    pub admin: std::net::SocketAddr,
}

/// Both addresses answer.
pub struct ListeningServer {
    pub addresses: Addresses,
    pub reader: ReaderSource,
}

/// Runs until `shutdown` resolves, or the projector fails. `listening` is called once, when both addresses answer.
#[expect(clippy::too_many_lines, reason = "all that is started, in the order in which it ends")]
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
    let access = match &config.api_keys {
        Some(keys) => Access::with_keys(keys.clone()),
        None => Access::open(),
    };
    if let Some(file) = &config.from_snapshot
        && store::current(&config.projection.data_dir)?.is_none()
    {
        File::open(file).with_context(|| {
            let file = file.display();
            format!("the snapshot {file} that --from-snapshot names cannot be read, and there is no store yet")
        })?;
    }
    // Before the store, so that a mistake here shows at once; and health answers while a large store opens.
    let read = bind(config.listen, "--listen").await?;
    let admin = bind(config.admin_listen, "--admin-listen").await?;
    let addresses = Addresses { read: read.local_addr()?, admin: admin.local_addr()? };
    let hold = store::lock_data_dir(&config.projection.data_dir)?;
    let control = control_socket(&config.projection.data_dir);

    let failed = Arc::new(Notify::new());
    let engine = {
        let failed = failed.clone();
        Engine::new(config.projection.clone(), Arc::new(move || failed.notify_one()))
    };
    let (status, reader) = (engine.status.clone(), engine.reader.clone());
    let topic_watch = topic_watch::start(config.projection.kafka.clone(), status.clone())?;
    let (drain, keep_alive) = (config.drain_deadline, config.keep_alive);
    let limits =
        ConnectionLimits { connections: files.connections, keep_alive, drain, ..ConnectionLimits::default() };
    let admin_limits = ConnectionLimits { connections: ADMIN_CONNECTIONS, ..limits };
    let (stop_read, read_stopped) = oneshot::channel::<()>();
    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let readiness = Readiness { require_fresh: config.require_fresh };
    let read_api = http::read_api(reader.clone(), status.clone(), access, readiness);
    let topics = config.projection.kafka.topics.clone();
    let admin_router = http::admin_router(status.clone(), metrics, reader.clone(), topics, readiness);
    let read = tokio::spawn(server::run(read, read_api, limits, async { drop(read_stopped.await) }));
    let admin = tokio::spawn(server::run(admin, admin_router, admin_limits, async { drop(admin_stopped.await) }));
    let (stop_control, control_stopped) = oneshot::channel::<()>();
    let answer = answer(&engine);
    let control =
        control.map(|socket| tokio::spawn(control::run(socket, answer, async { drop(control_stopped.await) })));
    tracing::info!(read = %addresses.read, admin = %addresses.admin, "listening");
    if let Some(warning) = files.warning() {
        tracing::warn!("{warning}");
    }
    listening(ListeningServer { addresses, reader });

    let started = {
        let (engine, from_snapshot) = (engine.clone(), config.from_snapshot.clone());
        let on_format_change = config.on_format_change;
        on_a_thread("opening", move || {
            if let Some(file) = from_snapshot {
                import(&file, &engine)?;
            }
            engine.start(Some(on_format_change))
        })
    };
    let (started, opening) = match started {
        Ok((started, thread)) => (Ok(started), Some(thread)),
        Err(error) => (Err(store::StoreError::of_thread(&config.projection.data_dir, error)), None),
    };
    let failed = async {
        let panicked = |_| Err(anyhow!("opening the store panicked; the log says where"));
        let started = match started {
            Ok(started) => started.await.unwrap_or_else(panicked),
            Err(error) => Err(error.into()),
        };
        if started.is_ok() {
            failed.notified().await;
        }
        tracing::error!("the projector has ended: draining");
        started
    };
    let started = tokio::select! {
        () = shutdown => {
            tracing::info!("told to stop: draining");
            Ok(())
        }
        started = failed => started,
    };
    status.set_state(State::Stopping);
    drop((stop_read, stop_control, topic_watch));
    let opening = Mutex::new(opening);
    let close = Arc::new(move || {
        let ended = engine.stop();
        // It removes what it has not finished to make; that it panicked was logged before.
        let _ = opening.lock().take().map(std::thread::JoinHandle::join);
        ended
    });
    let end = async {
        read.await?;
        if let Some(control) = control {
            control.await?;
        }
        let closing = close.clone();
        let ended = match on_a_thread("closing", move || closing()) {
            Ok((ended, _)) => {
                ended.await.unwrap_or_else(|_| Err(anyhow!("closing the store panicked; the log says where")))
            }
            // The operators' address is not answered meanwhile.
            Err(_) => close(),
        };
        // The operators' address answers until the end.
        drop(stop_admin);
        admin.await?;
        ended
    };
    let told_again = async {
        // Some that start programs pass on a signal that the program has had already.
        tokio::time::sleep(SAME_SIGNAL_WITHIN).await;
        signals::stop_signal().await;
    };
    let deadline = EndDeadline { drain: config.drain_deadline, write: config.write_deadline };
    let ended = tokio::select! {
        ended = end => ended,
        () = tokio::time::sleep(deadline.whole()) => Err(anyhow!(deadline.exceeded_message(&status.report()))),
        () = told_again => Err(anyhow!(shutdown::second_signal_message(&status.report()))),
    };
    if ended.is_ok() {
        drop(hold);
    } else {
        // Threads that were not waited for may still write: nobody else may have the directory before the process is gone.
        std::mem::forget(hold);
    }
    started.and(ended)
}

/// Logs what runs, on what. The cluster is not known before a broker has answered.
fn log_what_starts(config: &ServeConfig) {
    let ProjectionConfig { kafka, data_dir, group_id, .. } = &config.projection;
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
) -> std::io::Result<(oneshot::Receiver<T>, std::thread::JoinHandle<()>)> {
    let (done, ended) = oneshot::channel();
    // Whoever waits for it may have to stop.
    let work = move || _ = done.send(work());
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok((ended, thread))
}

/// Makes the store, where there is none yet.
fn import(file: &Path, engine: &Engine) -> anyhow::Result<()> {
    let room = DiskReserve { floor: engine.config.min_free_disk_bytes };
    let topics = &engine.config.kafka.topics;
    let imported = snapshot::import_where_none(file, &engine.config.data_dir, room, topics, &mut |_, _, _| {
        if engine.status.state() == State::Stopping { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match imported.context("the store cannot be made of the snapshot that --from-snapshot names")? {
        Some(summary) => tracing::info!(
            file = %file.display(),
            generation = summary.generation,
            views = summary.views,
            "the store has been made of a snapshot"
        ),
        None => tracing::info!(file = %file.display(), "there is a store already, so --from-snapshot is ignored"),
    }
    Ok(())
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

/// Answers tools with what the reads are answered from.
fn answer(engine: &Arc<Engine>) -> control::RequestHandler {
    let engine = engine.clone();
    tools::answer(move || match engine.reader.get() {
        _ if engine.status.state() == State::Stopping => Err("it is about to end".to_owned()),
        None => Err("it has not opened its store yet: its log says more".to_owned()),
        Some(reader) => Ok(tools::ToolContext {
            data_dir: engine.config.data_dir.clone(),
            generation: Some(reader.status().report().generation),
            topics: engine.config.kafka.topics.clone(),
            bounds: {
                let status = reader.status().clone();
                Box::new(move || bounds(&status.report()))
            },
            reader: Ok(store::Reader::clone(&reader)),
            is_served: true,
            engine: Some(engine.clone()),
        }),
    })
}

/// Returns the partitions' bounds that the brokers reported last.
fn bounds(report: &Report) -> Option<TopicBounds> {
    let of = |held: &PartitionReport| {
        let topic_id = held.freshness.topic_id.as_ref().and_then(|id| id.parse().ok());
        let bounds = PartitionBounds { low: held.low?, high: held.high?, topic_id };
        Some((NamedPartition::new(held.topic.clone(), held.partition), bounds))
    };
    // Before the partitions have been found, nothing is known of any.
    (!report.partitions.is_empty()).then(|| report.partitions.iter().filter_map(of).collect())
}

async fn bind(address: std::net::SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is it in use? Choose another with {option}"))
}
