//! `optview serve`: the store, the projector on its own thread, and the two addresses, from the first answer to a clean
//! end. Composes; decides nothing about records, views or requests.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::ServeConfig;
use crate::http::control::{self, Socket};
use crate::http::server::{self, Limits};
use crate::http::{self, Access, ReaderSource};
use crate::projector::{self, Control, ProjectorError};
use crate::source::kafka::KafkaSource;
use crate::status::{PartitionReport, Report, State, Status};
use crate::store::verify::Bounds;
use crate::store::{self, Opened, StoreError};
use crate::tools;

/// Where it listens: known only now where a port was left to the system.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub read: std::net::SocketAddr,
    pub admin: std::net::SocketAddr,
}

/// Both addresses answer.
pub struct Started {
    pub addresses: Addresses,
    pub reader: ReaderSource,
}

/// Runs until `shutdown` resolves, or the projector fails. `listening` is called once, when both addresses answer.
pub async fn run(
    config: &ServeConfig,
    listening: impl FnOnce(Started),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let metrics = http::install_metrics();
    let access = match &config.api_keys {
        Some(path) => Access::from_file(path)?,
        None => Access::open(),
    };
    // Before the store, so that a mistake here shows at once; and health answers while a large store opens.
    let read = bind(config.listen, "--listen").await?;
    let admin = bind(config.admin_listen, "--admin-listen").await?;
    let addresses = Addresses { read: read.local_addr()?, admin: admin.local_addr()? };
    let hold = store::hold(&config.data_dir)?;
    let control = control_socket(&config.data_dir);

    let status = Status::new(0);
    let reader = ReaderSource::default();
    let limits = Limits { connections: config.max_connections, drain: config.drain_deadline, ..Limits::default() };
    let (stop_read, read_stopped) = oneshot::channel::<()>();
    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let read_api = http::read_api(reader.clone(), status.clone(), access);
    let admin_router = http::admin_router(status.clone(), metrics, reader.clone(), config.kafka.topics.clone());
    let read = tokio::spawn(server::run(read, read_api, limits, async { drop(read_stopped.await) }));
    let admin = tokio::spawn(server::run(admin, admin_router, limits, async { drop(admin_stopped.await) }));
    let (stop_control, control_stopped) = oneshot::channel::<()>();
    let answer = answer(config, status.clone(), reader.clone());
    let control =
        control.map(|socket| tokio::spawn(control::run(socket, answer, async { drop(control_stopped.await) })));
    tracing::info!(read = %addresses.read, admin = %addresses.admin, "listening");
    listening(Started { addresses, reader: reader.clone() });

    let mut projector = Running::start(config, status.clone(), reader);
    tokio::select! {
        () = shutdown => tracing::info!("told to stop: draining"),
        _ = &mut projector.ended => tracing::error!("the projector has ended: draining"),
    }
    status.set_state(State::Stopping);
    drop((stop_read, stop_control));
    read.await?;
    if let Some(control) = control {
        control.await?;
    }
    let ended = tokio::task::spawn_blocking(move || projector.join()).await?;
    // The operators' address answers until the end.
    drop(stop_admin);
    admin.await?;
    drop(hold);
    ended
}

/// Reads do without it, so where it cannot be made that is said, and no more.
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
fn answer(config: &ServeConfig, status: Status, reader: ReaderSource) -> control::Answer {
    let (data_dir, topics) = (config.data_dir.clone(), config.kafka.topics.clone());
    tools::answer(move || {
        let report = status.report();
        let told = status.clone();
        match reader.get() {
            _ if report.state == State::Stopping => Err("it is about to end".to_owned()),
            None => Err("it has not opened its store yet: its log says more".to_owned()),
            Some(reader) => Ok(tools::Access {
                data_dir: data_dir.clone(),
                generation: Some(report.generation),
                reader: Ok(reader.clone()),
                topics: topics.clone(),
                bounds: Box::new(move || bounds(&told.report())),
                is_served: true,
            }),
        }
    })
}

/// As the broker last told.
fn bounds(report: &Report) -> Option<Bounds> {
    let of = |held: &PartitionReport| Some(((held.topic.clone(), held.partition), (held.low?, held.high?)));
    // Before the partitions have been found, nothing is known of any.
    (!report.partitions.is_empty()).then(|| report.partitions.iter().filter_map(of).collect())
}

/// Resolves at SIGTERM or SIGINT.
pub async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut signals = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be watched: only SIGKILL will stop this");
            return std::future::pending().await;
        }
    };
    tokio::select! { _ = signals.0.recv() => {} _ = signals.1.recv() => {} }
}

async fn bind(address: std::net::SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is it in use? Choose another with {option}"))
}

/// The projector's thread.
struct Running {
    control: Arc<Control>,
    thread: JoinHandle<anyhow::Result<()>>,
    ended: oneshot::Receiver<()>,
}

impl Running {
    fn start(config: &ServeConfig, status: Status, reader: ReaderSource) -> Running {
        let control = Arc::new(Control::default());
        let (alive, ended) = oneshot::channel();
        let (config, asked) = (config.clone(), control.clone());
        let thread = std::thread::Builder::new()
            .name("projector".to_owned())
            .spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                project(&config, status, &reader, &asked)
            })
            .expect("the process may start one more thread");
        Running { control, thread, ended }
    }

    fn join(self) -> anyhow::Result<()> {
        self.control.stop();
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("the projector panicked; the log says where"),
        }
    }
}

fn project(
    config: &ServeConfig,
    status: Status,
    reader: &OnceLock<store::Reader>,
    control: &Control,
) -> anyhow::Result<()> {
    let Opened { writer, generation, moved_aside: _, path } =
        store::open(&config.data_dir, config.store_cache_bytes)?;
    store::note_topics(&path, |topic| config.kafka.topics.get(topic).to_owned());
    status.set_generation(generation);
    status.set_views(writer.views(), writer.dead_letters());
    // Nobody else sets it.
    let _ = reader.set(writer.reader());
    tracing::info!(generation, views = writer.views(), "the store is open");
    let mut source = KafkaSource::new(&config.kafka, &config.group_id)
        .context("librdkafka does not take the settings: check --kafka-property and --kafka-properties")?;
    let settings = projector::Settings {
        topics: config.kafka.topics.clone(),
        sync_interval: config.sync_interval,
        catch_up_sync_interval: config.catch_up_sync_interval,
        memory_budget: config.memory_budget_bytes,
        orphan_retention: config.orphan_retention,
        store_path: path.clone(),
        min_free_disk: config.min_free_disk_bytes,
    };
    let ended = projector::run(&mut source, writer, settings, status.clone(), control);
    if let Err(error) = &ended {
        status.set_error(Some(error.to_string()));
        condemn_damaged(&path, error);
    }
    Ok(ended?)
}

/// Damage that shows while running would show again: the next start builds a new generation instead.
fn condemn_damaged(path: &Path, error: &ProjectorError) {
    let ProjectorError::Store(failure) = error else { return };
    if !matches!(failure, StoreError::WriterEnded(_)) && !failure.is_damage() {
        return;
    }
    tracing::error!("the store is damaged: the next start moves it aside and builds it anew from Kafka");
    if let Err(error) = store::condemn(path, &failure.to_string()) {
        tracing::error!(%error, "the store could not be marked as damaged: remove its directory before the next start");
    }
}
